"""A child process's end of its pipes: JSON lines in on stdin, JSON lines out on what was stdout.

The pipe is also the leash: when the asking process dies, however it dies, stdin ends, and this process with it.
"""

import json
import os
import sys
import threading
from queue import SimpleQueue
from typing import Any, TextIO


def own_stdout() -> TextIO:
    """The pipe to the asking process, moved out of the reach of whatever prints: that goes to stderr."""
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return pipe


def listen() -> "SimpleQueue[dict[str, Any]]":
    """What arrives from now on. The whole process ends, in the middle of an answer too, when no more can come."""
    messages: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=_pass_on, args=(messages,), daemon=True).start()
    return messages


def _pass_on(messages: "SimpleQueue[dict[str, Any]]") -> None:
    for line in sys.stdin:
        messages.put(json.loads(line))
    os._exit(0)


def say(pipe: TextIO, message: dict[str, Any]) -> None:
    """Send one line; leave if nobody reads any more."""
    try:
        pipe.write(json.dumps(message) + "\n")
        pipe.flush()
    except BrokenPipeError:
        os._exit(0)
