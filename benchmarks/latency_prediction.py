"""Predicted latency beside measured latency, on the CPU. --calibrate FILE first; --save writes JSON and a figure.

Each network is measured in a fresh process: the reference module, one thread, CPU time, a training step and an
inference, the least of several. The device's file is calibrated on single ops only. Some networks are also timed by
torch.utils.benchmark, profiled by kind of op, and given to torch's RuntimeEstimator.
"""

import argparse
import fnmatch
import json
import math
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.benchmark import Timer

import explorer
from explorer.analysis.device import Device, find_device
from explorer.analysis.roofline import Latency, latency
from explorer.blocks.graph import Graph, flatten
from explorer.measure.environment import environment
from explorer.measure.network import Network
from explorer.measure.setting import Setting
from explorer.nn.fast.allocator import keep_freed_memory
from explorer.nn.module import NetworkModule

RESULTS = Path(__file__).parent / "results" / "latency_prediction-cpu.json"
MODES = ("train", "infer")
STEPS, SECONDS = 5, 1.0  # at least so many, and for so long
ENOUGH = 30  # steps
MARKERS, NAMED = "os", 6  # in the figure: two rounds of colours; the worst
# network: images, side of an image (None: its own)
NETWORKS: dict[str, tuple[int, int | None]] = {
    "resnet20": (16, None), "resnet110": (16, None), "preact-resnet164": (16, None), "wrn-16-8": (8, None),
    "resnet110-sd": (16, None), "densenet-40-12": (16, None), "densenet100": (8, None), "sparsenet-40-24": (16, None),
    "gunn15": (4, None), "sunn15": (4, None), "gunn15-nores": (8, None), "seqresnet-k8-r4-n1": (4, None),
    "seqresnet-b-k16-r7-n1": (4, None), "igc-l450m2": (2, None), "fractalnet21": (8, None),
    "shakeshake-26-2x96d": (4, None), "dsn": (16, None), "nin": (16, None), "all-cnn": (16, None),
    "highway": (16, None), "pyramidnet-164-a270": (2, None), "resnext29-8x64d": (2, None), "vgg16": (2, 96),
    "resnet18": (8, 128), "resnet50": (4, 128), "resnext50-32x4d": (4, 128), "se-resnext50-32x4d": (8, 64),
    "densenet121": (4, 128), "dpn92": (2, 128), "gunn18": (2, 128), "seqresnet-b22": (8, 64),
    "resnet18 + mssar(1, 2, 4)": (8, 128),
}  # fmt: skip
PROFILED = ("resnet110", "densenet100", "gunn15", "resnet50", "resnext50-32x4d", "igc-l450m2")
TIMED = ("resnet20", "densenet-40-12", "resnet18", "resnext50-32x4d")
KINDS = {"conv": "convolutions", "linear": "linear", "bn": "batch norm", "concat": "copies", "update": "copies"}
CALLS = (
    ("convolutions", ("mkldnn_convolution", "convolution_backward", "slow_conv2d", "_slow_conv2d", "thnn_conv2d")),
    ("linear", ("addmm", "mm", "linear")),
    ("batch norm", ("native_batch_norm", "batch_norm")),
    ("copies", ("cat", "copy_", "slice_backward", "fill_", "zero_", "narrow")),
)


def graph_of(name: str) -> Graph:
    side = NETWORKS[name][1]
    return explorer.expand(name, input=(3, side, side) if side else None)


def network_of(name: str, mode: str) -> Network:
    batch, side = NETWORKS[name]
    setting = Setting("cpu", batch, mode, layers="reference", input=(3, side, side) if side else None)
    return Network(name, setting)


def measure(name: str) -> dict[str, Any]:
    """In a process of its own."""
    keep_freed_memory()
    torch.set_num_threads(1)
    return {mode: measured(network_of(name, mode), name) for mode in MODES}


def measured(network: Network, name: str) -> dict[str, Any]:
    network.run()
    network.run()
    seconds: list[float] = []
    while len(seconds) < STEPS or (sum(seconds) < SECONDS and len(seconds) < ENOUGH):
        start = time.process_time()
        network.run()
        seconds.append(time.process_time() - start)
    found: dict[str, Any] = {"least": min(seconds), "median": median(seconds), "steps": len(seconds)}
    if name in TIMED:
        timed = Timer("network.run()", globals={"network": network}, num_threads=1).blocked_autorange(min_run_time=2)
        found["torch_timer"] = {"least": min(timed.times), "median": timed.median, "iqr": timed.iqr}
    if name in PROFILED:
        found["by_kind"] = by_call(network)
    return found


def by_call(network: Network) -> dict[str, float]:
    """Milliseconds of the calls of each kind, as the profiler has them."""
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        network.run()
    found: dict[str, float] = defaultdict(float)
    for event in recorded.key_averages():
        name = event.key.removeprefix("aten::")
        kind = next((kind for kind, names in CALLS if name.startswith(names)), "other")
        found[kind] += event.self_cpu_time_total / 1e3
    return dict(found)


def by_kind(graph: Graph, found: Latency) -> dict[str, float]:
    """The same, predicted; updates of parameters with the op that has them."""
    sums: dict[str, float] = defaultdict(float)
    for node, seconds in zip(flatten(graph)[0], found.by_op, strict=False):
        sums[KINDS.get(node.op.kind, "other")] += 1e3 * seconds
    return dict(sums)


def row(name: str, device: Device) -> dict[str, Any]:
    code = [sys.executable, __file__, "--one", name]
    done = subprocess.run(code, capture_output=True, text=True, check=True)
    real = json.loads(done.stdout.splitlines()[-1])
    return {"batch": NETWORKS[name][0], "input": list(graph_of(name).input), "family": family(name), "measured": real,
            "predicted": predicted(name, device)}  # fmt: skip


def family(name: str) -> str:
    from explorer.grammar.library import shipped

    return shipped()[name.partition(" ")[0]].source.name.removesuffix(".arch")


def predicted(name: str, device: Device) -> dict[str, Any]:
    found = {}
    for mode in MODES:
        graph = graph_of(name)
        start = time.process_time()
        made = latency(graph, device, NETWORKS[name][0], mode)
        found[mode] = {"seconds": made.total, "ms_to_predict": 1e3 * (time.process_time() - start)}
        found[mode] |= {part: getattr(made, part) for part in ("launch", "compute", "memory")}
        if name in PROFILED:
            found[mode]["by_kind"] = by_kind(graph, made)
    return found


def runtime_estimator() -> str:
    """What torch's own roofline says of ResNet-18 on this machine: a time, or why there is none."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.runtime_estimator import RuntimeEstimator

    try:
        with FakeTensorMode():
            module, image = NetworkModule(graph_of("resnet18")).eval(), torch.randn(8, 3, 128, 128)
            estimator = RuntimeEstimator()
            with torch.no_grad(), estimator("operator-level-cost-model"):
                module(image)
        return f"{estimator.total_runtime:g} ms"
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def error(found: dict[str, Any], mode: str) -> float:
    return found["predicted"][mode]["seconds"] / found["measured"][mode]["least"] - 1


def figure(rows: dict[str, Any]) -> bytes:
    """Predicted against measured, with the line of equality and a band of 20% on either side."""
    from explorer.reports.style import family_colours, new_figure, png, styled

    @styled
    def draw() -> Any:
        drawn = new_figure(9.2, 5.2)
        families = sorted({found["family"] for found in rows.values()})
        looks = {name: (MARKERS[place // 7], family_colours(families)[name]) for place, name in enumerate(families)}
        for place, mode in enumerate(MODES):
            panel(drawn.add_subplot(1, 2, place + 1), rows, mode, looks)
        handles = [
            drawn.axes[0].plot([], [], marker, color=colour, ls="", label=name)[0]
            for name, (marker, colour) in looks.items()
        ]
        drawn.legend(handles=handles, loc="outside lower center", ncols=7)
        return drawn

    return png(draw())


def panel(axes: Any, rows: dict[str, Any], mode: str, looks: dict[str, tuple[str, str]]) -> None:
    from explorer.reports.style import FAINT, INK

    points = {
        name: (1e3 * found["measured"][mode]["least"], 1e3 * found["predicted"][mode]["seconds"])
        for name, found in rows.items()
    }
    values = [value for point in points.values() for value in point]
    ends = [0.7 * min(values), 1.4 * max(values)]
    axes.fill_between(ends, [0.8 * x for x in ends], [1.2 * x for x in ends], color=FAINT, alpha=0.3, lw=0)
    axes.plot(ends, ends, color=INK, lw=0.8)
    for name, point in points.items():
        marker, colour = looks[rows[name]["family"]]
        axes.plot(*point, marker, color=colour, ms=5.5, mec="white", mew=0.5)
    off = median(abs(error(found, mode)) for found in rows.values())
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="measured, ms", ylabel="predicted, ms",
             title=f"{mode}: median error {off:.0%} of {len(rows)} networks")  # fmt: skip
    ticks = [value for value in (10, 20, 50, 100, 200, 500, 1000, 2000) if ends[0] <= value <= ends[1]]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, [f"{value:,}" for value in ticks])
        axis.set_ticks([], minor=True)
    name_the_worst(axes, points, {name: error(found, mode) for name, found in rows.items()}, ends)


def name_the_worst(axes: Any, points: dict[str, Any], errors: dict[str, float], ends: list[float]) -> None:
    """Names right of the points below the line, left of those above it, none on top of another."""
    least = (ends[1] / ends[0]) ** 0.035  # between two names
    last = {"left": math.inf, "right": math.inf}
    worst = sorted(points, key=lambda name: -abs(errors[name]))[:NAMED]
    for name in sorted(worst, key=lambda name: -points[name][1]):
        x, y = points[name]
        side, way = ("left", 1.06) if errors[name] < 0 else ("right", 1 / 1.06)
        last[side] = height = min(y, last[side] / least)
        axes.text(x * way, height, f"{name} {errors[name]:+.0%}", fontsize=7, ha=side, va="center")


def summary(rows: dict[str, Any]) -> None:
    for mode in MODES:
        errors = [error(found, mode) for found in rows.values()]
        within = sum(abs(e) <= 0.2 for e in errors)
        print(f"{mode}: {len(errors)} networks, median {median(map(abs, errors)):.1%}, {within} within 20%")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default="*")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--device", default="epyc-1-thread", help="name or file of the CPU's data")
    parser.add_argument("--calibrate", type=Path, help="measure the device and write its file before")
    parser.add_argument("--predict", type=Path, help="keep what an earlier result measured; only predict anew")
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    if arguments.calibrate:
        from explorer.measure.calibrate import calibrate, write_calibration

        write_calibration(arguments.calibrate, calibrate("cpu", 1, print).device)
    device = find_device(str(arguments.calibrate or arguments.device))
    before = json.loads(arguments.predict.read_text()) if arguments.predict else None
    rows: dict[str, Any] = {}
    for name in fnmatch.filter(NETWORKS, arguments.pattern):
        rows[name] = {**before["networks"][name], "predicted": predicted(name, device)} if before else row(name, device)
        found = rows[name]
        line = f"{name:28}"
        for mode in MODES:
            seconds = found["measured"][mode]["least"]
            line += f"{mode} {seconds:8.4f} s {found['predicted'][mode]['seconds']:8.4f} {error(found, mode):+6.0%}   "
        print(line, flush=True)
    summary(rows)
    if arguments.save:
        machine = {"processor": device.recognise, **environment("cpu")}
        saved = {"networks": rows, "device": device.name, "source": device.source}
        saved["runtime_estimator"] = runtime_estimator()
        arguments.save.write_text(json.dumps({**machine, **saved}, indent=1) + "\n")
        arguments.save.with_suffix(".png").write_bytes(figure(rows))


if __name__ == "__main__":
    main()
