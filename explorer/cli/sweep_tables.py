"""What `explorer sweep` prints of a search: how many candidates there are, why some are not, and those that fit."""

import json
from typing import TYPE_CHECKING, Any

import typer

from explorer.cli.options import Format
from explorer.cli.printing import DASH, print_csv, print_table, sides, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explorer.sweep.listing import Fit, Listing

COLUMNS = ("params", "macs", "activations", "depth", "chain")
HEADERS = ("network", "params", "MACs", "activations", "depth", "chain")
SHOWN = 20  # candidates of a search, in the table


class Walking:
    """Progress on the terminal while quantities are computed network by network."""

    def __init__(self) -> None:
        self.bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        """So many of so many are walked."""
        from tqdm import tqdm

        if self.bar is None:
            self.bar = tqdm(unit="network", leave=False, desc="costs one by one")
        self.bar.total = max(total, done)
        self.bar.update(done - self.bar.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def print_search(listings: "Sequence[Listing]", format: Format, batch: int) -> None:
    """The candidates that fit, the nearest first; how many there are goes to stderr where the output is data."""
    print_summaries(listings, err=format is not Format.table)
    fits = [fit for listing in listings for fit in listing.fits]
    columns = (*COLUMNS, *_more(fits))
    if format is Format.json:
        typer.echo(json.dumps([_as_dict(fit) for fit in fits]))
        return
    sized = len({fit.candidate.input for fit in fits}) > 1
    headers = (*HEADERS[:1], *(["input"] if sized else []), *HEADERS[1:], *_more(fits))
    if format is Format.csv:
        print_csv(headers, [[*_named(fit, sized), *_values(fit, columns)] for fit in fits])
        return
    ranked = any(fit.share is not None for fit in fits)
    rows = [
        [*_named(fit, sized), *map(_shown, _values(fit, columns)), *([_share(fit)] if ranked else [])]
        for fit in fits[:SHOWN]
    ]
    print_table([*headers, *(["nearest limit"] if ranked else [])], rows, (0, 1) if sized else (0,))
    if batch > 1:
        typer.echo(f"MACs, activations and memory are those of {batch:,} images")
    fitting = sum(listing.fitting for listing in listings)
    if fitting > SHOWN:
        typer.echo(f"and {fitting - SHOWN:,} more; --format csv and json list up to {len(fits):,}")


def _more(fits: "Sequence[Fit]") -> list[str]:
    """The quantities that limits asked for beyond the usual columns."""
    return list(dict.fromkeys(name for fit in fits for name in fit.quantities if name not in COLUMNS))


def _as_dict(fit: "Fit") -> dict[str, Any]:
    candidate = fit.candidate
    found: dict[str, Any] = {"network": candidate.text, "canonical": fit.canonical, "scales": candidate.scales}
    found |= {"input": candidate.input} if candidate.input else {}
    found |= {"space": candidate.space} if candidate.space else {}
    return found | {name: _number(value) for name, value in fit.quantities.items()}


def _named(fit: "Fit", sized: bool) -> list[str]:
    size = [sides(fit.candidate.input) if fit.candidate.input else DASH] if sized else []
    return [fit.candidate.text, *size]


def _values(fit: "Fit", columns: "Sequence[str]") -> list[Any]:
    return [_number(fit.quantities.get(name)) for name in columns]


def _number(value: Any) -> Any:
    """A fraction as a decimal."""
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
