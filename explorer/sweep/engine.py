"""Engines place jobs: here on this machine's seats, in `ray_engine` on those of a cluster.

An engine knows nothing of training or of the store: a task is `module:function`, dict in and dict out.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from explorer.errors import UserError
from explorer.sweep.seat import Limits, Lost, Seat


@dataclass(frozen=True)
class Job:
    """One call of the task: a name that is unique in this run, and its JSON argument."""

    key: str
    payload: dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """A job is over: its answer, or (answer None) why there is none."""

    key: str
    answer: dict[str, Any] | None
    reason: str | None = None


class Engine(Protocol):
    """Takes jobs at any time, runs as many at once as it has places, and tells of each that it has ended."""

    @property
    def places(self) -> int:
        """How many jobs can run at once, now."""

    def start(self, job: Job) -> None:
        """Run a job as soon as there is a place."""

    def wait(self, seconds: float) -> Ended | None:
        """The next job that is over; None: none within the time. UserError where no job can ever run."""

    def close(self) -> None:
        """Stop everything at once, running jobs too."""


class LocalEngine:
    """A seat for each environment, on this machine; a thread waits at each."""

    def __init__(self, task: str, environments: Sequence[Mapping[str, str]], limits: Limits) -> None:
        self._seats = [Seat(task, environment, limits) for environment in environments]
        self._threads: list[threading.Thread] = []
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._over: SimpleQueue[Ended | UserError] = SimpleQueue()

    @property
    def places(self) -> int:
        """The number of seats."""
        return len(self._seats)

    def start(self, job: Job) -> None:
        """Queue a job for the next free seat; the first jobs open the seats."""
        self._jobs.put(job)
        if len(self._threads) < len(self._seats):
            seat = self._seats[len(self._threads)]
            self._threads.append(threading.Thread(target=self._serve, args=(seat,), daemon=True))
            self._threads[-1].start()

    def wait(self, seconds: float) -> Ended | None:
        """The next job that is over; None: none within the time."""
        with suppress(Empty):
            over = self._over.get(timeout=seconds)
            if isinstance(over, UserError):
                raise over
            return over
        return None

    def close(self) -> None:
        """End all seats now, and wait until they are gone."""
        for seat in self._seats:
            seat.close()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(timeout=10)

    def _serve(self, seat: Seat) -> None:
        """Run jobs on a seat until there are no more."""
        while (job := self._jobs.get()) is not None:
            try:
                self._over.put(run_on(seat, job))
            except UserError as error:
                self._over.put(error)
        seat.leave()


def run_on(seat: Seat, job: Job) -> Ended:
    """How a job ends on a seat."""
    try:
        return Ended(job.key, seat.run(job.payload))
    except Lost as lost:
        return Ended(job.key, None, str(lost))


def usable_cores() -> int:
    """The cores this process may use: its affinity, and a container's quota where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()  # "max 100000" has no quota
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores
