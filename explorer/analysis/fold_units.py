"""A fold's part as its substitute runs it: forward on its own, and once more under autograd (explorer/nn/fast/tape.py).

Convolutions of the fold's maps are made outside. The tape may keep the outputs of all others too.
"""

from typing import NamedTuple

from explorer.analysis.liveness import Schedule
from explorer.analysis.saved import GRADIENT, HELD, INPUT_AGAIN, TAKEN, Setting
from explorer.analysis.saved import Call as Called
from explorer.analysis.storages import Run
from explorer.blocks.graph import Op, Scope

OUTSIDE = 0  # the value that stands for arguments which are read outside


class Tensor(NamedTuple):
    """Bytes of a part's argument, or of the gradient of a result. `own`: no view of one of the fold's maps."""

    size: int
    strided: bool = False
    own: bool = False


Tensors = tuple[Tensor | None, ...]  # by port, or by result


class First(NamedTuple):
    """A part's first run: the most there is, and what it leaves, its results and what the tape keeps.

    `kept` has the number of a convolution among the part's ops, and bytes. `outside`: whether one of the results was
    made outside.
    """

    high: int
    results: tuple[int, ...]
    outside: bool
    kept: tuple[tuple[int, int], ...]


class Gradient(NamedTuple):
    """Of a convolution's output, bytes; the convolution's number among the part's ops; its storage's, and its bytes."""

    of: int
    conv: int
    storage: int
    size: int
    strided: bool


class Second(NamedTuple):
    """A part's second run and its backward pass: the most there is, of it gradients of parameters, and what is left.

    `gradients` are those of the outputs of convolutions that were made outside.
    """

    high: int
    learned_at_high: int
    learned: int
    gradients: tuple[Gradient, ...]


class Unit(Schedule):
    """A part. `keeps`: the tape keeps outputs of convolutions. `again`: it is the second run.

    `taken`: what was made outside dies in here.
    """

    def __init__(self, scope: Scope, arguments: Tensors, at: Setting, keeps: bool, again: bool, taken: bool) -> None:
        self.start(at)
        self.keeps, self.again, self.form = keeps, again, TAKEN if taken else HELD
        self.outside: dict[int, int] = {}
        self.kept: list[tuple[int, int]] = []
        self.arguments = {i: x for i, x in enumerate(arguments, 1) if x is not None}
        self.holders += [2] * len(arguments)
        given = [i if i in self.arguments else OUTSIDE for i in range(1, len(self.holders))]
        self.results = self._scope(scope, given)

    def _op(self, op: Op, given: list[int]) -> int:
        if op.kind != "conv" or not (self.keeps or given[0] == OUTSIDE):
            return super()._op(op, given)
        number = self.ops
        self.ops += 1
        if given[0] == OUTSIDE:
            made = self._call(Called((), self.at.values(op.out), self.form), [], number)
            self.outside[number] = made
        elif self.again:
            call = self._lower(op).calls[0]
            made = self._call(call._replace(form=HELD, packs=GRADIENT | INPUT_AGAIN), given, number)
        else:
            made = self._call(self._lower(op).calls[0], given, number)
            self.holders[made] += 1
            self.kept.append((number, made))
        return made

    def run(self, records: bool) -> Run:
        """The forward pass."""
        run = Run(self, records)
        for value, x in self.arguments.items():
            run.given(value, x.size, x.strided)
        run.live = sum(call.size for call, *_ in self.steps if call.form == TAKEN)
        run.forward(self.steps)
        return run


def first(scope: Scope, arguments: Tensors, at: Setting, keeps: bool, taken: bool) -> First:
    """Without autograd."""
    unit = Unit(scope, arguments, at, keeps, again=False, taken=taken)
    run = unit.run(records=False)
    kept = {run.storage[made]: number for number, made in unit.kept}
    results = {run.storage[value] for value in unit.results} - kept.keys()
    return First(
        run.high,
        tuple(run.size[place] for place in results),
        any(run.storage[value] in results for value in unit.outside.values()),
        tuple((number, run.size[place]) for place, number in kept.items()),
    )


def second(scope: Scope, arguments: Tensors, at: Setting, keeps: bool, seeds: Tensors) -> Second:
    """Under autograd, and back from the gradients of results (None: there is none)."""
    unit = Unit(scope, arguments, at, keeps, again=True, taken=False)
    run = unit.run(records=True)
    for value, seed in zip(unit.results, seeds, strict=True):
        if seed is not None:
            run.bytes[value] = seed.size
            run.seed(value, seed.size if seed.own else 0, seed.strided, shared=True)
    run.reach(0)
    run.backward()
    gradients = []
    for number, value in unit.outside.items():
        place = run.gradient[value]
        if place is None:  # zeros
            run.seed(value, run.bytes[value])
            place = run.gradient[value]
            assert place is not None
        storage = max(place, ~place)
        gradients.append(Gradient(run.bytes[value], number, storage, run.size[storage], place < 0))
    run.reach(0)
    return Second(run.high, run.peak.learned, run.learned, tuple(gradients))
