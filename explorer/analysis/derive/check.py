"""Closed forms against layers that are built: weights by numel, MACs by FlopCounterMode, pooling by dependencies."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import sympy
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from explorer.analysis.derive.layers import LAYERS
from explorer.analysis.derive.symbols import named, parse
from explorer.analysis.derive.walk import QUANTITIES, closed, conditions, graph_of, in_walk, symbols_of
from explorer.blocks.graph import Graph
from explorer.nn.module import NetworkModule, module_paths

TRIES = 1000  # drawings for one point that meets the conditions
SMALL = (1, 6)
RANGES = {"D": (1, 24), "H": (4, 8), "W": (4, 8), "L": (1, 4), "K": (1, 4), "C": (1, 24), "k2": (1, 12), "N": (1, 48),
          "P": (1, 4), "M": (1, 2), "D_mod_L": (0, 3), "N_mod_P": (0, 3), "d": (1, 8)}  # fmt: skip
POOLS = ("regional", "sliding")

Point = dict[str, Any]  # whole numbers by symbol; K is a tuple where the layer has several scales


class Checked(NamedTuple):
    """At how many points torch agreed, of how many; the first at which it did not."""

    agreed: int
    points: int
    first: str | None


@cache
def check(name: str, quantities: tuple[str, ...], number: int) -> dict[str, Checked]:
    """Compare closed forms of one layer with what torch counts on `number` built ones."""
    with _one_thread():
        return _check(name, quantities, points(name, number))


def _check(name: str, quantities: tuple[str, ...], drawn: list[Point]) -> dict[str, Checked]:
    missed: dict[str, list[str]] = {quantity: [] for quantity in quantities}
    for point in drawn:
        module = _built(graph_of(LAYERS[name], point), run="macs" in quantities)
        for quantity in quantities:
            ours, theirs = value_at(name, quantity, point), COUNTERS[quantity](module)
            if ours != theirs:
                at = ", ".join(f"{symbol} = {value}" for symbol, value in point.items())
                missed[quantity].append(f"{ours} against {theirs} at {at}")
    return {q: Checked(len(drawn) - len(m), len(drawn), m[0] if m else None) for q, m in missed.items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Layers this small lose more by waiting for threads than they gain."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def points(name: str, number: int) -> list[Point]:
    """Different points of a layer's range, drawn with its name as seed. Raises ArithmeticError if there are too few."""
    draw = random.Random(name)
    found: dict[tuple[Any, ...], Point] = {}
    for _ in range(TRIES * number):
        point = _draw(name, draw)
        if _meets(name, point):
            found.setdefault(tuple(point.values()), point)
        if len(found) == number:
            return list(found.values())
    raise ArithmeticError(f"fewer than {number} points of {name} meet {', '.join(conditions(name))}")


def _draw(name: str, draw: random.Random) -> Point:
    layer = LAYERS[name]
    point: Point = {symbol: draw.randint(*RANGES.get(symbol, SMALL)) for symbol in symbols_of(layer)}
    if layer.scales:
        point["K"] = tuple(draw.randint(*RANGES["K"]) for _ in range(point[layer.scales]))
    return point


def _meets(name: str, point: Point) -> bool:
    names, legal = _legal(name)
    scales = point["K"] if LAYERS[name].scales else (point.get("K"),)
    return all(legal(*[{**point, "K": scale}[symbol] for symbol in names]) for scale in scales)


@cache
def _legal(name: str) -> tuple[list[str], Callable[..., bool]]:
    """The conditions of a layer as a function of the symbols of its walk."""
    relations = []
    for text in conditions(name):
        parts = [parse(part).subs(in_walk(name), simultaneous=True) for part in text.split(" divides ")]
        relations.append(sympy.Eq(sympy.Mod(parts[1], parts[0]), 0) if len(parts) == 2 else parts[0])
    together = sympy.And(*relations)
    names = sorted(str(found) for found in together.free_symbols)
    return names, sympy.lambdify([named(found) for found in names], together, "math")


def value_at(name: str, quantity: str, point: Point) -> int:
    """A closed form at a point. Raises ArithmeticError where it is no whole number."""
    names, above, below = _fraction(name, quantity)
    scales = point["K"] if LAYERS[name].scales else ()
    values = {**point, "sumK2": sum(scale**2 for scale in scales)}
    arguments = [values[symbol] for symbol in names]
    whole, rest = divmod(above(*arguments), below(*arguments))
    if rest:
        raise ArithmeticError(f"{quantity} of {name} is no whole number at {point}")
    return int(whole)


@cache
def _fraction(name: str, quantity: str) -> tuple[list[str], Callable[..., int], Callable[..., int]]:
    expression = closed(name, quantity).expression
    above, below = sympy.fraction(sympy.together(expression))
    names = sorted(str(found) for found in expression.free_symbols)
    arguments = [named(found) for found in names]
    return names, sympy.lambdify(arguments, above, "math"), sympy.lambdify(arguments, below, "math")


# --- what torch counts ---


def _built(graph: Graph, run: bool) -> NetworkModule:
    """On the meta device unless it is to run: there torch's batch norm is slow, and these layers are small."""
    with torch.device("cpu" if run else "meta"), torch.random.fork_rng(devices=()):
        return NetworkModule(graph).eval()


def _numel(kinds: tuple[type[nn.Module], ...], *names: str) -> Callable[[NetworkModule], int]:
    def count(module: NetworkModule) -> int:
        layers = [layer for layer in module.modules() if isinstance(layer, kinds)]
        return sum(p.numel() for layer in layers for name, p in layer.named_parameters(recurse=False) if name in names)

    return count


def _macs(module: NetworkModule) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, *module.graph.input))
    return int(counter.get_total_flops()) // 2


def _pooled(module: NetworkModule) -> int:
    """Pairs of an input and an output element that depends on it, in all pooling layers."""
    total = 0
    for path, op in module_paths(module.graph.root).items():
        if op.kind in POOLS:
            channels, height, width = op.ins[0]
            single = torch.eye(height * width).reshape(-1, 1, height, width)
            total += channels * int(module.get_submodule(path)(single).count_nonzero())
    return total


COUNTERS: dict[str, Callable[[NetworkModule], int]] = {
    "weights": _numel((nn.Conv2d, nn.Linear), "weight"),
    "norms": _numel((nn.BatchNorm2d,), "weight", "bias"),
    "params": lambda module: sum(p.numel() for p in module.parameters()),
    "macs": _macs,
    "pooled": _pooled,
    "partial": lambda module: QUANTITIES["partial"](module.graph),  # no counter sees additions: run, and counted
}
HOW = {
    "weights": "numel of convolutions and linear layers",
    "norms": "numel of batch norms",
    "params": "numel",
    "macs": "FlopCounterMode",
    "pooled": "dependencies of the pooling layers",
    "partial": "footnote 3 run and counted",
}
