"""What `explorer sweep` prints of a search: how many candidates there are, why some are not, and those that fit."""

import json
from typing import TYPE_CHECKING, Any

import typer

import explorer
from explorer.cli.line import Line
from explorer.cli.options import Format
from explorer.cli.printing import DASH, print_csv, print_table, sides, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from explorer.analysis.device import Device
    from explorer.sweep.candidates import Selection
    from explorer.sweep.listing import Fit, Listing

COLUMNS = ("params", "macs", "activations", "depth", "chain")
HEADERS = ("network", "params", "MACs", "activations", "depth", "chain")
SHOWN = 20  # candidates of a search, in the table


class Walking:
    """Progress on the terminal while quantities are computed network by network."""

    def __init__(self) -> None:
        self.line: Line | None = None

    def __call__(self, done: int, total: int) -> None:
        """So many of so many are walked."""
        self.line = self.line or Line(total, "costs one by one: {percentage:3.0f}%|{bar:12}| [{elapsed}{postfix}]")
        self.line.total = max(total, done)
        self.line.show(done, f"{done:,} of {self.line.total:,} networks")
        if done >= total:
            self.close()

    def close(self) -> None:
        """Take the line away."""
        if self.line is not None:
            self.line.close()
            self.line = None


def print_search(listings: "Sequence[Listing]", format: Format, selection: "Selection", dtype: str) -> None:
    """The candidates that fit, the nearest first; how many there are goes to stderr where the output is data.

    `dtype`: of predicted latencies.
    """
    print_summaries(listings, err=format is not Format.table)
    fits = [fit for listing in listings for fit in listing.fits]
    more = _more(fits)
    device = _device(selection) if _latencies(more) else None
    if format is not Format.table:
        return print_rows([_as_dict(fit, device, selection.batch) for fit in fits], format)
    sizes = [explorer.expand(fit.candidate.text, input=fit.candidate.input).input for fit in fits[:SHOWN]]
    sized = len(set(sizes)) > 1
    size = ["input"] if sized else []
    ranked = any(fit.share is not None for fit in fits)
    shown = [
        [
            *(fit.candidate.text, *([sides(input)] if sized else [])),
            *map(_shown, _values(fit, more)),
            *([_share(fit)] if ranked else []),
        ]
        for fit, input in zip(fits, sizes, strict=False)
    ]
    headers = [*HEADERS[:1], *size, *HEADERS[1:], *map(_header, more), *(["nearest limit"] if ranked else [])]
    print_table(headers, shown, (0, 1) if sized else (0,))
    print_size(sizes)
    _print_remarks(selection.batch, device, dtype)
    fitting = sum(listing.fitting for listing in listings)
    if fitting > SHOWN:
        typer.echo(f"and {fitting - SHOWN:,} more; --format csv and json list up to {len(fits):,}")


def print_rows(rows: "Sequence[dict[str, Any]]", format: Format) -> None:
    """Rows as one JSON list, or as csv with a column for each name that any of them has."""
    if format is Format.json:
        typer.echo(json.dumps(rows))
        return
    names = dict.fromkeys(name for row in rows for name in row)
    print_csv(list(names), [[_cell(name, row.get(name)) for name in names] for row in rows])


def _cell(name: str, value: Any) -> Any:
    """Scales as in other exports, {1,2,4}; sizes as 3x32x32; messages one after the other."""
    from explorer.reports.numbers import scale_set

    if name == "input" and value is not None:
        return sides(value)
    if isinstance(value, list | dict):
        words = isinstance(value, list) and all(isinstance(one, str) for one in value)
        return "; ".join(value) if words else json.dumps(value)
    return scale_set(value) if isinstance(value, tuple) else value


def print_size(inputs: "Iterable[tuple[int, ...]]") -> None:
    """Say which images costs are of, where they are of one size."""
    if len(found := set(inputs)) == 1:
        typer.echo(f"costs are of one image of {sides(found.pop())}")


def _print_remarks(batch: int, device: "Device | None", dtype: str) -> None:
    """What the numbers of the table are of."""
    if batch > 1:
        typer.echo(f"limits, and what they ask for besides, are of {batch:,} images; MACs and activations of one")
    if device is not None:
        how = "calibrated on such a device" if device.measured else "from its maker's numbers, not calibrated"
        typer.echo(f"latencies: predicted for {device.name}, {how}; {dtype}, the reference layers")


def has_more(listings: "Sequence[Listing]") -> bool:
    """Whether limits asked for quantities beyond the usual columns."""
    return bool(_more([fit for listing in listings for fit in listing.fits]))


def _more(fits: "Sequence[Fit]") -> list[str]:
    """The quantities that limits asked for beyond the usual columns."""
    return list(dict.fromkeys(name for fit in fits for name in fit.quantities if name not in COLUMNS))


def _latencies(names: "Sequence[str]") -> list[str]:
    from explorer.analysis.times import LATENCIES

    return [name for name in names if name in LATENCIES]


def _device(selection: "Selection") -> "Device":
    """What latencies were predicted for."""
    from explorer.sweep.predicting import device_of

    assert selection.on is not None
    return device_of(selection.on)


def _key(name: str) -> str:
    """A quantity's name in data: latencies say their unit."""
    return f"{name}_ms" if _latencies([name]) else name


def _header(name: str) -> str:
    return f"predicted\n{name}, ms" if _latencies([name]) else name


def _as_dict(fit: "Fit", device: "Device | None", batch: int) -> dict[str, Any]:
    candidate = fit.candidate
    found: dict[str, Any] = {"network": candidate.text, "canonical": fit.canonical, "scales": candidate.scales}
    found |= {"input": candidate.input} if candidate.input else {}
    found |= {"space": candidate.space} if candidate.space else {}
    found |= {_key(name): _number(fit, name) for name in fit.quantities}
    return found | ({"batch": batch} if batch > 1 else {}) | ({"predicted_on": device.name} if device else {})


def extras(listings: "Sequence[Listing]", selection: "Selection") -> list[dict[str, Any]]:
    """Of each candidate that was found: its space, and the quantities that limits asked for; by name, for data."""
    fits = [fit for listing in listings for fit in listing.fits]
    more = _more(fits)
    how: dict[str, Any] = {"batch": selection.batch} if selection.batch > 1 else {}
    how |= {"predicted_on": _device(selection).name} if _latencies(more) else {}
    spaces = [{"space": fit.candidate.space} if fit.candidate.space else {} for fit in fits]
    return [
        space | {_key(name): _number(fit, name) for name in more} | how for fit, space in zip(fits, spaces, strict=True)
    ]


def _values(fit: "Fit", more: "Sequence[str]") -> list[Any]:
    return [_number(fit, name) for name in (*COLUMNS, *more)]


def _number(fit: "Fit", name: str) -> Any:
    """A quantity, a fraction as a decimal, a latency in milliseconds."""
    value = fit.quantities.get(name)
    if value is not None and _latencies([name]):
        return value / 1e6
    return value if value is None or isinstance(value, int) else float(value)


def _shown(value: Any) -> str:
    return DASH if value is None else f"{value:,.4g}" if isinstance(value, float) else whole(value)


def _share(fit: "Fit") -> str:
    return DASH if fit.share is None else f"{100 * fit.share:.2f}% of {fit.limit}"


def print_summaries(listings: "Sequence[Listing]", err: bool) -> None:
    """How many candidates there were, and what became of them; `err`: to stderr."""
    for listing in listings:
        _print_summary(listing, err)


def _print_summary(listing: "Listing", err: bool) -> None:
    possible = listing.total - sum(count for count, _ in listing.impossible)
    drawn = listing.space is not None
    parts = [f"space {listing.space}: {listing.total:,} drawn" if drawn else f"{listing.total:,} candidates"]
    if listing.repeated:
        parts.append(f"{listing.repeated:,} repeated and left out")
    if listing.impossible:
        parts.append(f"{listing.total - possible:,} cannot exist")
    if drawn:
        parts.append(f"the first {listing.fitting:,} that fit")
    elif listing.removed:
        parts.append(f"{possible - listing.fitting:,} are beyond the limits")
        parts.append(f"{listing.fitting:,} fit, nearest to a limit first")
    typer.echo(", ".join(parts), err=err)
    for count, reason in listing.impossible:
        typer.echo(f"  {count:,}: {reason}", err=err)
    for limit, count in listing.removed:
        typer.echo(f"  {limit} leaves out {count:,}", err=err)
