"""Single ops, timed: what a device's file is calibrated on. No network of the catalog is among them.

Sizes, groups and batches are spread over what convolutional networks use; the map of each stays below 40 MB.
"""

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from explorer.analysis.kernels import BACKWARD_PASS, EVALUATION, FORWARD_PASS, INPUT_PASS, WEIGHT_PASS
from explorer.blocks.graph import Entry, Op, Scope, Shape
from explorer.blocks.ops import PRIMITIVES, REQUIRED
from explorer.nn.module import ScopeModule

CALLS = 20  # ops in a row, when launching them is timed

# batch, channels read and made, side of the map
CONVOLUTIONS = (
    (64, 16, 16, 32), (16, 16, 16, 32), (16, 32, 32, 16), (64, 64, 64, 8), (16, 64, 64, 32), (16, 128, 128, 16),
    (16, 256, 256, 8), (16, 512, 512, 4), (8, 512, 512, 7), (32, 256, 256, 2), (8, 160, 320, 16), (16, 256, 64, 16),
    (16, 64, 256, 16), (8, 12, 12, 32), (16, 100, 12, 32), (32, 200, 48, 8), (16, 24, 48, 32), (16, 40, 40, 16),
    (16, 72, 20, 16), (32, 300, 32, 8), (8, 96, 96, 14), (8, 1024, 256, 4),
)  # fmt: skip
GROUPED = (  # and groups
    (16, 64, 64, 16, 2), (16, 128, 128, 16, 8), (16, 128, 128, 16, 32), (8, 256, 256, 8, 32), (16, 48, 48, 16, 4),
    (16, 96, 96, 16, 32), (16, 40, 40, 16, 2), (16, 72, 72, 8, 3), (16, 128, 128, 16, 128), (4, 512, 512, 8, 32),
    (8, 16, 128, 16, 8),
)  # fmt: skip
MAPS = ((1, 16, 4, 4), (16, 16, 16, 16), (16, 64, 8, 8), (16, 64, 32, 32), (32, 256, 16, 16), (64, 64, 32, 32))
LINEAR = ((1, 10, 10), (16, 64, 10), (64, 512, 1000), (64, 1024, 1024), (8, 2048, 1000), (16, 4096, 4096))


class Case(NamedTuple):
    """An op on a batch."""

    op: Op
    batch: int
    calls: int = 1  # such ops in a row; of the time, one's part is taken


class Sample(NamedTuple):
    """Seconds of one pass of a case."""

    case: Case
    phase: str
    seconds: float


def made(kind: str, *ins: Shape, **attrs: Any) -> Op:
    """An op outside of any network."""
    primitive = PRIMITIVES[kind]
    given = {name: value for name, value in primitive.params.items() if value is not REQUIRED} | attrs
    return Op(kind, given, ins, primitive.shape(ins, given))


def cases() -> list[Case]:
    """All of them: about 150."""
    return [*_convolutions(), *_linear(), *_maps(), *_launches()]


def _convolutions() -> Iterator[Case]:
    for batch, reads, makes, side in CONVOLUTIONS:
        for kernel in (1, 3):
            yield Case(made("conv", (reads, side, side), kernel=kernel, width=makes), batch)
    for batch, reads, makes, side, groups in GROUPED:
        yield Case(made("conv", (reads, side, side), kernel=3, width=makes, groups=groups), batch)
    yield Case(made("conv", (60, 16, 16), kernel=1, width=120, groups=5), 16)
    yield Case(made("conv", (256, 8, 8), kernel=1, width=128, groups=2), 16)
    for kernel, stride in ((3, 2), (1, 2)):
        yield Case(made("conv", (64, 32, 32), kernel=kernel, width=128, stride=stride), 16)
        yield Case(made("conv", (256, 16, 16), kernel=kernel, width=256, stride=stride), 16)
    yield Case(made("conv", (3, 32, 32), kernel=3, width=32), 32)
    yield Case(made("conv", (3, 64, 64), kernel=7, width=64, stride=2), 16)


def _linear() -> Iterator[Case]:
    for batch, reads, makes in LINEAR:
        yield Case(made("linear", (reads, 1, 1), width=makes), batch)


def _maps() -> Iterator[Case]:
    for batch, *sides in MAPS:
        shape = (sides[0], sides[1], sides[2])
        half = (shape[0] // 2, *shape[1:])
        for kind in ("bn", "relu", "sigmoid", "gap"):
            yield Case(made(kind, shape), batch)
        yield Case(made("add", shape, shape), batch)
        yield Case(made("concat", shape, half), batch)
        yield Case(made("update", shape, half, start=shape[0] // 4), batch)
        yield Case(made("multiply", shape, (shape[0], 1, 1)), batch)
        yield Case(made("avgpool", shape, kernel=2), batch)
        yield Case(made("maxpool", shape, kernel=2), batch)
        yield Case(made("maxpool", shape, kernel=3, stride=2, pad=1), batch)
        yield Case(made("dropout", shape, rate=Fraction(1, 5)), batch)
        yield Case(made("sliding", shape, scale=4), batch)


def _launches() -> Iterator[Case]:
    for kind in ("relu", "bn"):
        yield Case(made(kind, (4, 1, 1)), 2, CALLS)
    yield Case(made("add", (4, 1, 1), (4, 1, 1)), 1, CALLS)
    yield Case(made("conv", (4, 2, 2), kernel=3, width=4), 1, CALLS)
    yield Case(made("conv", (16, 2, 2), kernel=3, width=16), 4, CALLS)


def phases(case: Case) -> tuple[str, ...]:
    """What of a case is timed."""
    if case.op.kind == "conv":
        return (FORWARD_PASS, INPUT_PASS, WEIGHT_PASS)
    both = (FORWARD_PASS, BACKWARD_PASS)
    return (EVALUATION, *both) if case.op.kind == "bn" else both


class Stopwatch:
    """Seconds of a call: the process's on one CPU thread, since others may run; wall time elsewhere, synchronised."""

    def __init__(self, device: str, threads: int) -> None:
        self.device = device
        self.now = time.process_time if device == "cpu" and threads == 1 else time.perf_counter

    @cached_property
    def engine(self) -> float:
        """Seconds that starting a backward pass takes, whatever is in it; hidden where the host runs ahead."""
        if self.device != "cpu":
            return 0.0
        value = torch.ones(1, 4, 1, 1, device=self.device)
        cases = (Case(made("relu", (4, 1, 1)), 1, n) for n in (1, 1 + CALLS))
        one, many = (self.measure(call_of(BACKWARD_PASS, ScopeModule(scope_of(case)), [value]), 0.05) for case in cases)
        return max(0.0, one - (many - one) / CALLS)

    def measure(self, call: Callable[[], Any], least: float) -> float:
        """The mean over as many calls as take `least` seconds; one before is not counted."""
        call()
        repeats = 1
        while True:
            seconds = self._seconds(call, repeats)
            if seconds >= least:
                return seconds / repeats
            repeats = max(repeats + 1, min(10 * repeats, int(1.2 * repeats * least / max(seconds, 1e-6))))

    def _seconds(self, call: Callable[[], Any], repeats: int) -> float:
        self._synchronise()
        start = self.now()
        for _ in range(repeats):
            call()
        self._synchronise()
        return self.now() - start

    def _synchronise(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)
        elif self.device == "mps":
            torch.mps.synchronize()


def measure_case(case: Case, watch: Stopwatch, least: float) -> list[Sample]:
    """Times each phase of a case."""
    module = ScopeModule(scope_of(case)).to(watch.device)
    inputs = [torch.randn(case.batch, *shape, device=watch.device) for shape in case.op.ins]
    found = []
    for phase in phases(case):
        module.train(phase != EVALUATION)
        seconds = watch.measure(call_of(phase, module, inputs), least)
        start = 0.0 if phase in (EVALUATION, FORWARD_PASS) else min(watch.engine, seconds / 2)
        found.append(Sample(case, phase, (seconds - start) / case.calls))
    return found


def scope_of(case: Case) -> Scope:
    """The ops of a case in a row, as a network runs them."""
    op, others = case.op, tuple(range(1, len(case.op.ins)))
    scope = Scope("network", op.kind, {})
    scope.ports = (0, *others)
    places = [0, *range(len(op.ins), len(op.ins) + case.calls)]
    scope.body = tuple(Entry(f"{op.kind}{place}", op, (read, *others), (place,)) for read, place in pairwise(places))
    scope.outputs = (places[-1],)
    return scope


def call_of(phase: str, module: ScopeModule, inputs: list[Tensor]) -> Callable[[], Any]:
    """What is timed."""
    forward: Callable[[], Tensor] = partial(module, *inputs)
    if phase == EVALUATION:
        return torch.no_grad()(forward)
    for value in inputs:
        value.requires_grad_()
    if phase == FORWARD_PASS:
        return forward
    result, learned = forward(), list(module.parameters())
    wanted = {INPUT_PASS: inputs, WEIGHT_PASS: learned}.get(phase, [*inputs, *learned])
    return partial(torch.autograd.grad, result, wanted, torch.randn_like(result), retain_graph=True)
