"""Which of a scope's entries lie on its main path, and which paths lead around them."""

from collections.abc import Sequence
from typing import NamedTuple

from explorer.blocks.graph import Entry, Op

JOINS = frozenset({"add", "multiply", "concat", "mean", "shake", "fractaljoin", "update"})


class Side(NamedTuple):
    """A path beside the main one: from value `source`, made before main entry `start`, into main entry `end`."""

    source: int
    start: int
    end: int
    entries: tuple[Entry, ...]


class Paths(NamedTuple):
    """Main entries in order, the paths beside them, and how many entries the target does not depend on."""

    main: tuple[Entry, ...]
    sides: tuple[Side, ...]
    aside: int


def paths_of(entries: Sequence[Entry], target: int) -> Paths:
    """The paths that lead to value `target`; where paths join, the longer one is the main one."""
    makers = {value: entry for entry in entries for value in made_by(entry)}
    heavier = _heavier_inputs(entries)
    main = _back(target, makers, heavier, frozenset())
    position = {value: index for index, entry in enumerate(main, start=1) for value in made_by(entry)}
    sides = []
    for index, entry in enumerate(main):
        for value in _others(entry, heavier):
            branch = _back(value, makers, heavier, frozenset(position))
            source = heavier[branch[0].name] if branch and branch[0].inputs else value
            start = position.get(source, 0)
            if branch or start != index:
                sides.append(Side(source, start, index, branch))
    return Paths(main, tuple(sides), len(entries) - len(needed_for(entries, target)))


def made_by(entry: Entry) -> list[int]:
    """An entry's outputs but for inputs that it hands through."""
    return [value for value in entry.outputs if value not in entry.inputs]


def needed_for(entries: Sequence[Entry], target: int) -> list[Entry]:
    """The entries that a value depends on, in order."""
    wanted = {target}
    needed = []
    for entry in reversed(entries):
        if not wanted.isdisjoint(made_by(entry)):
            needed.append(entry)
            wanted.update(entry.inputs)
    return needed[::-1]


def _heavier_inputs(entries: Sequence[Entry]) -> dict[str, int]:
    """By entry the input to follow back: the first, or of a join that with the most ops behind it."""
    weight: dict[int, int] = {}
    chosen: dict[str, int] = {}
    for entry in entries:
        if not entry.inputs:
            continue
        joins = isinstance(entry.node, Op) and entry.node.kind in JOINS
        value = max(entry.inputs, key=lambda v: weight.get(v, 0)) if joins else entry.inputs[0]
        chosen[entry.name] = value
        own = 1 if isinstance(entry.node, Op) else entry.node.nodes
        weight.update(dict.fromkeys(made_by(entry), weight.get(value, 0) + own))
    return chosen


def _back(value: int, makers: dict[int, Entry], heavier: dict[str, int], stop: frozenset[int]) -> tuple[Entry, ...]:
    """The entries that lead to a value, from the first one after a port or after a value in `stop`."""
    found: list[Entry] = []
    while value in makers and value not in stop:
        entry = makers[value]
        found.append(entry)
        if not entry.inputs:
            break
        value = heavier[entry.name]
    return tuple(reversed(found))


def joins_inside(side: Side) -> bool:
    """Whether paths join on a side path, so that it is a chain with paths of its own."""
    return any(len(entry.inputs) > 1 for entry in side.entries)


def _others(entry: Entry, heavier: dict[str, int]) -> list[int]:
    """The inputs of an entry besides the one the main path comes by."""
    rest = list(entry.inputs)
    if rest:
        rest.remove(heavier[entry.name])
    return list(dict.fromkeys(rest))
