"""Predicted memory beside what torch really keeps and allocates, for the whole catalog. --save writes it as JSON.

Measured on the CPU at batch 2, ImageNet networks at 3x64x64: bytes saved for the backward pass (saved-tensor hooks) and
the allocator's peak over a training step and an inference. Torch's MemTracker runs some at batch 64 and their own size
on fake tensors. The time of a prediction is that of batch 64 at a network's own size, from a graph just expanded.
"""

import argparse
import fnmatch
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import torch
from allocations import Step, bytes_of, peak_of, saved_bytes
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

import explorer
from explorer.analysis.memory import memory
from explorer.blocks.graph import Graph
from explorer.grammar.library import Library, shipped
from explorer.nn.module import NetworkModule

BATCH, LARGE_BATCH = 2, 64
REDUCED = (3, 64, 64)
TRACKED = ("resnet20", "resnet110", "wrn-28-10", "gunn15", "sunn15", "densenet100", "seqresnet-k8-r4-n1", "resnet50")


def catalog() -> list[str]:
    """Networks that need no argument."""
    networks = [name for name, place in shipped().items() if place.kind == "network"]
    return [name for name in networks if all(p.default is not None or p.star for p in Library().find(name).params)]


def measured(graph: Graph) -> dict[str, Any]:
    """Bytes on the CPU. Peaks are beside `held`: parameters, buffers, momentum, images, labels."""
    torch.manual_seed(0)
    module, image = NetworkModule(graph).train(), torch.randn(BATCH, *graph.input)
    saved = saved_bytes(module, image)
    step = Step(module, image)
    held, train = step.constant(), peak_of(step, module)
    del step
    module.eval()

    def infer() -> None:
        with torch.no_grad():
            module(image)

    infer()
    inference = peak_of(infer, module)
    used = [p for name, p in module.named_parameters() if not name.startswith("auxiliaries.")]
    return {
        "saved": saved,
        "train": {"held": held, **train._asdict()},
        "infer": {"held": bytes_of([*used, *module.buffers(), image]), **inference._asdict()},
    }


def predicted(graph: Graph, batch: int) -> dict[str, Any]:
    train, infer = memory(graph, batch), memory(graph, batch, "infer")
    return {
        "saved": train.saved,
        "train": {"held": train.held, "tensors": train.peak - train.held},
        "infer": {"held": infer.held, "tensors": infer.peak - infer.held},
    }


def tracked(name: str) -> dict[str, float]:
    """The peak of a training step by torch's MemTracker, its CPU seconds, and ours."""
    graph = explorer.expand(name)
    start = time.process_time()
    with FakeTensorMode():
        module, image = NetworkModule(graph), torch.randn(LARGE_BATCH, *graph.input)
        step = Step(module, image)
        tracker = MemTracker()
        tracker.track_external(module, step.optimiser, image, step.labels)
        with tracker:
            step()
        theirs = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]
    return {"measured": theirs, "seconds": time.process_time() - start, "predicted": memory(graph, LARGE_BATCH).peak}


def milliseconds(name: str, mode: str, rounds: int) -> float:
    """CPU time of a prediction, the median of several."""

    def once() -> float:
        graph = explorer.expand(name)
        start = time.process_time()
        memory(graph, LARGE_BATCH, mode)
        return 1e3 * (time.process_time() - start)

    return statistics.median(once() for _ in range(rounds))


def row(name: str, rounds: int) -> dict[str, Any]:
    graph = explorer.expand(name)
    if graph.input[1] > REDUCED[1]:
        graph = explorer.expand(name, input=REDUCED)
    return {
        "input": list(graph.input),
        "predicted": predicted(graph, BATCH),
        "measured": measured(graph),
        "ms": {mode: milliseconds(name, mode, rounds) for mode in ("train", "infer")},
    }


def error(of: dict[str, Any], part: Callable[[dict[str, Any]], int]) -> float:
    return part(of["predicted"]) / part(of["measured"]) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default="*")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, Any] = {}
    print(f"{'network':28}{'saved':>14}{'error':>10}{'train':>14}{'error':>10}{'infer':>12}{'error':>10}{'ms':>7}")
    for name in fnmatch.filter(catalog(), arguments.pattern):
        found = rows[name] = row(name, arguments.rounds)
        line = f"{name:28}{found['measured']['saved']:14,}{error(found, lambda x: x['saved']):10.4%}"
        for mode, width in (("train", 14), ("infer", 12)):
            tensors = found["measured"][mode]["tensors"]
            line += f"{tensors:{width},}{error(found, lambda x, mode=mode: x[mode]['tensors']):10.4%}"
        print(line + f"{found['ms']['train']:7.1f}", flush=True)
    trackers = {}
    for name in fnmatch.filter(TRACKED, arguments.pattern):
        found = trackers[name] = tracked(name)
        print(f"{name:28}MemTracker {found['measured']:,} in {found['seconds']:.1f} s, ours {found['predicted']:,}")
    machine = {"processor": platform.machine(), "python": platform.python_version(), "torch": torch.__version__}
    settings = {"batch": BATCH, "tracked_batch": LARGE_BATCH, "rounds": arguments.rounds}
    if arguments.save:
        saved = {"networks": rows, "mem_tracker": trackers, **settings, **machine}
        arguments.save.write_text(json.dumps(saved, indent=1) + "\n")


if __name__ == "__main__":
    main()
