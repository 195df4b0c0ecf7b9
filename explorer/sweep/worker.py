"""The body of a worker process: JSON lines in on stdin, JSON lines out on stdout, until stdin ends.

The pipe is also the leash: when the driver dies, however it dies, stdin ends, and the worker with it.
"""

import json
import os
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO


def main(task: str, memory_bytes: int | None = None) -> None:
    """Answer every job that arrives with the function `module:name`, and never return."""
    answers = _own_stdout()
    _step_forward()
    if memory_bytes is not None:
        _limit_memory(memory_bytes)
    jobs: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    module, name = task.split(":")
    function = getattr(import_module(module), name)
    _say(answers, {"ready": True})
    while True:
        _say(answers, {"answer": function(jobs.get())})


def _own_stdout() -> TextIO:
    """The pipe to the driver, moved out of the reach of whatever prints: that goes to stderr."""
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return pipe


def _step_forward() -> None:
    """Where memory runs out, let the system end a worker, which is replaced, and not the driver (Linux)."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _limit_memory(size: int) -> None:
    """Refuse this process more than `size` bytes: to ask for more then fails as an exception, in here alone."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (size, size))  # not RLIMIT_AS: libraries reserve without using


def _listen(jobs: SimpleQueue[dict[str, Any]]) -> None:
    """Pass jobs on as they arrive; end the whole process, in the middle of a trial too, when no more can."""
    for line in sys.stdin:
        jobs.put(json.loads(line))
    os._exit(0)


def _say(pipe: TextIO, message: dict[str, Any]) -> None:
    """Send one line to the driver; leave if it is gone."""
    try:
        pipe.write(json.dumps(message) + "\n")
        pipe.flush()
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
