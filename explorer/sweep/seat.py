"""A seat: one place where jobs run one after another, in a child process that is kept while it lives.

Children are plain processes (`python -m explorer.sweep.worker`) rather than multiprocessing's: so they get
their own environment before torch is loaded, need no `__main__` guard in the user's script, and speak JSON,
not pickle. Both engines run their jobs on seats, the local one here and Ray's wherever it placed the job:
a trial meets the same process, the same limits and the same second chance.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from explorer.errors import UserError
from explorer.measure.child import search_path, signal_name

ATTEMPTS = 2  # of a job whose process died
SHORT_OF_MEMORY = ", as the system does when memory runs out"
FALSE_STARTS = 3  # processes that died in a row before they were ready


@dataclass(frozen=True)
class Limits:
    """What one job may use; None: whatever there is."""

    seconds: float | None = None
    memory_bytes: int | None = None  # of its process, torch included (Linux only)
    grace: float = 0.0  # seconds more before its process is killed, for a task that heeds its limit itself


class Lost(Exception):
    """A job has no answer, and will get none: the message says why."""


class Seat:
    """Runs one job at a time, each in the same child process, until that dies and is replaced."""

    def __init__(self, task: str, environment: Mapping[str, str], limits: Limits) -> None:
        self.task, self.environment, self.limits = task, dict(environment), limits
        self._child: _Child | None = None
        self._closed = False
        self._lock = threading.Lock()  # of the two above: `close` comes from another thread

    def run(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The task's answer to a payload. Raises Lost, and UserError where processes do not even start."""
        for _ in range(ATTEMPTS):
            child = self._ready_child()
            answer = child.ask(payload, self.limits.seconds, self.limits.grace)
            if answer is not None:
                if answer.get("last") or child.expired:  # its process is good for nothing more, or just killed
                    child.process.kill()
                    self._bury(child)
                return answer
            reason = self._bury(child)
            if child.expired:
                raise Lost(f"stopped after {self.limits.seconds:g} s, its time limit")
        raise Lost(f"its worker process died {ATTEMPTS} times: {reason}")

    def close(self) -> None:
        """End the child now, in the middle of a job too: a seat has nothing to lose. From any thread."""
        with self._lock:
            self._closed = True
            if self._child:
                self._child.process.kill()

    def leave(self) -> None:
        """Close it, and wait until the child is gone: for the thread that runs the jobs."""
        self.close()
        if self._child:
            self._bury(self._child)

    def _ready_child(self) -> "_Child":
        """The child that waits for a job, a new one where the last has died."""
        if self._child and self._child.process.poll() is not None:  # while it had nothing to do
            self._bury(self._child)
        reason = ""
        for _ in range(FALSE_STARTS):
            child = self._child or self._start()
            if child.ready or child.wait_until_ready():
                return child
            reason = self._bury(child)
        raise UserError(f"worker processes do not start: {reason}")

    def _start(self) -> "_Child":
        """A new child, unless the seat was closed."""
        with self._lock:
            if self._closed:
                raise Lost("the sweep was stopped")
            try:
                self._child = _Child(self.task, self.environment, self.limits.memory_bytes)
            except OSError as error:  # no room for its files, no more processes
                raise UserError(f"worker processes do not start: {error}") from error
            return self._child

    def _bury(self, child: "_Child") -> str:
        """Forget a child that is gone; how it ended, in words."""
        with self._lock:
            self._child = None
        return child.epitaph()


class _Child:
    """One process: lines of JSON go in, lines of JSON come out."""

    def __init__(self, task: str, environment: Mapping[str, str], memory_bytes: int | None) -> None:
        self.ready = self.expired = False
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed in epitaph)
        limit = [] if memory_bytes is None else [str(memory_bytes)]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "explorer.sweep.worker", task, *limit],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            env=os.environ | dict(environment) | {"PYTHONPATH": search_path()},
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is the driver's to handle
        )

    def wait_until_ready(self) -> bool:
        """Whether it has imported the task and waits for jobs."""
        self.ready = self._hear() is not None
        return self.ready

    def ask(self, payload: dict[str, Any], seconds: float | None, grace: float) -> dict[str, Any] | None:
        """The answer to a payload; None: it died of it, or of taking longer than `seconds` and its grace."""
        timer = threading.Timer(seconds + grace, self._expire) if seconds is not None else None
        if timer:
            timer.start()
        try:
            self._tell(payload)
            message = self._hear()
        finally:
            if timer:
                timer.cancel()
        return None if message is None else message["answer"]

    def _expire(self) -> None:
        self.expired = True
        self.process.kill()

    def _tell(self, payload: dict[str, Any]) -> None:
        """Hand a job over; if the child has just died, its silence tells."""
        assert self.process.stdin
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(payload) + "\n")
            self.process.stdin.flush()

    def _hear(self) -> dict[str, Any] | None:
        """The next message; None: there will be no more."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        with suppress(ValueError):  # half a line: it died while writing
            found: dict[str, Any] = json.loads(line)
            return found
        return None

    def epitaph(self) -> str:
        """How a child that says no more has ended, in words."""
        try:
            code = self.process.wait(timeout=5)  # it has closed its end of the pipe: it is about to end
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        how = f"killed by {signal_name(-code)}" if code < 0 else f"exit code {code}"
        how += SHORT_OF_MEMORY if code == -signal.SIGKILL else ""
        self.stderr.seek(0)
        last = self.stderr.read().decode(errors="replace").strip().splitlines()[-1:]
        for pipe in (self.process.stdin, self.process.stdout, self.stderr):
            with suppress(OSError):  # the last job may never have been read
                if pipe:
                    pipe.close()
        return how + "".join(f": {line[:300]}" for line in last)
