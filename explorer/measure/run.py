"""Networks measured side by side: memory of one after the other, then time in turns, so that ratios hold.

Only one process computes at any time. Nothing here loads torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import explorer
from explorer.analysis.foreign import is_foreign
from explorer.errors import UserError
from explorer.measure.process import OK, OUT_OF_MEMORY, WORKER, Lost, Process, start
from explorer.measure.result import (
    INTERRUPTED,
    Measurement,
    MemoryUse,
    Ratio,
    latency_of,
    ratio_of,
    remarks,
)
from explorer.measure.setting import Setting

SAMPLES, ROUNDS = 50, 10  # at least, of each network
BUDGET_S = 120.0  # of samples, after which a network has done enough
ALONE = "measured by itself: there was no room for all networks at once"
LEAN = "measured with freed memory given back, which takes time: there was no room to keep it"
BESIDE = 1.5  # what a network may take where freed memory is kept, as a multiple of its peak

Progress = Callable[[float, str], None]  # the fraction that is done, and what is being done


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while measuring: the processes have ended. `measurements` has what was measured until then."""

    def __init__(self, measurements: list[Measurement]) -> None:
        super().__init__("interrupted")
        self.measurements = measurements


def measure(
    nets: Sequence[str],
    setting: Setting | Sequence[Setting],
    *,
    depth: int = 0,
    progress: Progress | None = None,
    worker: Sequence[str] = WORKER,
) -> list[Measurement]:
    """Memory and latency of networks on a device, under one setting or one for each; ratios are to the first.

    `depth`: levels of parts whose time and saved memory are told apart. Networks that do not fit or fail are results.
    Raises UserError, before anything runs, for wrong texts and for what the device cannot do; Interrupted on Ctrl-C.
    """
    settings = [setting] * len(nets) if isinstance(setting, Setting) else list(setting)
    if not nets or len(settings) != len(nets):
        raise UserError(f"{len(nets)} networks cannot be measured under {len(settings)} settings")
    cases = [_Case(net, _checked(net, its), worker) for net, its in zip(nets, settings, strict=True)]
    call = _Call(cases, depth, progress or (lambda fraction, words: None))
    try:
        call.run()
    except KeyboardInterrupt as error:
        raise Interrupted([case.measurement(cases[0]) for case in cases]) from error
    finally:
        for case in cases:
            case.close()
    return [case.measurement(cases[0]) for case in cases]


def _checked(net: str, setting: Setting) -> Setting:
    """The setting that a network can have. Raises UserError for texts that are wrong."""
    if not is_foreign(net):
        explorer.expand(net, input=setting.input, classes=setting.classes)
        return setting
    if setting.classes is not None:
        raise UserError(f"'{net.strip()[:100]}' is a torch module: it has no number of classes to set")
    return replace(setting, layers="reference")


class _Case:
    """A network, its process, and what is known of it so far."""

    def __init__(self, net: str, setting: Setting, worker: Sequence[str]) -> None:
        self.net, self.setting, self.worker = net, setting, worker
        self.process: Process | None = None
        self.lost: Lost | None = None
        self.available: int | None = None
        self.memory: MemoryUse | None = None
        self.warm_up: dict[str, Any] = {}
        self.turns: list[list[float]] = []
        self.cpu: list[list[float]] = []
        self.interleaved = False
        self.parts: dict[str, Any] | None = None
        self.environment: dict[str, Any] = {}
        self.notes: list[str] = []
        self.finished = False

    def begin(self) -> None:
        """A fresh process. Raises UserError where it says that the setting cannot be measured."""
        self.close()
        self.process, self.available = start(self.setting, self.worker)

    def ask(self, what: str, **arguments: Any) -> Any:
        """The answer of its process. Raises Lost."""
        assert self.process
        return self.process.ask(what, **arguments)

    def about(self) -> dict[str, Any]:
        """What a question about the network says of it."""
        return {"setting": self.setting.as_dict(), "text": self.net}

    def weigh(self) -> None:
        """Its memory."""
        self.begin()
        self.environment = self.ask("environment", setting=self.setting.as_dict())
        self.memory = MemoryUse(**self.ask("memory", **self.about()))

    def prepare(self, keep: bool) -> None:
        """Run it until its times are stable."""
        self.warm_up = self.ask("prepare", **self.about(), keep=keep)

    def take_turn(self) -> None:
        """Some samples."""
        turn = self.ask("turn", count=self.warm_up["turn"])
        self.turns.append(turn["wall_ms"])
        if turn["cpu_ms"]:
            self.cpu.append(turn["cpu_ms"])

    def finish(self, depth: int) -> None:
        """What is told of a network after its samples, while the device is still warm."""
        self.environment = self.ask("environment", setting=self.setting.as_dict())
        self.finished = True
        if depth > 0:
            self.parts = self.ask("parts", depth=depth)

    def close(self) -> None:
        """End the process, if there is one."""
        if self.process:
            self.process.close()
        self.process = None

    @property
    def seconds(self) -> float:
        """Of all samples."""
        return sum(map(sum, self.turns)) / 1e3

    @property
    def has_enough(self) -> bool:
        """Whether its samples suffice."""
        enough = len(self.turns) >= ROUNDS and sum(map(len, self.turns)) >= SAMPLES
        return enough or self.seconds >= BUDGET_S

    @property
    def ran_full(self) -> bool:
        """Whether memory did not suffice."""
        return self.lost is not None and self.lost.outcome == OUT_OF_MEMORY

    def measurement(self, first: "_Case") -> Measurement:
        """What is known."""
        warm = self.warm_up
        latency = (
            latency_of(self.turns, self.cpu, self.setting.batch, warm["steps"], warm["stable"], self.interleaved)
            if self.turns and self.lost is None
            else None
        )
        outcome = self.lost.outcome if self.lost else OK if self.finished else INTERRUPTED
        return Measurement(
            network=self.net,
            setting=self.setting,
            outcome=outcome,
            reason=self.lost.reason if self.lost else None,
            latency=latency,
            ratio=None if latency is None or first is self else self.ratio(first),
            memory=self.memory,
            parts=self.parts,
            environment=self.environment,
            notes=(*self.notes, *remarks(latency)),
        )

    def ratio(self, first: "_Case") -> Ratio | None:
        """To the first network, where that was timed."""
        if not first.turns or first.lost:
            return None
        images = first.setting.batch / self.setting.batch
        paired = self.interleaved and first.interleaved
        if self.cpu and first.cpu:
            return ratio_of(self.cpu, first.cpu, paired, images, "cpu")
        return ratio_of(self.turns, first.turns, paired, images, "wall")


class _Call:
    """One call: its cases go through the same phases. A case that is lost on the way is left out from there on."""

    def __init__(self, cases: list[_Case], depth: int, progress: Progress) -> None:
        self.cases, self.depth, self.progress = cases, depth, progress

    def run(self) -> None:
        """Memory of each, then time of all."""
        for place, case in enumerate(self.cases):
            self.progress(0.3 * place / len(self.cases), f"memory of {case.net}")
            self.attempt(case, _Case.weigh)
        left = [case for case in self.cases if case.lost is None]
        crowded = len(left) > 1
        if self.fit_together(left):
            self.time(left, keep=True)
            left = [case for case in left if case.ran_full]
        for case in left:
            if crowded:
                self.time_alone(case, keep=True)
            if case.ran_full and case.setting.kind == "cpu":
                self.time_alone(case, keep=False)

    def attempt(self, case: _Case, action: Callable[[_Case], None]) -> None:
        """An action on a case, after which it may be lost."""
        try:
            action(case)
        except Lost as lost:
            case.lost = lost
            case.close()

    def fit_together(self, cases: list[_Case]) -> bool:
        """Whether the device has room for all of them at once."""
        if len(cases) < 2 or cases[0].available is None:
            return True
        return BESIDE * sum(case.memory.peak_bytes for case in cases if case.memory) <= cases[0].available

    def time_alone(self, case: _Case, keep: bool) -> None:
        """A network without the others beside it."""
        for other in self.cases:
            other.close()
        case.lost, case.turns, case.cpu = None, [], []
        case.notes.append(ALONE if keep else LEAN)
        self.attempt(case, _Case.begin)
        self.time([case], keep)

    def time(self, cases: list[_Case], keep: bool) -> None:
        """Networks that take turns. `keep`: on the CPU freed memory is kept, which saves time and takes memory."""
        for place, case in enumerate(cases):
            self.progress(0.3 + 0.2 * place / len(cases), f"warming up {case.net}")
            case.interleaved = len(cases) > 1
            if case.lost is None:
                self.attempt(case, lambda case: case.prepare(keep))
        while not all(case.lost or case.has_enough for case in cases):
            for case in (c for c in cases if c.lost is None and c.seconds < BUDGET_S):
                self.attempt(case, _Case.take_turn)
            self.progress(0.5 + 0.5 * min(self.done(case) for case in cases), "taking turns")
        for case in cases:
            if case.lost is None:
                self.attempt(case, lambda case: case.finish(self.depth))
            case.close()

    def done(self, case: _Case) -> float:
        """The part of its samples that it has."""
        if case.lost or case.has_enough:
            return 1.0
        return min(len(case.turns) / ROUNDS, sum(map(len, case.turns)) / SAMPLES)
