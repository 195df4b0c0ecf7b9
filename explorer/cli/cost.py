"""explorer cost: exact parameters, MACs and activations, in total and per stage and block."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explorer.analysis.cost import Cost
from explorer.cli.cost_tables import print_differences, print_parts_csv, print_side_by_side, print_tree
from explorer.cli.measured import (
    BatchOrMax,
    Calibrate,
    ChannelsLast,
    Compile,
    Dtype,
    How,
    Lean,
    Mode,
    On,
    OnDevices,
    Reference,
    batches,
    on_devices,
    wanted,
    write_calibrated,
)
from explorer.cli.measured_kept import KeptIn, check_workspace, keep_measured
from explorer.cli.measured_limits import check_limit, judged_latencies
from explorer.cli.options import Classes, Format, Input, Nets, OutputFormat, at_least, input_size
from explorer.cli.printing import print_csv, print_table, whole
from explorer.errors import UserError

if TYPE_CHECKING:
    from explorer.analysis.conventions import Convention
    from explorer.analysis.limits import Judged, Limit
    from explorer.analysis.verify import Comparison

DEFAULT_DEPTH = 1  # stages, for one network
Depth = Annotated[int | None, typer.Option("--depth", help="Levels of the tree: 0 totals, 1 stages, 2 blocks, ...")]
As = Annotated[
    str | None, typer.Option("--as", metavar="NAME[,NAME...]", help="Count as other tools do: flops, fvcore, thop, ...")
]
LimitText = Annotated[
    str | None,
    typer.Option(
        "--limit",
        metavar="EXPR",
        help="Exit 1 unless 'params <= 25e6 and macs <= 4e9' holds; with --on also 'train_latency <= 200ms'.",
    ),
]
Verify = Annotated[
    bool, typer.Option("--verify", help="Build the module and compare with torchinfo, fvcore and torch.")
]


def cost(
    nets: Nets = None,
    input: Input = None,
    classes: Classes = None,
    batch: BatchOrMax = "1",
    depth: Depth = None,
    as_: As = None,
    limit: LimitText = None,
    verify: Verify = False,
    on: On = None,
    mode: Mode = None,
    dtype: Dtype = None,
    compile: Compile = False,
    channels_last: ChannelsLast = False,
    reference: Reference = False,
    lean: Lean = False,
    calibrate: Calibrate = None,
    workspace: KeptIn = None,
    format: OutputFormat = Format.table,
) -> None:
    """What networks cost: parameters, MACs of convolutions and linear layers, activations, depth, traffic."""
    import explorer

    if not nets:
        if calibrate is None:
            raise UserError("NET is missing; name networks, for example: explorer cost gunn18 resnet50")
        return write_calibrated(calibrate, on)
    size = input_size(input)
    at_least(classes, 1, "--classes")
    at_least(depth, 0, "--depth")
    conventions = _conventions(as_)
    bound = _limit(limit)
    ask = wanted(on, How(mode, dtype, compile, channels_last, reference, lean), size, classes)
    check_limit(bound, ask)
    check_workspace(workspace, ask)
    sizes, largest = batches(batch, nets, ask)
    costs: list[Cost] = [
        explorer.cost(net, input=size, classes=classes, batch=its) for net, its in zip(nets, sizes, strict=True)
    ]
    judged = [] if bound is None else _judged(bound, costs)
    checked = [_verified(c) for c in costs] if verify else []
    if calibrate is not None:
        write_calibrated(calibrate, on)
    devices = None if ask is None else on_devices(costs, ask, depth, largest)
    _show(format, costs, checked, conventions, depth, devices)
    keep_measured(workspace, costs, devices, err=format is not Format.table)
    judged += judged_latencies(bound, costs, devices)
    _tell_limits(judged, err=format is not Format.table)
    unexplained = not all(row.explained for rows in checked for row in rows)
    if unexplained:
        typer.echo("explorer: a difference between counters has no known reason", err=True)
    lost = devices is not None and _tell(devices)
    if unexplained or lost or not all(part.holds for part in judged):
        raise typer.Exit(1)


def _show(
    format: Format,
    costs: list[Cost],
    checked: "list[list[Comparison]]",
    conventions: "Sequence[Convention]",
    depth: int | None,
    devices: OnDevices | None,
) -> None:
    if format is Format.json:
        _print_json(costs, checked, conventions, depth, devices)
        return
    if format is Format.csv:
        _print_csv(costs, conventions, depth, devices)
        return
    _print(costs, conventions, depth, devices)
    for c, rows in zip(costs, checked, strict=False):
        _print_verified(c, rows)
    if checked:
        _print_training([c for c in costs if not _is_traced(c)])


def _tell(devices: OnDevices) -> bool:
    """Warnings; whether nothing could be measured though it should. Ends the command where it was interrupted."""
    from explorer.cli.measured_tables import warn

    warn(devices)
    if devices.interrupted:
        typer.echo("explorer: interrupted", err=True)
        raise typer.Exit(130)
    return bool(devices.measurements) and all(m.outcome == "failed" for m in devices.measurements)


def _conventions(text: str | None) -> "Sequence[Convention]":
    if text is None:
        return ()
    from explorer.cli.conventions import conventions_of

    return conventions_of(text)


def _limit(text: str | None) -> "Limit | None":
    if text is None:
        return None
    from explorer.analysis.limits import parse_limit

    return parse_limit(text)


def _judged(limit: "Limit", costs: list[Cost]) -> "list[Judged]":
    from explorer.analysis.limits import judged

    return [part for cost in costs for part in judged(limit.untimed, cost)]


def _tell_limits(judged: "list[Judged]", err: bool) -> None:
    """What is met, then what is broken on stderr; `err`: all there."""
    for part in judged:
        if part.holds:
            typer.echo(f"limit: {part.sentence}", err=err)
    for part in judged:
        if not part.holds:
            typer.echo(f"explorer: --limit: {part.sentence}", err=True)


def _print(
    costs: list[Cost], conventions: "Sequence[Convention]", depth: int | None, devices: OnDevices | None
) -> None:
    if conventions:
        from explorer.cli.conventions import print_counts

        print_counts(costs, conventions)
    elif len(costs) == 1:
        print_tree(costs[0], DEFAULT_DEPTH if depth is None else depth)
    elif depth is None:
        print_differences(costs)
    else:
        print_side_by_side(costs, depth)
    for cost in costs:
        _print_remarks(cost)
    if devices is not None:
        from explorer.cli.measured_tables import print_on_devices

        print_on_devices(costs, devices, depth)


def _print_remarks(cost: Cost) -> None:
    if _is_traced(cost):
        from explorer.analysis.foreign import remarks

        for line in remarks(cost):
            typer.echo(line)


def _print_json(
    costs: list[Cost],
    checked: "list[list[Comparison]]",
    conventions: "Sequence[Convention]",
    depth: int | None,
    devices: OnDevices | None,
) -> None:
    found = [c.as_dict(depth) for c in costs]
    if conventions:
        from explorer.cli.conventions import as_json

        found = [shown | as_json(c, conventions) for shown, c in zip(found, costs, strict=True)]
    for c, shown in zip(costs, found, strict=True):
        shown |= _as_json(c, bool(checked))
    for shown, rows in zip(found, checked, strict=False):
        shown["verify"] = [row._asdict() for row in rows]
    if devices is not None:
        found = [shown | devices.as_dict(place) for place, shown in enumerate(found)]
    typer.echo(json.dumps(found[0] if len(found) == 1 else found))


def _is_traced(cost: Cost) -> bool:
    return "trace" in cost.graph.root.attrs


def _as_json(cost: Cost, verify: bool) -> dict[str, Any]:
    """What is only told of some networks: the training step of ours, the trace of others."""
    if _is_traced(cost):
        from explorer.analysis.foreign import trace_dict

        return {"trace": trace_dict(cost)}
    from explorer.cli.conventions import training_as_json

    return {"training": training_as_json(cost, verify)}


def _print_training(costs: list[Cost]) -> None:
    from explorer.cli.conventions import print_training

    if costs:
        print_training(costs, verify=True)


def _print_csv(
    costs: list[Cost], conventions: "Sequence[Convention]", depth: int | None, devices: OnDevices | None
) -> None:
    if devices is not None:
        from explorer.cli.measured_tables import print_on_devices_csv

        print_on_devices_csv(costs, devices)
        return
    if not conventions:
        print_parts_csv(costs, DEFAULT_DEPTH if depth is None else depth)
        return
    from explorer.analysis.conventions import count_of

    rows: list[list[Any]] = [
        [c.network, each.name, each.unit, count_of(each, c)] for c in costs for each in conventions
    ]
    print_csv(["network", "convention", "unit", "count"], rows)


def _verified(cost: Cost) -> "list[Comparison]":
    if _is_traced(cost):
        raise UserError(f"--verify builds networks of the grammar; {cost.canonical[:100]} is a torch module already")
    from explorer.analysis.verify import verify

    return verify(cost)


def _print_verified(cost: Cost, rows: "list[Comparison]") -> None:
    shown = [[r.quantity, r.counter, whole(r.ours), whole(r.theirs), whole(r.gap), r.reason] for r in rows]
    headers = ["quantity", "counter", "ours", "theirs", "gap", "reason"]
    typer.echo()
    print_table(headers, shown, (0, 1, 5), f"{cost.canonical}: ours beside other counters")
