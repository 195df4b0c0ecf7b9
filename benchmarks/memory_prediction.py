"""Predicted memory beside what torch really keeps and allocates, for the whole catalog. --save writes it as JSON.

Measured on the CPU at batch 2, ImageNet networks at 3x64x64: bytes saved for the backward pass (saved-tensor hooks) and
the allocator's peak over a training step and an inference; of the reference, and of the substitutes where a network has
something to substitute. The time of a prediction is that of batch 64 at a network's own size, from a fresh graph.
"""

import argparse
import fnmatch
import json
import os
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

import explorer
from explorer.analysis.memory import memory
from explorer.blocks.graph import Graph, Scope
from explorer.grammar.library import Library, shipped
from explorer.measure.environment import environment, processor
from explorer.nn.fast.choice import BALANCED, LEAN, REFERENCE, choice_of
from explorer.nn.fast.choose import substitute
from explorer.nn.module import NetworkModule

BATCH, LARGE_BATCH = 2, 64
REDUCED = (3, 64, 64)
RECALIBRATED = (
    "resnet20 + se",
    "resnet20 + mssar(1, 2, 4)",
    "resnet20 + mssar(1, 3)",
    "resnet20 + mssar(1, 2, 4, pool = sliding)",
    "wrn-16-8 + mssar(1, 2, 4)",
    "resnet18 + mssar(1, 2)",
    "resnext50-32x4d + se",
)


def catalog() -> list[str]:
    """Networks that need no argument."""
    networks = [name for name, place in shipped().items() if place.kind == "network"]
    return [name for name in networks if all(p.default is not None or p.star for p in Library().find(name).params)]


def has_substitutes(scope: Scope, layers: str) -> bool:
    inside = [entry.node for entry in scope.body if isinstance(entry.node, Scope)]
    return any(choice_of(node, layers) is not None or has_substitutes(node, layers) for node in inside)


def measured(graph: Graph, layers: str) -> dict[str, Any]:
    """Bytes on the CPU. Peaks are beside `held`: parameters, buffers, momentum, images, labels."""
    torch.manual_seed(0)
    module, image = NetworkModule(graph, substitute(layers)).train(), torch.randn(BATCH, *graph.input)
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


def predicted(graph: Graph, layers: str) -> dict[str, Any]:
    train, infer = (memory(graph, BATCH, mode, layers=layers) for mode in ("train", "infer"))
    return {
        "saved": train.saved,
        "train": {"held": train.held, "tensors": train.peak - train.held},
        "infer": {"held": infer.held, "tensors": infer.peak - infer.held},
    }


def milliseconds(name: str, mode: str, layers: str, rounds: int) -> float:
    """CPU time of a prediction, the median of several."""

    def once() -> float:
        graph = explorer.expand(name)
        start = time.process_time()
        memory(graph, LARGE_BATCH, mode, layers=layers)
        return 1e3 * (time.process_time() - start)

    return statistics.median(once() for _ in range(rounds))


def row(name: str, layers: str, rounds: int) -> dict[str, Any] | None:
    """None where the network has nothing to substitute."""
    graph = explorer.expand(name)
    if graph.input[1] > REDUCED[1]:
        graph = explorer.expand(name, input=REDUCED)
    if layers != REFERENCE and not has_substitutes(graph.root, layers):
        return None
    return {
        "input": list(graph.input),
        "predicted": predicted(graph, layers),
        "measured": measured(graph, layers),
        "ms": {mode: milliseconds(name, mode, layers, rounds) for mode in ("train", "infer")},
    }


def error(of: dict[str, Any], part: Callable[[dict[str, Any]], int]) -> float:
    return part(of["predicted"]) / part(of["measured"]) - 1


def show(name: str, found: dict[str, Any]) -> None:
    line = f"{name:44}{found['measured']['saved']:14,}{error(found, lambda x: x['saved']):10.4%}"
    for mode, width in (("train", 14), ("infer", 12)):
        tensors = found["measured"][mode]["tensors"]
        line += f"{tensors:{width},}{error(found, lambda x, mode=mode: x[mode]['tensors']):10.4%}"
    print(line + f"{found['ms']['train']:7.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default="*")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, Any] = {REFERENCE: {}, BALANCED: {}, LEAN: {}}
    print(f"{'network':44}{'saved':>14}{'error':>10}{'train':>14}{'error':>10}{'infer':>12}{'error':>10}{'ms':>7}")
    for layers in rows:
        for name in fnmatch.filter([*catalog(), *(RECALIBRATED if layers == BALANCED else ())], arguments.pattern):
            found = row(name, layers, arguments.rounds)
            if found is not None:
                rows[layers][name] = found
                show(f"{name} {layers}", found)
    machine = {"processor": processor(), **environment("cpu")}
    settings = {"batch": BATCH, "timed_batch": LARGE_BATCH, "rounds": arguments.rounds}
    if arguments.save:
        saved = {"networks": rows, **settings, **machine}
        arguments.save.write_text(json.dumps(saved, indent=1) + "\n")


if __name__ == "__main__":
    main()
