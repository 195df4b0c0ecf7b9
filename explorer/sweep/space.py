"""The cost of every candidate of a family from closed forms: one walk on a grid of arrays costs thousands.

Each range is an axis of its own, so whatever depends on few parameters is computed on few values. Where candidates
differ in structure the grid is cut into parts that do not, and each is walked; at worst each candidate by itself.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from explorer.analysis.cost import cost_of
from explorer.analysis.facts import QUANTITIES
from explorer.blocks.graph import Graph
from explorer.blocks.quantity import Quantity
from explorer.blocks.walk import LARGEST, Differs, NoneLeft, TooLarge, Walk, is_array, walking
from explorer.errors import ArchError, UserError

CHUNK = 2**17  # candidates of one walk: their arrays stay in the processor's cache
MAX_WALKS = 10_000
SAMPLES = 8
TOO_LARGE = f"it has a count beyond {LARGEST:.1g}, too large to be listed"

Column = NDArray[Any]
Expand = Callable[[dict[str, Any], Walk], Graph]  # parameters by name: ints, or arrays on a grid
Measure = Callable[[Graph], dict[str, Quantity]]


class Axis(NamedTuple):
    """Parameters that vary together: one row of values for each position on the axis."""

    names: tuple[str, ...]
    rows: Column  # [positions, names]


class Block(NamedTuple):
    """Candidates that can exist: so many, and a column for each of their parameters and quantities."""

    rows: int
    columns: dict[str, Column]


class Refused(NamedTuple):
    """So many candidates cannot exist, for one reason (equal where it is the same); one of them."""

    rows: int
    reason: object
    example: dict[str, int]


class Space(NamedTuple):
    """All combinations of the positions on some axes."""

    axes: tuple[Axis, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Positions on each axis."""
        return tuple(len(axis.rows) for axis in self.axes)

    def values(self) -> dict[str, Any]:
        """The parameters: ints where there is one position, else arrays that vary along their own axis."""
        found: dict[str, Any] = {}
        for place, axis in enumerate(self.axes):
            shape = [1] * len(self.axes)
            shape[place] = len(axis.rows)
            for index, name in enumerate(axis.names):
                column = axis.rows[:, index]
                found[name] = int(column[0]) if len(column) == 1 else column.reshape(shape)
        return found

    def candidate(self, place: tuple[int, ...]) -> dict[str, int]:
        """The parameters of one candidate."""
        rows = [(axis.names, axis.rows[i]) for axis, i in zip(self.axes, place, strict=True)]
        return {name: int(value) for names, row in rows for name, value in zip(names, row, strict=True)}

    def positions(self) -> Column:
        """The position on the shortest axis that has several."""
        place = min((i for i, side in enumerate(self.shape) if side > 1), key=lambda i: self.shape[i])
        shape = [1] * len(self.axes)
        shape[place] = -1
        return np.arange(self.shape[place]).reshape(shape)

    def only(self, place: int, rows: Column) -> "Space":
        """The space with fewer positions on one axis."""
        axis = self.axes[place]._replace(rows=rows)
        return Space((*self.axes[:place], axis, *self.axes[place + 1 :]))

    def chunks(self) -> Iterator["Space"]:
        """Parts of at most CHUNK candidates, cut along the longest axis."""
        size = prod(self.shape)
        if size <= CHUNK:
            yield self
            return
        place = int(np.argmax(self.shape))
        for rows in np.array_split(self.axes[place].rows, min(self.shape[place], -(-size // CHUNK))):
            yield from self.only(place, rows).chunks()

    def split(self, values: Column, valid: Column) -> tuple[list["Space"], Column]:
        """Parts with equal values each, of positions with a valid candidate; and a mask over these positions."""
        places = [i for i, side in enumerate(values.shape) if side > 1]
        others = tuple(i for i in range(len(self.axes)) if i not in places)
        kept = np.asarray(valid.any(axis=others, keepdims=True))
        if not kept.any():
            return [], kept
        chosen = kept.reshape(-1)
        indices = np.indices([self.shape[i] for i in places]).reshape(len(places), -1)[:, chosen]
        rows = np.concatenate([self.axes[i].rows[at] for i, at in zip(places, indices, strict=True)], axis=1)
        merged = Axis(tuple(name for i in places for name in self.axes[i].names), rows)
        rest = [self.axes[i] for i in others]
        _, group = np.unique(values.reshape(-1)[chosen], return_inverse=True)
        order = np.argsort(group, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
        return [Space((merged._replace(rows=rows[part]), *rest)) for part in parts], kept


def grid(axes: Mapping[str, Sequence[int]]) -> Space:
    """All combinations of the values of some parameters."""
    return Space(tuple(Axis((name,), np.array(values, np.int64)[:, None]) for name, values in axes.items()))


def joint(axes: Mapping[str, Sequence[int]]) -> Space:
    """One candidate for each row of values: the first of all parameters, the second ones, and so on."""
    rows = list(zip(*axes.values(), strict=True))
    return Space((Axis(tuple(axes), np.array(rows, np.int64).reshape(len(rows), len(axes))),))


def quantities(graph: Graph, batch: int = 1) -> dict[str, Quantity]:
    """What is computed for many candidates at once, of a graph or of a grid of them."""
    cost = cost_of(graph, batch=batch)
    return {name: getattr(cost, name) for name in QUANTITIES}


def costs(expand: Expand, whole: Space, measure: Measure = quantities) -> Iterator[Block | Refused]:
    """Every candidate: its parameters and quantities, or why it cannot exist.

    Raises UserError where more walks are needed than is sensible.
    """
    todo = list(whole.chunks())
    for _ in range(MAX_WALKS):
        if not todo:
            return
        space, learned = todo.pop(), Walk()
        try:
            block = _walked(expand, measure, space, learned)
        except NoneLeft:
            yield from _refused(space, learned)
        except TooLarge as error:
            large = np.broadcast_to(error.rows, space.shape)
            parts, kept = space.split(np.asarray(error.rows), _valid(space, learned) & ~large)
            yield from _refused(space, learned, ~kept)
            yield from _refusal(space, _valid(space, learned) & large, TOO_LARGE)
            todo += parts
        except (ArchError, TypeError, ValueError, OverflowError) as error:  # the last three: what arrays cannot do
            if prod(space.shape) == 1 and not isinstance(error, ArchError):
                raise
            if not isinstance(error, Differs) and _is_common(error, expand, space, learned):
                yield from _refused(space, learned)
                yield from _refusal(space, _valid(space, learned), skeleton(error.args[0]))
                continue
            parts, kept = _apart(space, error, _valid(space, learned))
            yield from _refused(space, learned, ~kept)
            todo += parts
        else:
            yield from _refused(space, learned)
            yield block
    raise UserError(f"the candidates differ in structure in more than {MAX_WALKS:,} ways; narrow their ranges")


def _apart(space: Space, error: Exception, valid: Column) -> tuple[list[Space], Column]:
    """What has to be walked apart: by what the error says that rows differ in, else along one axis."""
    if isinstance(error, Differs) and is_array(error.rows):
        parts, kept = space.split(error.rows, valid)
        if len(parts) > 1 or not kept.all():
            return parts, kept
    return space.split(space.positions(), valid)


def _walked(expand: Expand, measure: Measure, space: Space, learned: Walk) -> Block:
    """One walk for all candidates of a space."""
    values = space.values()
    with np.errstate(all="ignore"), walking(learned):  # rows that are masked may hold anything
        measured = measure(expand(values, learned))
    valid, found = _valid(space, learned), {**values, **measured}
    columns = {name: np.broadcast_to(np.asarray(value, np.int64), space.shape)[valid] for name, value in found.items()}
    return Block(int(valid.sum()), columns)


def _valid(space: Space, learned: Walk) -> Column:
    """Which candidates can exist, as far as a walk came."""
    return np.broadcast_to(learned.valid, space.shape)


def _refused(space: Space, learned: Walk, within: Any = True) -> Iterator[Refused]:
    """What a walk refused."""
    for refusal in learned.refused:
        rows = np.broadcast_to(refusal.rows, space.shape)
        yield from _refusal(space, rows & within, refusal.message.__code__)


def _refusal(space: Space, rows: Column, reason: object) -> Iterator[Refused]:
    if number := int(rows.sum()):
        place = np.unravel_index(int(rows.argmax()), space.shape)
        yield Refused(number, reason, space.candidate(tuple(int(i) for i in place)))


def _is_common(error: Exception, expand: Expand, space: Space, learned: Walk) -> bool:
    """Whether an error is no matter of arrays: candidates walked one by one have it too."""
    if not isinstance(error, ArchError):
        return False
    places = np.flatnonzero(_valid(space, learned))
    for index in places[np.linspace(0, len(places) - 1, min(SAMPLES, len(places))).astype(int)]:
        place = np.unravel_index(int(index), space.shape)
        try:
            expand(space.candidate(tuple(int(i) for i in place)), Walk())
        except ArchError as own:
            if (skeleton(own.message), own.at, own.path) != (skeleton(error.message), error.at, error.path):
                return False
        else:
            return False
    return True


def skeleton(message: str) -> str:
    """A message without its numbers."""
    return re.sub(r"\[[\s\d.\[\],]*\]|\d[\d/]*", "#", message)
