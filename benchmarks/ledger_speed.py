"""From text to the full ledger, beside the counters people use. Prints one table; --save writes it as JSON too.

Everything is measured in one run on one thread, in CPU time, as the median of several rounds in which the
contenders take turns. Ours starts from text with the caches of parse and expansion cleared. For the others the
construction of the module is included (and the text-to-graph part is not, which favours them).
"""

import argparse
import json
import logging
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import fvcore
import torch
import torchinfo
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import explorer
from explorer.analysis.ledger import ledger_of, totals_of
from explorer.blocks.graph import Graph
from explorer.grammar.library import clear_caches
from explorer.nn.module import NetworkModule

NETWORKS = ("gunn24", "densenet190", "resnet50", "seqresnext24", "wrn-28-10")


def ours(text: str) -> int:
    clear_caches()
    return totals_of(ledger_of(explorer.expand(text).root)).macs


def module(graph: Graph, device: str) -> tuple[nn.Module, torch.Tensor]:
    with torch.device(device):
        return NetworkModule(graph).eval(), torch.zeros(1, *graph.input)


def hooks(graph: Graph, device: str) -> int:
    """A bare counter: forward hooks on convolutions and linear layers."""
    net, image = module(graph, device)
    total = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal total
        total += layer.weight.numel() * (output[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1)

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        net(image)
    return total


def flop_counter(graph: Graph, device: str) -> int:
    net, image = module(graph, device)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        net(image)
    return counter.get_total_flops() // 2


def torchinfo_counter(graph: Graph, device: str) -> int:
    net, image = module(graph, device)
    return torchinfo.summary(net, input_data=image, device=device, verbose=0).total_mult_adds


def fvcore_counter(graph: Graph, device: str) -> int:
    net, image = module(graph, device)
    with torch.no_grad():
        count = FlopCountAnalysis(net, image).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return int(count.total())


PEERS: dict[str, Callable[[Graph], int]] = {
    "hooks, real": lambda g: hooks(g, "cpu"),
    "hooks, meta": lambda g: hooks(g, "meta"),
    "FlopCounterMode, real": lambda g: flop_counter(g, "cpu"),
    "FlopCounterMode, meta": lambda g: flop_counter(g, "meta"),
    "torchinfo, real": lambda g: torchinfo_counter(g, "cpu"),
    "torchinfo, meta": lambda g: torchinfo_counter(g, "meta"),
    "build + fvcore, real": lambda g: fvcore_counter(g, "cpu"),
}


def cpu_ms(action: Callable[[], int]) -> float:
    start = time.process_time()
    action()
    return 1e3 * (time.process_time() - start)


def measure(text: str, rounds: int) -> dict[str, float]:
    graph = explorer.expand(text)
    times: dict[str, list[float]] = {"explorer": [], **{name: [] for name in PEERS}}
    for action in (lambda: ours(text), lambda: hooks(graph, "meta")):
        action()  # first calls import lazily
    for _ in range(rounds):
        times["explorer"] += [cpu_ms(lambda: ours(text)) for _ in range(5)]
        for name, peer in PEERS.items():
            times[name].append(cpu_ms(lambda peer=peer: peer(graph)))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    results = {text: measure(text, arguments.rounds) for text in NETWORKS}
    names = ["explorer", *PEERS]
    print(f"{'CPU ms, median':24}" + "".join(f"{text:>15}" for text in NETWORKS))
    for name in names:
        print(f"{name:24}" + "".join(f"{results[text][name]:15.2f}" for text in NETWORKS))
    fastest = {text: min(results[text][name] for name in PEERS) for text in NETWORKS}
    ratios = {
        "fastest peer / explorer": {t: fastest[t] / results[t]["explorer"] for t in NETWORKS},
        "fvcore / explorer": {t: results[t]["build + fvcore, real"] / results[t]["explorer"] for t in NETWORKS},
    }
    for name, values in ratios.items():
        print(f"{name:24}" + "".join(f"{values[text]:15.0f}" for text in NETWORKS))
    machine = {
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchinfo": torchinfo.__version__,
        "fvcore": fvcore.__version__,
        "rounds": arguments.rounds,
    }
    print(json.dumps(machine))
    if arguments.save:
        arguments.save.write_text(json.dumps({"cpu_ms": results, "ratios": ratios, **machine}, indent=2) + "\n")


if __name__ == "__main__":
    main()
