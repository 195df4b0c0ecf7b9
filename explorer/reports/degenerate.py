"""Scales that are no regions at all: K as large as a map, so that every position is recalibrated on its own."""

from dataclasses import dataclass

from explorer.blocks.graph import Op, Scope
from explorer.errors import UserError
from explorer.sweep.records import NetworkRecord


@dataclass(frozen=True)
class Degenerate:
    """A scale and the maps (height, width) it leaves without any pooling."""

    scale: int
    maps: tuple[tuple[int, int], ...]


def degenerate_scales(network: NetworkRecord, classes: int) -> tuple[Degenerate, ...] | None:
    """The degenerate scales of a stored network; None where its text no longer gives the same network."""
    from explorer.api import expand

    try:
        channels, height, width = network.input
        graph = expand(network.canonical, input=(channels, height, width), classes=classes)
    except UserError:
        return None
    if graph.digest != network.digest:
        return None
    found: dict[int, set[tuple[int, int]]] = {}
    _search(graph.root, found, set())
    return tuple(Degenerate(scale, tuple(sorted(maps, reverse=True))) for scale, maps in sorted(found.items()))


def _search(scope: Scope, found: dict[int, set[tuple[int, int]]], seen: set[int]) -> None:
    """Collect regional poolings whose regions are single positions; every shared scope is read once."""
    if id(scope) in seen:
        return
    seen.add(id(scope))
    for entry in scope.body:
        if isinstance(entry.node, Scope):
            _search(entry.node, found, seen)
        elif _is_degenerate(entry.node):
            found.setdefault(int(entry.node.attrs["scale"]), set()).add(entry.node.ins[0][1:])


def _is_degenerate(op: Op) -> bool:
    """Whether a regional pooling pools nothing."""
    return op.kind == "regional" and op.out[1:] == op.ins[0][1:]
