"""How far a sweep is, and when it will be done."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from explorer.sweep.plan import Trial
from explorer.sweep.records import TrialRecord


@dataclass(frozen=True)
class Progress:
    """Where a sweep is, told when a trial starts (`ended` None) and when it has ended and is stored."""

    text: str  # the network
    seed: int
    done: int  # of this sweep's trials, those found in the store included
    total: int
    ended: TrialRecord | None = None
    eta_seconds: float | None = None  # None until a first trial has ended


class Forecast:
    """The time left, if a trial takes as long per multiply-add as those that have ended."""

    def __init__(self, trials: Sequence[Trial], workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.workers, self.clock = workers, clock
        self.macs_left = sum(trial.candidate.network.macs for trial in trials)
        self.macs_done = 0
        self.busy_seconds = 0.0  # of all workers
        self.starts: dict[str, float] = {}

    def started(self, trial: Trial) -> None:
        """A worker begins a trial (again, if its first worker died)."""
        self.starts[trial.id] = self.clock()

    def ended(self, trial: Trial) -> None:
        """A trial is over."""
        self.busy_seconds += self.clock() - self.starts.pop(trial.id)
        self.macs_done += trial.candidate.network.macs
        self.macs_left -= trial.candidate.network.macs

    def seconds_left(self) -> float | None:
        """Until the last trial ends; None while nothing is known."""
        if not self.macs_done:
            return None
        running = sum(self.clock() - start for start in self.starts.values())
        work = self.macs_left * self.busy_seconds / self.macs_done - running
        return max(0.0, work / self.workers)
