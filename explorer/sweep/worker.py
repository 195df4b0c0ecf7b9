"""The body of a worker process: jobs in on stdin, answers out on stdout, until stdin ends (measure/pipe.py)."""

import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from explorer.measure.pipe import listen, own_stdout, say


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


def memory_limit() -> int | None:
    """Bytes that this process may have; None where nothing limits them, or the system has no such limits."""
    try:
        import resource
    except ImportError:
        return None
    soft = resource.getrlimit(resource.RLIMIT_DATA)[0]
    return None if soft == resource.RLIM_INFINITY else soft


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
