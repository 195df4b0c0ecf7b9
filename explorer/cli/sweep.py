"""explorer sweep: networks plain and recalibrated at every subset of the scales, costed, filtered and trained."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explorer.cli.options import Format, OutputFormat, Workspace
from explorer.cli.printing import DASH, difference, print_csv, print_table, whole
from explorer.cli.train import Budget, Device, Recipe, rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explorer.sweep.listing import Fit, Listing
    from explorer.sweep.progress import Progress
    from explorer.sweep.records import CandidateRecord
    from explorer.sweep.run import SweepResult

COLUMNS = ("params", "macs", "activations", "depth", "chain")
HEADERS = ("network", "params", "MACs", "activations", "depth", "chain")
SHOWN = 20  # candidates of a search, in the table

Bases = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NET...]",
        help="Base networks (default: two small ResNets). A number in them may be a range, lo..hi or lo..hi..step: "
        "'seqresnet(k=8..32..8, r=2..16, N=1..3)'.",
    ),
]
Axes = Annotated[
    list[str] | None,
    typer.Option("--axis", metavar="NAME=VALUES", help="Values of a parameter: k=8,16,32 or r=2..12; may be repeated."),
]
Limits = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="LIMITS",
        help="Which candidates: 'params<=25e6 and macs<=4e9', over params, macs, flops, activations, depth, chain and "
        "the network's parameters. The nearest to their limits come first.",
    ),
]
Data = Annotated[
    str | None, typer.Option("--data", help="Data set (default: digits; with --no-train each network's own input).")
]
Scales = Annotated[str | None, typer.Option("--scales", help="MS-SAR scales; all subsets are compared: 1,2,4.")]
Seeds = Annotated[int, typer.Option("--seeds", help="Trials of each network.")]
NoTrain = Annotated[bool, typer.Option("--no-train", help="Costs only.")]
Workers = Annotated[int | None, typer.Option("--workers", help="Processes (default: one per core).")]


def sweep(
    nets: Bases = None,
    scales: Scales = None,
    axis: Axes = None,
    where: Limits = None,
    data: Data = None,
    budget: Budget = "20epochs",
    seeds: Seeds = 3,
    recipe: Recipe = None,
    no_train: NoTrain = False,
    workers: Workers = None,
    device: Device = "cpu",
    workspace: Workspace = "explorer-work",
    format: OutputFormat = Format.table,
) -> None:
    """Compare networks: costs at once, then short training, then a report. Interrupted, it goes on where it was."""
    from explorer.sweep.candidates import DEFAULT_BASES, parse_scales
    from explorer.sweep.listing import is_search
    from explorer.sweep.run import Interrupted
    from explorer.sweep.run import sweep as run

    chosen = None if scales is None else parse_scales(scales)
    settings: dict[str, Any] = {
        "axes": axis or (),
        "where": where,
        "budget": budget,
        "seeds": seeds,
        "data": data,
        "recipe": recipe,
        "workspace": workspace,
    }
    settings |= {"device": device, "workers": workers}
    bases = nets or DEFAULT_BASES
    if no_train and is_search(bases, axis or (), where):
        _print_search(bases, chosen, axis or (), where, data, format)
        return
    costs = run(bases, chosen, train=False, **settings)
    _print_costs(costs.candidates, format)
    if no_train:
        return
    bar = _Bar()
    try:
        result = run(bases, chosen, progress=bar, **settings)
    except Interrupted as stopped:
        bar.close()
        typer.echo(str(stopped), err=True)
        raise typer.Exit(130) from None
    bar.close()
    _print_errors(result)
    from explorer.reports.report import write_report

    assert result.run is not None
    written = write_report(workspace, [result.run])
    for path in (*written.figures, written.html):
        typer.echo(f"wrote {path}")
    if all(trial.status == "failed" for trial in result.trials):
        typer.echo("explorer: every trial failed; the report names the reasons", err=True)
        raise typer.Exit(1)


class _Bar:
    """Progress on the terminal."""

    def __init__(self) -> None:
        from tqdm import tqdm

        self.bar = tqdm(unit="trial", bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]")

    def __call__(self, progress: "Progress") -> None:
        self.bar.total = progress.total
        self.bar.n = progress.done
        left = "" if progress.eta_seconds is None else f"about {progress.eta_seconds:.0f} s left, "
        state = (
            "" if progress.ended is None else f" {progress.ended.status}, test error {rate(progress.ended.test_error)}"
        )
        self.bar.set_postfix_str(f"{left}{progress.text} seed {progress.seed}{state}", refresh=True)

    def close(self) -> None:
        self.bar.close()


def _plain(candidates: "tuple[CandidateRecord, ...]") -> "dict[str, CandidateRecord]":
    """Each base's plain network: what differences are to."""
    found: dict[str, CandidateRecord] = {}
    for candidate in candidates:
        if not candidate.scales:
            found.setdefault(candidate.base, candidate)
    return found


def _print_costs(candidates: "tuple[CandidateRecord, ...]", format: Format) -> None:
    if format is Format.json:
        rows = [{"network": c.text, "canonical": c.network.canonical, "scales": c.scales}
                | {key: getattr(c.network, key) for key in COLUMNS} for c in candidates]  # fmt: skip
        typer.echo(json.dumps(rows))
        return
    if format is Format.csv:
        print_csv(HEADERS, [[c.text, *_numbers(c)] for c in candidates])
        return
    plain = _plain(candidates)
    shown = []
    for c in candidates:
        params, macs, *rest = _numbers(c)
        reference = plain[c.base].network
        extra = (
            ["", ""] if c is plain[c.base] else [difference(params, reference.params), difference(macs, reference.macs)]
        )
        shown.append([c.network.canonical, whole(params), extra[0], whole(macs), extra[1], *map(whole, rest)])
    print_table(["network", "params", "Δ", "MACs", "Δ", "activations", "depth", "chain"], shown)


def _print_search(
    bases: "Sequence[str]",
    scales: "tuple[int, ...] | None",
    axes: "Sequence[str]",
    where: str | None,
    data: str | None,
    format: Format,
) -> None:
    """The candidates that fit, the nearest first; how many there are goes to stderr where the output is data."""
    from explorer.sweep.listing import list_fits
    from explorer.train.data import source

    described = source(data) if data else None
    shape, classes = (described.shape, described.classes) if described else (None, None)
    listing = list_fits(bases, scales, axes=axes, where=where, input=shape, classes=classes)
    _print_summary(listing, err=format is not Format.table)
    if format is Format.json:
        rows = [{"network": fit.candidate.text, "canonical": fit.canonical, "scales": fit.candidate.scales}
                | fit.quantities for fit in listing.fits]  # fmt: skip
        typer.echo(json.dumps(rows))
        return
    if format is Format.csv:
        print_csv(HEADERS, [[fit.candidate.text, *[fit.quantities[key] for key in COLUMNS]] for fit in listing.fits])
        return
    ranked = any(fit.share is not None for fit in listing.fits)
    shown = [
        [fit.candidate.text, *[whole(fit.quantities[key]) for key in COLUMNS], *([_share(fit)] if ranked else [])]
        for fit in listing.fits[:SHOWN]
    ]
    print_table([*HEADERS, *(["nearest limit"] if ranked else [])], shown)
    if listing.fitting > SHOWN:
        typer.echo(f"and {listing.fitting - SHOWN:,} more; --format csv and json list up to {len(listing.fits):,}")


def _print_summary(listing: "Listing", err: bool) -> None:
    possible = listing.total - sum(count for count, _ in listing.impossible)
    parts = [f"{listing.total:,} candidates"]
    if listing.impossible:
        parts.append(f"{listing.total - possible:,} cannot exist")
    if listing.removed:
        parts.append(f"{possible - listing.fitting:,} are beyond the limits")
        parts.append(f"{listing.fitting:,} fit, nearest to a limit first")
    typer.echo(", ".join(parts), err=err)
    for count, reason in listing.impossible:
        typer.echo(f"  {count:,}: {reason}", err=err)
    for limit, count in listing.removed:
        typer.echo(f"  {limit} leaves out {count:,}", err=err)


def _share(fit: "Fit") -> str:
    return DASH if fit.share is None else f"{100 * fit.share:.2f}% of {fit.limit}"


def _numbers(candidate: "CandidateRecord") -> list[int]:
    network = candidate.network
    return [network.params, network.macs, network.activations, network.depth, network.chain]


def _print_errors(result: "SweepResult") -> None:
    from statistics import mean, stdev

    rows = []
    for candidate in result.candidates:
        trials = [t for t in result.trials if t.network == candidate.network.digest]
        errors = [t.test_error for t in trials if t.test_error is not None]
        spread = f" ± {100 * stdev(errors):.1f}" if len(errors) > 1 else ""
        shown = f"{100 * mean(errors):.1f}{spread}" if errors else "-"
        rows.append(
            [candidate.network.canonical, whole(candidate.network.macs), shown, f"{len(errors)} of {len(trials)}"]
        )
    print_table(["network", "MACs", "test error, %", "trials"], rows)
    if result.found:
        typer.echo(f"{result.found} of {len(result.trials)} trials were in the store already")
