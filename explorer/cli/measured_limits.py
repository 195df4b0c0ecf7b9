"""explorer cost --limit on latencies: measured where the device is here, predicted where it is not."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from explorer.analysis.cost import Cost
from explorer.cli.measured import Column, OnDevices, Wanted
from explorer.errors import UserError

if TYPE_CHECKING:
    from explorer.analysis.limits import Judged, Limit


def check_limit(limit: "Limit | None", ask: Wanted | None) -> None:
    """UserError, before anything runs, where a limit is on a latency that there will not be."""
    from explorer.analysis.times import LATENCIES

    for name in () if limit is None else limit.latencies:
        mode = LATENCIES[name]
        if ask is None:
            raise UserError(f"--limit: {name} needs --on DEVICE: --on cpu measures it, --on h200 predicts it")
        if ask.here and ask.setting.mode != mode:
            raise UserError(f"--limit: {name} needs --mode {mode}; on {ask.here[0]} one mode is measured at a time")
        if ask.elsewhere and ask.setting.compile:
            raise UserError(f"--limit: {name} is not predicted for compiled networks; leave out --compile")


def judged_latencies(limit: "Limit | None", costs: Sequence[Cost], found: OnDevices | None) -> "list[Judged]":
    """Whether networks meet the limits on latencies on each device; a latency that is not known meets none."""
    if limit is None or found is None or not limit.latencies:
        return []
    from explorer.analysis.limits import Judged
    from explorer.grammar.printer import print_expr

    timed, told = limit.timed, []
    parts = " and ".join(print_expr(part) for part in timed.parts)
    for place, cost in enumerate(costs):
        for column in found.columns:
            unknown = _unknown(column, place)
            if unknown is None:
                told += _judged(timed, cost, column, place, found.wanted)
            else:
                told.append(Judged(False, f"{cost.canonical} is not known to meet {parts} on {column.name}: {unknown}"))
    return told


def _unknown(column: Column, place: int) -> str | None:
    """Why a device has no latency of a network; None where it has one."""
    if column.measured:
        measurement = column.measured[place]
        return measurement.reason or measurement.outcome if measurement.latency is None else None
    predicted = column.predicted[place]
    return predicted.reason or "nothing is predicted of it" if predicted.latency is None else None


def _judged(timed: "Limit", cost: Cost, column: Column, place: int, ask: Wanted) -> "list[Judged]":
    from explorer.analysis.limits import QUANTITIES, judged
    from explorer.analysis.times import latency_of

    time = column.measured[place].latency if column.measured else None
    if time is not None:
        measured = round(1e6 * time.median_ms)
        latencies = {name: lambda _: measured for name in timed.latencies}
        return judged(timed, cost, {**QUANTITIES, **latencies}, f"measured on {column.name}")
    device = next(device for device in ask.elsewhere if device.name == column.name)
    predicted = {
        name: latency_of(name, device, ask.setting.dtype, ask.setting.channels_last) for name in timed.latencies
    }
    return judged(timed, cost, {**QUANTITIES, **predicted}, f"predicted for {column.name}")
