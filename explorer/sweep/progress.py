"""How far a sweep is, and when it will be done."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from explorer.sweep.plan import Trial
from explorer.sweep.records import TrialRecord


@dataclass(frozen=True)
class Progress:
    """Where a sweep is, told whenever a trial starts or (`ended`) is stored, and every second besides."""

    text: str  # the network of the trial that was last heard of
    seed: int
    done: int  # of this sweep's trials, those found in the store and those that failed included
    total: int
    ended: TrialRecord | None = None
    eta_seconds: float | None = None  # None until a first trial has ended
    running: int = 0
    failed: int = 0  # of those done
    elsewhere: int = 0  # another sweep on this store runs them
    per_minute: float | None = None  # trials ended by this sweep
    notice: str | None = None  # what happened to the trial that has just ended, besides

    @property
    def waiting(self) -> int:
        """Trials that have not begun."""
        return self.total - self.done - self.running - self.elsewhere


def work(trial: Trial) -> int:
    """What a trial's time grows with: multiply-adds of all epochs; budgets in seconds or FLOPs are alike for all."""
    epochs = trial.budget.epochs
    return 1 if epochs is None else trial.candidate.network.macs * epochs


class Forecast:
    """The time left, if a trial takes as long for its `work` as those that have ended."""

    def __init__(self, trials: Sequence[Trial], workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.workers, self.clock = workers, clock  # how many run at once
        self.work_left = sum(work(trial) for trial in trials)
        self.work_done = 0
        self.ended_trials = 0
        self.busy_seconds = 0.0  # of all workers
        self.began = clock()
        self.starts: dict[str, float] = {}

    def started(self, trial: Trial) -> None:
        """A worker begins a trial."""
        self.starts[trial.id] = self.clock()

    def ended(self, trial: Trial) -> None:
        """A trial is over."""
        self.busy_seconds += self.clock() - self.starts.pop(trial.id)
        self.ended_trials += 1
        self.work_done += work(trial)
        self.found(trial)

    def found(self, trial: Trial) -> None:
        """Another sweep has run a trial."""
        self.work_left -= work(trial)

    def seconds_left(self) -> float | None:
        """Until the last trial ends; None while nothing is known."""
        if not self.work_done:
            return None
        running = sum(self.clock() - start for start in self.starts.values())
        seconds = self.work_left * self.busy_seconds / self.work_done - running
        return max(0.0, seconds / self.workers)

    def per_minute(self) -> float | None:
        """Trials that end in a minute, since the beginning; None while nothing is known."""
        seconds = self.clock() - self.began
        return 60 * self.ended_trials / seconds if self.ended_trials and seconds > 0 else None
