"""Depth and receptive field over the channels of a map: what tells plain, SUNN, GUNN and SeqConv of equal cost apart.

depth: convolutions and linear layers on the longest (and on the shortest) path that leads to a channel; gates count.
receptive field: the side of the window that a channel sees, in positions of the input (see `channels`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from explorer.analysis.channels import CHANNELS, Runs, TooLong, image
from explorer.blocks.graph import Entry, Op, Scope

MOST_RUNS = 5_000_000  # that all ops together may read: a second or two


class Distribution(NamedTuple):
    """Values over channels, the smallest first; None, the whole image, is the largest."""

    channels: tuple[tuple[int | None, int], ...]  # value, number of channels

    def quantile(self, share: float) -> int | None:
        """The smallest value that at least this share of the channels does not exceed."""
        wanted = share * sum(number for _, number in self.channels)
        seen = 0
        for value, number in self.channels:
            seen += number
            if seen >= wanted:
                return value
        raise ValueError("a distribution over no channels")

    def as_dict(self) -> dict[str, Any]:
        """For JSON: min, median, max and all of it."""
        low, middle, high = self.quantile(0), self.quantile(0.5), self.quantile(1)
        return {"min": low, "median": middle, "max": high, "channels": [list(pair) for pair in self.channels]}


class Reach(NamedTuple):
    """Distributions over the channels of a map that depend on the input at all."""

    longest: Distribution  # layers on the longest path
    shortest: Distribution
    field: Distribution  # side of the receptive field, in positions of the input

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "depth": self.longest.as_dict(),
            "shortest": self.shortest.as_dict(),
            "receptive_field": self.field.as_dict(),
        }


class Walk:
    """Follows channels through scopes. Shapes must be plain integers. Raises TooLong."""

    def __init__(self) -> None:
        self.left = MOST_RUNS

    def values(self, scope: Scope, given: tuple[Runs, ...]) -> dict[int, Runs]:
        """The channels of every value of a scope, from those of its ports."""
        values = dict(zip(scope.ports, given, strict=True))
        for entry in scope.body:
            values.update(zip(entry.outputs, self._made(entry, values), strict=True))
        return values

    def outputs(self, scope: Scope, given: tuple[Runs, ...]) -> tuple[Runs, ...]:
        """The same of its outputs; other values are forgotten after their last use."""
        values = dict(zip(scope.ports, given, strict=True))
        for entry, done in zip(scope.body, _last_uses(scope), strict=True):
            values.update(zip(entry.outputs, self._made(entry, values), strict=True))
            for index in done:
                del values[index]
        return tuple([values[i] for i in scope.outputs])

    def _made(self, entry: Entry, values: dict[int, Runs]) -> tuple[Runs, ...]:
        node, given = entry.node, tuple([values[i] for i in entry.inputs])
        if isinstance(node, Scope):
            return self.outputs(node, given)
        self.left -= sum([len(runs) for runs in given])
        if self.left < 0:
            raise TooLong
        return (CHANNELS[node.kind](node, given),)


def _last_uses(scope: Scope) -> tuple[tuple[int, ...], ...]:
    """For each entry the values that nothing after it reads; computed once for a shared scope."""
    if "last uses" not in scope.memo:
        last: dict[int, int] = {}
        for position, entry in enumerate(scope.body):
            last.update(dict.fromkeys((*entry.inputs, *entry.outputs), position))
        done: list[list[int]] = [[] for _ in scope.body]
        for index, position in last.items():
            if index not in scope.outputs:
                done[position].append(index)
        scope.memo["last uses"] = tuple([tuple(values) for values in done])
    found: tuple[tuple[int, ...], ...] = scope.memo["last uses"]
    return found


def summary(runs: Runs) -> Reach | None:
    """The distributions over channels; None where no channel depends on the input."""
    paths = [(number, path) for number, path in runs if path is not None]
    if not paths:
        return None
    sides = [(n, None if p.window is None else p.window.side) for n, p in paths]
    return Reach(
        _distribution([(n, p.longest) for n, p in paths]),
        _distribution([(n, p.shortest) for n, p in paths]),
        _distribution(sides),
    )


def _distribution(counted: Sequence[tuple[int, int | None]]) -> Distribution:
    totals: dict[int | None, int] = {}
    for number, value in counted:
        totals[value] = totals.get(value, 0) + number
    ordered = sorted(totals.items(), key=lambda item: (item[0] is None, item[0] or 0))
    return Distribution(tuple(ordered))


def reach_of(node: Op | Scope, walk: Walk | None = None) -> Reach | None:
    """Of the main output of a part of a network, from that part's own input; computed once for a shared scope.

    None where no channel depends on that input, and where following them would take minutes. What takes part in
    one answer should share the `walk`.
    """
    if isinstance(node, Op):
        return summary(CHANNELS[node.kind](node, image(node.ins)))
    if "reach" not in node.memo:
        try:
            runs = (walk or Walk()).outputs(node, image([node.shapes[i] for i in node.ports]))
            node.memo["reach"] = summary(runs[0])
        except TooLong:
            node.memo["reach"] = None
    found: Reach | None = node.memo["reach"]
    return found


class Stage(NamedTuple):
    """An entry of the network: its reach from its own input, and from the image; `a_map`: it is larger than 1 x 1."""

    name: str
    a_map: bool
    own: Reach | None
    from_image: Reach | None


def stages_of(root: Scope) -> tuple[Stage, ...]:
    """The entries of a network in order, each by its main output; computed once. None where it would take minutes."""
    if "stages" not in root.memo:
        try:
            values = Walk().values(root, image([root.shapes[i] for i in root.ports]))
            walk = Walk()
            root.memo["stages"] = tuple([_stage(root, entry, values, walk) for entry in root.body])
        except TooLong:
            root.memo["stages"] = ()
    found: tuple[Stage, ...] = root.memo["stages"]
    return found


def _stage(root: Scope, entry: Entry, values: dict[int, Runs], walk: Walk) -> Stage:
    made = entry.outputs[0]
    a_map = max(root.shapes[made][1:]) > 1
    return Stage(entry.name, a_map, reach_of(entry.node, walk), summary(values[made]))
