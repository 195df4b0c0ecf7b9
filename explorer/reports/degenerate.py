"""Scales that are no regions at all: K as large as a map, so that every position is recalibrated on its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from explorer.blocks.graph import Op, Scope
from explorer.errors import UserError
from explorer.reports.numbers import listed, plural
from explorer.reports.study import Row, Study
from explorer.sweep.records import NetworkRecord

MOST = 200  # networks that are expanded to look for such scales


@dataclass(frozen=True)
class Degenerate:
    """A scale and the maps (height, width) it leaves without any pooling."""

    scale: int
    maps: tuple[tuple[int, int], ...]


def marked(rows: Sequence[Row]) -> set[int]:
    """Every scale that is degenerate in one of the rows, as far as they are looked at."""
    looked_at = recalibrated(rows)[:MOST]
    return {found.scale for row in looked_at for found in degenerate_scales(row.network, row.classes) or ()}


def recalibrated(rows: Sequence[Row]) -> list[Row]:
    """Those of networks with MS-SAR."""
    return [row for row in rows if row.scales or "mssar" in row.network.canonical]


def about_scales(study: Study) -> list[str]:
    """Which scales are degenerate in which networks, and on which maps."""
    rows = recalibrated(study.rows)
    found: dict[Degenerate, list[Row]] = {}
    unknown, beyond = 0, len(rows[MOST:])
    for row in rows[:MOST]:
        scales = degenerate_scales(row.network, study.data.classes)
        unknown += scales is None
        for scale in scales or ():
            found.setdefault(scale, []).append(row)
    sentences = [_about(scale, own) for scale, own in found.items()]
    if not found and unknown + beyond < len(rows):
        sentences.append("No scale is degenerate: on every map that is recalibrated a region holds several positions.")
    if unknown:
        sentences.append(f"Not checked for degenerate scales: {plural(unknown, 'network')} whose text is not at hand.")
    if beyond:
        sentences.append(f"Not checked for degenerate scales: {plural(beyond, 'network')} beyond the first {MOST}.")
    return sentences


def _about(scale: Degenerate, rows: list[Row]) -> str:
    maps = listed([f"{height}\N{MULTIPLICATION SIGN}{width}" for height, width in scale.maps])
    bases = listed(sorted({row.base for row in rows}))
    return (
        f"Scale {scale.scale} is degenerate in {bases}: on maps of {maps} each region is a single position, so nothing "
        "is pooled and MS-SAR becomes a gate of two 1\N{MULTIPLICATION SIGN}1 convolutions."
    )


@lru_cache(10_000)
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
