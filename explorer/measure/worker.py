"""The body of a measuring process: JSON lines in on stdin, JSON lines out on stdout, until stdin ends.

The pipe is also the leash: when the asking process dies, however it dies, stdin ends, and this process with it.
"""

import json
import os
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TextIO


def serve(answer: Callable[..., Any], explain: Callable[[Exception], tuple[str, str]]) -> None:
    """Answer every question that arrives, and never return. `explain`: an error's outcome and reason."""
    pipe = _own_stdout()
    questions: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=_listen, args=(questions,), daemon=True).start()
    while True:
        question = questions.get()
        try:
            message = {"answer": answer(question.pop("ask"), **question)}
        except Exception as error:
            outcome, reason = explain(error)
            message = {"outcome": outcome, "reason": reason}
        _say(pipe, message)


def _own_stdout() -> TextIO:
    """The pipe to the asking process, moved out of the reach of whatever prints: that goes to stderr."""
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return pipe


def _listen(questions: "SimpleQueue[dict[str, Any]]") -> None:
    """Pass questions on; end the whole process, in the middle of an answer too, when no more can come."""
    for line in sys.stdin:
        questions.put(json.loads(line))
    os._exit(0)


def _say(pipe: TextIO, message: dict[str, Any]) -> None:
    """Send one line; leave if nobody reads any more."""
    try:
        pipe.write(json.dumps(message) + "\n")
        pipe.flush()
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    from explorer.measure.answers import Answers, explained

    serve(Answers(), explained)
