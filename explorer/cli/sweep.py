"""explorer sweep: networks plain and recalibrated at every subset of the scales, costed, filtered and trained."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explorer.cli.live import Live
from explorer.cli.options import Format, OutputFormat, Workspace
from explorer.cli.sweep_document import Swept, print_document
from explorer.cli.sweep_results import print_costs, print_errors, print_table_of, tell_reasons, tell_repeated
from explorer.cli.sweep_tables import Walking, has_more, print_search, print_summaries
from explorer.cli.train import (
    Compile,
    DataDir,
    Deterministic,
    Device,
    Download,
    Dtype,
    Lean,
    Recipe,
    Reference,
    TimeLimit,
    execution,
    fetch_archive,
    tell_left_out,
)
from explorer.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explorer.sweep.candidates import Selection
    from explorer.sweep.files import SweepFile
    from explorer.sweep.listing import Listing
    from explorer.sweep.records import CandidateRecord

Bases = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NET...|FILE.toml|EXPERIMENT]",
        help="Networks (default: two small ResNets), a sweep file, or one of the papers' experiments (ms-sar/table3). "
        "A number in a network may be a range, lo..hi or lo..hi..step: 'seqresnet(k=8..32..8, r=2..16, N=1..3)'.",
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
        help="Which candidates: 'params<=25e6 and macs<=4e9', over the quantities of `cost --limit` and the network's "
        "parameters. The nearest to their limits come first.",
    ),
]
On = Annotated[
    str | None,
    typer.Option("--on", metavar="DEVICE", help="What latencies in --where are predicted for: h200, FILE.toml."),
]
Modifiers = Annotated[
    list[str] | None,
    typer.Option("--modifier", metavar="MODIFIER", help="Each network without and with it: se; may be repeated."),
]
Inputs = Annotated[
    str | None, typer.Option("--input", metavar="CxHxW[,...]", help="Input sizes, each compared (costs only).")
]
Batch = Annotated[int | None, typer.Option("--batch", help="Images whose costs are limited (default: 1).")]
Budget = Annotated[
    str | None, typer.Option("--budget", help="Per trial: 5epochs, 60s, 2e15flops, full (default: 20epochs).")
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="NAME|FOLDER",
        help="As for train (default: digits; with --no-train each network's own input).",
    ),
]
Scales = Annotated[str | None, typer.Option("--scales", help="MS-SAR scales; all subsets are compared: 1,2,4.")]
Seeds = Annotated[int | None, typer.Option("--seeds", help="Trials of each network (default: 3).")]
NoTrain = Annotated[bool, typer.Option("--no-train", help="Costs only.")]
Workers = Annotated[int | None, typer.Option("--workers", help="Processes (default: one per core or GPU).")]
Engine = Annotated[str, typer.Option("--engine", help="Where trials run: local, ray, ray:ADDRESS (docs/cluster.md).")]
PerDevice = Annotated[int, typer.Option("--per-device", help="Trials that share a GPU.")]
MemoryLimit = Annotated[float | None, typer.Option("--memory-limit", metavar="GIB", help="Of a trial's process.")]


def sweep(
    nets: Bases = None,
    scales: Scales = None,
    axis: Axes = None,
    modifier: Modifiers = None,
    where: Limits = None,
    on: On = None,
    input: Inputs = None,
    batch: Batch = None,
    data: Data = None,
    data_dir: DataDir = None,
    download: Download = False,
    budget: Budget = None,
    seeds: Seeds = None,
    recipe: Recipe = None,
    reference: Reference = False,
    lean: Lean = False,
    dtype: Dtype = "fp32",
    compile: Compile = False,
    deterministic: Deterministic = False,
    no_train: NoTrain = False,
    engine: Engine = "local",
    workers: Workers = None,
    per_device: PerDevice = 1,
    time_limit: TimeLimit = None,
    memory_limit: MemoryLimit = None,
    device: Device = "cpu",
    workspace: Workspace = "explorer-work",
    format: OutputFormat = Format.table,
) -> None:
    """Compare networks: costs at once, then short training, then a report. Interrupted, it goes on where it was."""
    from explorer.sweep.run import DEFAULT_BUDGET, DEFAULT_SEEDS

    file = _file(nets or [])
    selection = _selection(file, nets or [], scales, axis, modifier, where, on, input, batch)
    length = budget or (file.budget if file else None) or DEFAULT_BUDGET
    if no_train and (selection.is_search or selection.inputs or selection.batch > 1):
        return _search(selection, data, format, dtype)
    how = execution(reference, lean, dtype, compile, deterministic)
    settings: dict[str, Any] = {
        "experiment": file.name if file else None,
        "budget": length,
        "seeds": next((n for n in (seeds, file.seeds if file else None) if n is not None), DEFAULT_SEEDS),
        "data_dir": data_dir,
        "recipe": recipe or (file.recipe if file else None),
        "execution": replace(how, observe=file.observe) if file else how,
        "workspace": workspace,
        "watch": Walking(),
    }
    settings |= {"device": device, "engine": engine, "workers": workers, "per_device": per_device}
    settings |= {"time_limit": time_limit, "memory_limit": memory_limit}
    if no_train:
        from explorer.sweep.run import sweep as run

        return print_costs(run(selection, data=data, train=False, **settings), format)
    names = _names(file, data, length, format)
    if download:
        _fetch(names, data_dir)
    _load(names[1:], data_dir)
    swept = [_train(selection, name, format, settings) for name in names]
    _report(swept, selection, workspace, format)


def _file(nets: list[str]) -> "SweepFile | None":
    """The sweep file or experiment that is named, if one is. UserError where networks stand beside it."""
    from explorer.sweep.files import is_file, load

    named = [net for net in nets if is_file(net)]
    if named and len(nets) > 1:
        raise UserError(f"NET: the sweep file {named[0][:80]} stands alone; write further networks into a file")
    return load(named[0]) if named else None


def _names(file: "SweepFile | None", data: str | None, length: str, format: Format) -> "Sequence[str | None]":
    """The data sets to train on, None being the default; told where one stands in for the papers'."""
    if data or not file:
        return [data]
    if file.stand_in and file.stand_in in file.data_for(length):
        papers = " and ".join(file.data)
        options = " or ".join(f"--data {name}" for name in file.data)
        real = "the real one" if len(file.data) == 1 else "a real one"
        told = f"{file.name}: {file.stand_in} stands in for {papers} at this budget; {options} trains on {real}"
        typer.echo(told, err=format is not Format.table)
    return file.data_for(length) or [None]


def _fetch(names: "Sequence[str | None]", data_dir: str | None) -> None:
    """Bring the archives of these data sets here."""
    from explorer.sweep.run import DEFAULT_DATA

    for name in names:
        fetch_archive(name or DEFAULT_DATA, data_dir)


def _load(names: "Sequence[str | None]", data_dir: str | None) -> None:
    """UserError for data that cannot be read, before hours are spent on other data; they are kept."""
    from explorer.train.data import load

    for name in filter(None, names):
        load(name, data_dir)


def _selection(
    file: "SweepFile | None",
    nets: list[str],
    scales: str | None,
    axis: list[str] | None,
    modifier: list[str] | None,
    where: str | None,
    on: str | None,
    input: str | None,
    batch: int | None,
) -> "Selection":
    """Which networks: what the file says, options in place of its entries."""
    from explorer.sweep import candidates as check

    base = file.selection if file else check.Selection(tuple(nets) or check.DEFAULT_BASES)
    given: dict[str, Any] = {
        "scales": None if scales is None else check.parse_scales(scales),
        "axes": tuple(axis) if axis else None,
        "modifiers": check.check_modifiers(modifier) if modifier else None,
        "where": where,
        "on": on,
        "inputs": None if input is None else check.parse_inputs(input),
        "batch": None if batch is None else check.check_batch(batch),
    }
    return replace(base, **{name: value for name, value in given.items() if value is not None})


def _search(selection: "Selection", data: str | None, format: Format, dtype: str) -> None:
    """Costs alone of candidates that have to be found."""
    from explorer.sweep.listing import listings, measures_of
    from explorer.train.data import source

    described = source(data) if data else None
    shape, classes = (described.shape, described.classes) if described else (None, None)
    found = listings(selection, shape, classes, measures_of(selection, dtype), Walking())
    print_search(found, format, selection, dtype)


def _train(selection: "Selection", data: str | None, format: Format, settings: dict[str, Any]) -> Swept:
    """One data set: costs, training, errors; as data they are printed when all have been swept."""
    from explorer.sweep.run import DEFAULT_DATA, Interrupted
    from explorer.sweep.run import sweep as run

    bar = Live()
    found: list[Listing] = []

    def announce(
        candidates: "tuple[CandidateRecord, ...]", listings: "list[Listing]", repeated: tuple[str, ...]
    ) -> None:
        found.extend(listings)
        if data is not None:
            tell_left_out(data, settings["data_dir"])
        if format is not Format.table:
            print_summaries(listings, err=True)
        elif has_more(listings):
            print_search(listings, format, selection, settings["execution"].dtype)
        else:
            print_summaries(listings, err=False)
            print_table_of(candidates)
        tell_repeated(repeated)
        bar.open()

    try:
        result = run(selection, data=data, announce=announce, progress=bar, **settings)
    except Interrupted as stopped:
        bar.close()
        typer.echo(str(stopped), err=True)
        raise typer.Exit(130) from None
    finally:
        bar.close()
    if format is Format.table:
        print_errors(result, f"{data or DEFAULT_DATA}, {settings['budget']}", settings["seeds"])
    return Swept(data or DEFAULT_DATA, settings["budget"], settings["seeds"], found, result)


def _report(swept: list[Swept], selection: "Selection", workspace: str, format: Format) -> None:
    """Write the report about the runs, and print what is asked for as data; exit code 1 where nothing was trained."""
    from explorer.reports.report import write_report

    written = write_report(workspace, [one.result.run for one in swept if one.result.run is not None])
    for path in (*written.figures, written.html):
        typer.echo(f"wrote {path}", err=format is not Format.table)
    if format is not Format.table:
        print_document(swept, selection, written, format)
    trials = [trial for one in swept for trial in one.result.trials]
    tell_reasons(trials)
    if all(trial.status == "failed" for trial in trials):
        typer.echo("explorer: every trial failed", err=True)
        raise typer.Exit(1)
