"""The body of a worker process: jobs in on stdin, answers out on stdout, until stdin ends (measure/pipe.py)."""

import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from explorer.measure.pipe import listen, own_stdout, say

LIMIT = "EXPLORER_WORKER_BYTES"  # in the environment: the tasks' modules are not this process's __main__


def main(task: str, memory_bytes: int | None = None) -> None:
    """Answer every job that arrives with the function `module:name`, and never return."""
    answers = own_stdout()
    _step_forward()
    if memory_bytes is not None:
        _limit_memory(memory_bytes)
    jobs = listen()
    module, name = task.split(":")
    function = getattr(import_module(module), name)
    say(answers, {"ready": True})
    while True:
        say(answers, {"answer": function(jobs.get())})


def _step_forward() -> None:
    """Where memory runs out, let the system end a worker, which is replaced, and not the driver (Linux)."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _limit_memory(size: int) -> None:
    """Refuse this process more than `size` bytes: to ask for more then fails as an exception, in here alone."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (size, size))  # not RLIMIT_AS: libraries reserve without using
    os.environ[LIMIT] = str(size)


def memory_limit() -> int | None:
    """Bytes that this process was limited to when it was started as a worker; None where it was not."""
    return int(os.environ[LIMIT]) if LIMIT in os.environ else None


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
