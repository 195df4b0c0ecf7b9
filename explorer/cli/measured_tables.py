"""The tables of `explorer cost --on`: measured and predicted beside each other, each labelled as what it is."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer

from explorer.analysis.cost import Cost
from explorer.cli.cost_tables import megabytes
from explorer.cli.measured import Column, OnDevices, Predicted
from explorer.cli.printing import DASH, percent, print_csv, print_table

if TYPE_CHECKING:
    from explorer.measure import Measurement

SPLIT = ("parameters", "buffers", "optimizer", "image", "gradients", "activations", "temporaries", "workspace")
OK = "ok"


def print_on_devices(costs: Sequence[Cost], found: OnDevices, depth: int | None) -> None:
    """Time, memory, and with a depth where they go; then what was not measured and why."""
    for net, largest in zip(costs, found.largest, strict=False):
        print_largest(net.canonical, found.wanted.here[0], largest)
    typer.echo()
    print_table(*_times(costs, found), title=_title(costs, found))
    for column in found.columns:
        typer.echo(_about(column))
    typer.echo()
    headers, rows = _memory(costs, found)
    print_table(headers, rows, (0, 1), f"memory at its peak, MB, {found.wanted.setting.layers} layers")
    for line in _covered(found):
        typer.echo(line)
    if depth:
        for place, cost in enumerate(costs):
            _print_parts(cost, found, place, depth)
    for measurement in found.measurements:
        if measurement.outcome != OK:
            reason = f": {measurement.reason}" if measurement.reason else ""
            typer.echo(f"{measurement.network} on {measurement.setting.device}: {measurement.outcome}{reason}")


def warn(found: OnDevices) -> None:
    """What makes numbers doubtful, on stderr."""
    for measurement in found.measurements:
        for note in measurement.notes:
            typer.echo(f"explorer: {measurement.network} on {measurement.setting.device}: {note}", err=True)


def print_largest(net: str, device: str, largest: Any) -> None:
    """The largest batch, and the smallest that was too large."""
    if largest.batch is None:
        typer.echo(f"{net}: not even one image fits on {device}")
        return
    refused = largest.refused
    more = "" if refused is None else f"; {refused.batch:,} do not ({refused.outcome})"
    typer.echo(f"{net}: {largest.batch:,} images fit on {device}{more}")


def _title(costs: Sequence[Cost], found: OnDevices) -> str:
    setting = found.wanted.setting
    batch = {cost.batch for cost in costs}
    words = [
        "training step" if setting.training else "inference",
        f"batch {batch.pop():,}" if len(batch) == 1 else "largest batches",
        setting.dtype,
        *([f"{setting.layers} layers"] if found.measurements else []),  # predicted times are of the reference
        *(["compiled"] if setting.compile else []),
        *(["channels last"] if setting.channels_last else []),
    ]
    return ", ".join(words)


def _about(column: Column) -> str:
    """One line on what a column's numbers are of."""
    facts = next((m.environment for m in column.measured if m.environment), None)
    if column.measured:
        if facts is None:
            return f"{column.name}: nothing was measured"
        threads = f", {facts['threads']} thread{'s' * (facts['threads'] != 1)}" if column.name == "cpu" else ""
        itself = next((p.latency.device.name for p in column.predicted if p.latency is not None), None)
        predicted = _unpredicted(column, "; ")
        if itself is not None:
            predicted = f"; times predicted for {itself}, reference layers"
        return f"{column.name}: {facts['device_name']}{threads}, torch {facts['torch']}{predicted}"
    device = next((p.latency.device for p in column.predicted if p.latency is not None), None)
    if device is None:
        return f"{column.name}: {_unpredicted(column) or 'nothing is predicted'}"
    how = f"measured rates ({device.source})" if device.measured else "its maker's numbers, not calibrated"
    return f"{column.name}: times predicted from {how}; reference layers"


def _covered(found: OnDevices) -> Iterator[str]:
    """What the peaks of memory are of."""
    predicted = [p.memory for column in found.columns for p in column.predicted if p.memory is not None]
    if predicted:
        blocks = ", on a GPU in blocks of 512 bytes" if any(one.device == "cuda" for one in predicted) else ""
        yield f"predicted: tensors alone, without workspace{blocks}"
    if found.measurements:
        yield "measured: with workspace, what libraries and Python take beside tensors (docs/measuring.md)"


def _unpredicted(column: Column, before: str = "") -> str:
    """Why there are no predicted times, where that is known."""
    reason = next((p.reason for p in column.predicted if p.reason is not None), None)
    return "" if reason is None else f"{before}no time is predicted: {reason}"


def _under(column: Column, name: str) -> str:
    """A header; those without a first line of their own belong to the header before."""
    return f"\n{name}" if name.startswith("\n") else f"{column.name}\n{name}"


# --- time


def _times(costs: Sequence[Cost], found: OnDevices) -> tuple[list[str], list[list[str]], tuple[int]]:
    headers, parts = ["network"], [[cost.canonical] for cost in costs]
    for column in found.columns:
        cells = _measured_times if column.measured else _predicted_times
        names, rows = cells(column, costs)
        headers += [_under(column, name) for name in names]
        for row, more in zip(parts, rows, strict=True):
            row += more
    return headers, parts, (0,)


def _measured_times(column: Column, costs: Sequence[Cost]) -> tuple[list[str], list[list[str]]]:
    several, known = len(costs) > 1, any(p.latency for p in column.predicted)
    single = any(m.latency and m.latency.cpu_ms for m in column.measured)
    names = ["measured\nms", "\nquartiles", *["\nCPU ms"] * single, "\nimages/s", *["\nratio"] * several]
    names += ["predicted\nms"] * known
    rows = []
    for measurement, predicted in zip(column.measured, column.predicted, strict=True):
        time, ratio = measurement.latency, measurement.ratio
        rows.append(
            [
                milliseconds(None if time is None else time.median_ms),
                DASH if time is None else f"{milliseconds(time.q1_ms)}..{milliseconds(time.q3_ms)}",
                *[milliseconds(None if time is None else time.cpu_ms)] * single,
                DASH if time is None else f"{time.images_per_s:,.1f}",
                *[DASH if ratio is None else f"{ratio.median:.3f}"] * several,
                *[milliseconds(_predicted_ms(predicted))] * known,
            ]
        )
    return names, rows


def _predicted_times(column: Column, costs: Sequence[Cost]) -> tuple[list[str], list[list[str]]]:
    several = len(costs) > 1
    rows = []
    for place, predicted in enumerate(column.predicted):
        time, ratio = predicted.latency, _predicted_ratio(column, place)
        rows.append(
            [
                milliseconds(_predicted_ms(predicted)),
                DASH if time is None else f"{time.images_per_s:,.1f}",
                *[DASH if ratio is None else f"{ratio:.3f}"] * several,
                DASH if time is None else time.bound,
            ]
        )
    return ["predicted\nms", "\nimages/s", *["\nratio"] * several, "\nbound by"], rows


def _predicted_ratio(column: Column, place: int) -> float | None:
    """Time per image beside the first network's."""
    time, first = column.predicted[place].latency, column.predicted[0].latency
    return None if place == 0 or time is None or first is None else first.images_per_s / time.images_per_s


def _predicted_ms(predicted: Predicted) -> float | None:
    return None if predicted.latency is None else predicted.latency.latency_ms


def milliseconds(value: float | None) -> str:
    """12.3, 0.0456 or 1,234; not known is a dash."""
    return DASH if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


# --- memory


def _memory(costs: Sequence[Cost], found: OnDevices) -> tuple[list[str], list[list[str]]]:
    training = found.wanted.setting.training
    rows = []
    for place, cost in enumerate(costs):
        for column in found.columns:
            if column.measured:
                use = column.measured[place].memory
                split = [None if use is None else getattr(use, name) for name in SPLIT]
                inference = [None if use is None else use.inference_peak_bytes] if training else []
                peak = None if use is None else use.peak_bytes
                rows.append(_row(cost, f"{column.name} measured", peak, split, inference))
            memory = column.predicted[place].memory
            split = [None if memory is None else getattr(memory, name, None) for name in SPLIT]
            inference = [column.predicted[place].inference_peak] if training else []
            peak = None if memory is None else memory.peak
            rows.append(_row(cost, f"{column.name} predicted", peak, split, inference))
    return ["network", "", "peak", *SPLIT, *["inference"] * training], rows


def _row(
    cost: Cost, label: str, peak: int | None, split: Sequence[int | None], inference: Sequence[int | None]
) -> list[str]:
    return [cost.canonical, label, megabytes(peak), *map(megabytes, split), *map(megabytes, inference)]


# --- parts


def _print_parts(cost: Cost, found: OnDevices, place: int, depth: int) -> None:
    """Where time and saved memory go: for each part its share of what was measured and of what is predicted."""
    headers, shares = ["part"], []
    for column in found.columns:
        measurement = column.measured[place] if column.measured else None
        names, known = _shares_of(column, measurement, place, depth)
        headers += [_under(column, name) for name in names]
        shares.append(known)
    rows = []
    for path in _paths(cost.tree(depth)):
        cells = [cell for known in shares for cell in known(path)]
        if any(cell != DASH for cell in cells):
            rows.append(["  " * (len(path) - 1) + path[-1], *cells])
    if rows:
        typer.echo()
        print_table(headers, rows, title=f"{cost.canonical}: where time and saved memory go")


def _shares_of(column: Column, measurement: "Measurement | None", place: int, depth: int) -> tuple[list[str], Any]:
    """Headers, and the cells of a path."""
    time, memory = column.predicted[place].latency, column.predicted[place].memory
    sources: list[tuple[str, dict[tuple[str, ...], Any], bool]] = []  # header, values by path, as shares
    if measurement is not None and measurement.parts is not None:
        tree = measurement.parts["tree"]
        training = measurement.setting.training
        sources += [("measured\nms forward", _values(tree, lambda n: n["forward_ms"]), False)]
        sources += [("\nbackward", _values(tree, lambda n: n["backward_ms"]), False)] if training else []
        sources += [("\nof time", _values(tree, lambda n: n["forward_ms"] + (n["backward_ms"] or 0)), True)]
    if time is not None:
        sources += [("predicted\nof time", _values(time.tree(depth), lambda n: n["latency_ms"]), True)]
    if measurement is not None and measurement.parts is not None and measurement.setting.training:
        sources += [("measured\nof saved", _values(measurement.parts["tree"], lambda n: n["saved"]), True)]
    if memory is not None and memory.mode == "train":
        sources += [("predicted\nof saved", _values(memory.tree(depth), lambda n: n["saved"]), True)]

    def cells(path: tuple[str, ...]) -> list[str]:
        return [_cell(values, path, share) for _, values, share in sources]

    return [name for name, _, _ in sources], cells


def _cell(values: dict[tuple[str, ...], Any], path: tuple[str, ...], share: bool) -> str:
    value = values.get(path)
    if value is None:
        return DASH
    return percent(value, values[()]) if share else milliseconds(value)


def _values(tree: dict[str, Any], value: Any) -> dict[tuple[str, ...], Any]:
    """Values of all nodes by path."""
    found: dict[tuple[str, ...], Any] = {(): value(tree)}
    for child in tree["children"]:
        found.update({(child["name"], *path): inner for path, inner in _values(child, value).items()})
    return found


def _paths(tree: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for child in tree["children"]:
        yield (*path, child["name"])
        yield from _paths(child, (*path, child["name"]))


# --- for other programs

CSV = (
    "network", "device", "kind", "outcome", "mode", "batch", "dtype", "layers", "latency_ms", "q1_ms", "q3_ms",
    "p95_ms", "cpu_ms", "samples", "images_per_s", "ratio", "peak_bytes", *SPLIT, "inference_peak_bytes",
)  # fmt: skip


def print_on_devices_csv(costs: Sequence[Cost], found: OnDevices) -> None:
    """A row for each network and device, measured and predicted."""
    rows = []
    for place, cost in enumerate(costs):
        for column in found.columns:
            if column.measured:
                rows.append(_measured_csv(column.measured[place], cost))
            rows.append(_predicted_csv(column, place, cost, found))
    print_csv(CSV, rows)


def _measured_csv(measurement: "Measurement", cost: Cost) -> list[Any]:
    setting, time, use = measurement.setting, measurement.latency, measurement.memory
    times = ("median_ms", "q1_ms", "q3_ms", "p95_ms", "cpu_ms", "samples", "images_per_s")
    sizes = ("peak_bytes", *SPLIT, "inference_peak_bytes")
    return [
        cost.network, setting.device, "measured", measurement.outcome, setting.mode, setting.batch, setting.dtype,
        setting.layers,
        *(getattr(time, name, None) for name in times), measurement.ratio and measurement.ratio.median,
        *(getattr(use, name, None) for name in sizes),
    ]  # fmt: skip


def _predicted_csv(column: Column, place: int, cost: Cost, found: OnDevices) -> list[Any]:
    setting, predicted = found.wanted.setting, column.predicted[place]
    time, memory = predicted.latency, predicted.memory
    return [
        cost.network, column.name, "predicted", None, setting.mode, cost.batch, setting.dtype, setting.layers,
        time and time.latency_ms, *[None] * 5, time and time.images_per_s, _predicted_ratio(column, place),
        memory and memory.peak, *(getattr(memory, name, None) for name in SPLIT), predicted.inference_peak,
    ]  # fmt: skip
