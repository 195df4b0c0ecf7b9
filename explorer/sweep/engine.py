"""The local engine: worker processes that each run one job at a time, and survive each other.

Workers are plain child processes (`python -m explorer.sweep.worker`) rather than multiprocessing's: so they
get their own environment before torch is loaded, need no `__main__` guard in the user's script, and speak
JSON, not pickle. The engine knows nothing of training or of the store: a task is `module:function`, dict in
and dict out.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from explorer.errors import UserError

ATTEMPTS = 2  # of a job whose worker died
FALSE_STARTS = 3  # workers that died in a row before they were ready


@dataclass(frozen=True)
class Job:
    """One call of the task: a name that is unique in this run, and its JSON argument."""

    key: str
    payload: dict[str, Any]


@dataclass(frozen=True)
class Started:
    """A worker has begun a job."""

    key: str


@dataclass(frozen=True)
class Ended:
    """A job is over: its answer, or (answer None) why there is none."""

    key: str
    answer: dict[str, Any] | None
    reason: str | None = None


Event = Started | Ended
_Message = tuple["_Worker", dict[str, Any] | None]  # None: the worker died


def run_jobs(
    task: str, jobs: Sequence[Job], workers: int, environment: Mapping[str, str] | None = None
) -> Generator[Event]:
    """Run every job on `workers` processes, giving events as they happen.

    A job whose worker dies is tried once more. Closing the iterator ends the workers at once.
    UserError where workers do not even start.
    """
    crew = _Crew(task, jobs, environment or {})
    try:
        crew.hire(min(workers, len(jobs)))
        while crew.busy():
            yield from crew.next_events()
    finally:
        crew.dismiss()


class _Crew:
    """The workers of one run, the jobs that wait, and the queue all messages arrive in."""

    def __init__(self, task: str, jobs: Sequence[Job], environment: Mapping[str, str]) -> None:
        self.task, self.environment = task, environment
        self.waiting = deque(jobs)
        self.workers: list[_Worker] = []
        self.messages: SimpleQueue[_Message] = SimpleQueue()
        self.deaths: Counter[str] = Counter()  # by job
        self.false_starts = 0

    def hire(self, count: int) -> None:
        """Start so many workers."""
        self.workers += [_Worker(self.task, self.environment, self.messages) for _ in range(count)]

    def busy(self) -> bool:
        """Whether a job waits or runs."""
        return bool(self.waiting) or any(worker.job for worker in self.workers)

    def next_events(self) -> Iterator[Event]:
        """Wait for the next message, and what follows from it."""
        worker, message = self.messages.get()
        job, worker.job = worker.job, None
        if message is None:
            yield from self.bury(worker, job)
        else:
            worker.was_ready, self.false_starts = True, 0
            if job:
                yield Ended(job.key, message["answer"])
            yield from self.assign(worker)

    def assign(self, worker: "_Worker") -> Iterator[Event]:
        """Give an idle worker the next job, if there is one."""
        if self.waiting:
            worker.job = self.waiting.popleft()
            worker.send(worker.job.payload)
            yield Started(worker.job.key)

    def bury(self, worker: "_Worker", job: Job | None) -> Iterator[Event]:
        """Replace a dead worker; its job is tried once more, then given up."""
        self.workers.remove(worker)
        reason = worker.epitaph()
        if not worker.was_ready:
            self.false_starts += 1
            if self.false_starts >= FALSE_STARTS:
                raise UserError(f"worker processes do not start: {reason}")
        if job:
            self.deaths[job.key] += 1
            if self.deaths[job.key] < ATTEMPTS:
                self.waiting.append(job)
            else:
                yield Ended(job.key, None, f"its worker process died {ATTEMPTS} times: {reason}")
        if self.waiting:
            self.hire(1)

    def dismiss(self) -> None:
        """End all workers now; a worker has nothing to lose."""
        for worker in self.workers:
            worker.kill()


class _Worker:
    """One child process, a thread that passes its messages on, and the job it has."""

    def __init__(self, task: str, environment: Mapping[str, str], messages: SimpleQueue[_Message]) -> None:
        self.job: Job | None = None
        self.was_ready = False
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed in kill)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "explorer.sweep.worker", task],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            env=os.environ | dict(environment) | {"PYTHONPATH": _search_path()},
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is the driver's to handle
        )
        self.thread = threading.Thread(target=self._forward, args=(messages,), daemon=True)
        self.thread.start()

    def _forward(self, messages: SimpleQueue[_Message]) -> None:
        """Pass every message on, and at last that there will be no more."""
        assert self.process.stdout
        with suppress(ValueError):  # half a line: it died while writing
            for line in self.process.stdout:
                messages.put((self, json.loads(line)))
        messages.put((self, None))

    def send(self, payload: dict[str, Any]) -> None:
        """Hand a job over; if the worker has just died, its last message tells."""
        assert self.process.stdin
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(payload) + "\n")
            self.process.stdin.flush()

    def epitaph(self) -> str:
        """How a worker that sends no more has ended, in words."""
        try:
            code = self.process.wait(timeout=5)  # it has closed its end of the pipe: it is about to end
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        how = f"killed by {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        self.stderr.seek(0)
        last = self.stderr.read().decode(errors="replace").strip().splitlines()[-1:]
        self.kill()
        return how + "".join(f": {line[:300]}" for line in last)

    def kill(self) -> None:
        """End the process now and close what belongs to it."""
        self.process.kill()
        self.process.wait()
        self.thread.join(timeout=5)
        for pipe in (self.process.stdin, self.process.stdout, self.stderr):
            with suppress(OSError):  # the last job may never have been read
                if pipe:
                    pipe.close()


def usable_cores() -> int:
    """The cores this process may use: its affinity, and a container's quota where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()  # "max 100000" has no quota
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def _search_path() -> str:
    """Where this process finds modules, for a child to find the same ones."""
    return os.pathsep.join(path or os.getcwd() for path in sys.path)


def _signal_name(number: int) -> str:
    """SIGKILL for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
