"""A process of its own for each network: asked with JSON lines, one question at a time.

It is a plain child (`python -m explorer.measure.worker`) with a Python of its own, so nothing that was loaded or
allocated before is in it. Where it crashes, or the system kills it, only its own network is lost.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from explorer.errors import UserError
from explorer.measure.child import search_path, signal_name
from explorer.measure.setting import Setting

WORKER = (sys.executable, "-P", "-m", "explorer.measure.worker")
OK, OUT_OF_MEMORY, FAILED = "ok", "out of memory", "failed"  # outcomes
KILLED = -9  # how a child ends that the system killed


class Lost(Exception):
    """No answer: an outcome (`out of memory` or `failed`) and the reason in words."""

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(f"{outcome}: {reason}")
        self.outcome, self.reason = outcome, reason


class Process:
    """A worker. It ends when it is closed, when it answers with a failure, and when this process dies."""

    def __init__(self, command: Sequence[str] = WORKER) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed in close)
        self.child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=os.environ | {"PYTHONPATH": search_path()},
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is this process's to handle
        )

    def ask(self, what: str, **arguments: Any) -> Any:
        """The answer to a question. Raises Lost where there is none; then the process has ended."""
        assert self.child.stdin and self.child.stdout
        with suppress(BrokenPipeError):  # then there is no answer either
            self.child.stdin.write(json.dumps({"ask": what, **arguments}) + "\n")
            self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line.endswith("\n"):
            raise self.epitaph()
        message = json.loads(line)
        if "answer" not in message:
            self.close()
            raise Lost(message["outcome"], message["reason"])
        return message["answer"]

    def epitaph(self) -> Lost:
        """How a process that answers no more has ended."""
        try:
            code = self.child.wait(timeout=10)  # it has closed its end of the pipe: it is about to end
        except subprocess.TimeoutExpired:
            self.child.kill()
            code = self.child.wait()
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip().splitlines()
        self.close()
        if code == KILLED:
            return Lost(OUT_OF_MEMORY, "the system killed its process (SIGKILL), most likely for want of memory")
        how = f"its process died of {signal_name(-code)}" if code < 0 else f"its process ended with exit code {code}"
        reason = how + "".join(f": {line[:300]}" for line in said[-1:])
        return Lost(OUT_OF_MEMORY if any("bad_alloc" in line for line in said[-5:]) else FAILED, reason)

    def close(self) -> None:
        """End the process now and close what belongs to it. It may be closed again."""
        self.child.kill()
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout, self.errors):
            with suppress(OSError):  # a question may never have been read
                if pipe:
                    pipe.close()


def start(setting: Setting, command: Sequence[str] = WORKER) -> tuple[Process, int | None]:
    """A fresh process that can measure under a setting, and the bytes that the device has left.

    Raises UserError where it says that it cannot, Lost where it says nothing.
    """
    process = Process(command)
    try:
        found = process.ask("begin", setting=setting.as_dict())
    except BaseException:
        process.close()
        raise
    if found["refused"] is not None:
        process.close()
        raise UserError(found["refused"])
    return process, found["available_bytes"]


def check(setting: Setting, command: Sequence[str] = WORKER) -> int | None:
    """Bytes that the device has left. Raises UserError where a setting cannot be measured on this machine."""
    try:
        process, available = start(setting, command)
    except Lost as lost:
        raise UserError(f"measuring does not start: {lost.reason}") from None
    process.close()
    return available
