"""Predicted memory beside torch's MemTracker and what the allocator gave, on the same modules. --save: JSON.

One training step on the CPU at each network's own size. MemTracker runs the module on fake tensors; it is a dispatch
mode, so the allocator's peak is also measured under a mode that does nothing. Times are CPU
seconds: a prediction from the text of a network, MemTracker with the making of its fake module, a measured step after
two that are not. --figure draws what benchmarks/memory_prediction.py has saved.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import torch
from allocations import Step, peak_of
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils._python_dispatch import TorchDispatchMode

import explorer
from explorer.analysis.memory import memory
from explorer.measure.environment import environment, processor
from explorer.reports.style import BLUE, GREEN, INK, QUIET, VERMILLION, Figure, new_figure, png, styled

BATCH = 8
NETWORKS = (
    ("resnet20", "reference"),
    ("resnet110", "reference"),
    ("wrn-28-10", "reference"),
    ("densenet100", "reference"),
    ("resnet50", "reference"),
    ("gunn15", "reference"),
    ("gunn15", "balanced"),
    ("gunn15", "lean"),
    ("seqresnet-k8-r4-n1", "balanced"),
    ("resnet20 + mssar(1, 2, 4)", "balanced"),
)
RESULTS = Path(__file__).parent / "results"


class Nothing(TorchDispatchMode):
    """Passes every operation on."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*args, **(kwargs or {}))


class Clock:
    """CPU seconds of what ran inside."""

    seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds += time.process_time() - start


def predicted(name: str, layers: str) -> tuple[int, float]:
    clock = Clock()
    with clock.running():
        peak = memory(explorer.expand(name), BATCH, layers=layers).peak
    return peak, clock.seconds


def tracked(name: str, layers: str) -> tuple[int, float]:
    clock = Clock()
    with clock.running(), FakeTensorMode():
        module = explorer.build(name, layers=layers)
        step = Step(module, torch.randn(BATCH, *module.graph.input))
        tracker = MemTracker()
        tracker.track_external(module, step.optimiser, step.image, step.labels)
        with tracker:
            step()
        peak = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]
    return peak, clock.seconds


def measured(name: str, layers: str) -> tuple[dict[str, int], float]:
    """Of tensors, with the convolutions' workspace, and of tensors under a mode."""
    torch.manual_seed(0)
    module = explorer.build(name, layers=layers)
    step = Step(module, torch.randn(BATCH, *module.graph.input))
    held, clock = step.constant(), Clock()
    with clock.running():
        peak = peak_of(step, module)

    def moded() -> None:
        with Nothing():
            step()

    under = peak_of(moded, module)
    peaks = {"measured": peak.tensors, "with_workspace": peak.with_workspace, "under_a_mode": under.tensors}
    return {what: held + size for what, size in peaks.items()}, clock.seconds


def row(name: str, layers: str) -> dict[str, Any]:
    peaks, step = measured(name, layers)
    ours, own = predicted(name, layers)
    theirs, their = tracked(name, layers)
    return {
        "network": name,
        "layers": layers,
        **peaks,
        "predicted": ours,
        "mem_tracker": theirs,
        "seconds": {"predicted": own, "mem_tracker": their, "measured": step},
    }


def points() -> dict[str, list[tuple[int, int]]]:
    """(measured, predicted) bytes beside what is held, of every network of memory_prediction's results."""
    saved = json.loads((RESULTS / "memory_prediction-cpu.json").read_text())["networks"]
    return {
        f"{mode}, {layers}": [
            (row["measured"][part]["tensors"], row["predicted"][part]["tensors"]) for row in rows.values()
        ]
        for part, mode in (("train", "training"), ("infer", "inference"))
        for layers, rows in saved.items()
    }


COLOURS = {"reference": BLUE, "balanced": VERMILLION, "lean": GREEN}
MARKS = {"training": "o", "inference": "^"}


@styled
def figure() -> Figure:
    """Predicted against measured, and the error below."""
    chart = new_figure(5.4, 6.4)
    upper, lower = chart.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    for label, pairs in points().items():
        mode, layers = label.split(", ")
        look = {"marker": MARKS[mode], "s": 20, "facecolors": "none", "edgecolors": COLOURS[layers], "linewidths": 0.9}
        x, y = zip(*pairs, strict=True)
        upper.scatter(x, y, label=f"{label} ({len(x)})", **look)
        lower.scatter(x, [100 * (ours / real - 1) for real, ours in pairs], **look)
    ends = [3e5, 2e9]
    upper.plot(ends, ends, color=QUIET, linewidth=0.8, zorder=0)
    upper.set(xscale="log", yscale="log", ylabel="predicted bytes", title="Peak memory, predicted and measured (CPU)")
    upper.legend(loc="upper left")
    lower.axhline(0, color=INK, linewidth=0.8)
    lower.set(xlabel="measured bytes, beside what is held all the time", ylabel="error, %")
    return chart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--figure", action="store_true", help="only the figure, from saved results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.figure:
        rows = []
        for network in NETWORKS:
            rows.append(row(*network))
            print(json.dumps(rows[-1]), flush=True)
        if arguments.save:
            machine = {"processor": processor(), **environment("cpu")}
            saved = {"batch": BATCH, "rows": rows, **machine}
            (RESULTS / "memory_peers-cpu.json").write_text(json.dumps(saved, indent=1) + "\n")
    else:
        (RESULTS / "memory_prediction-cpu.png").write_bytes(png(figure()))


if __name__ == "__main__":
    main()
