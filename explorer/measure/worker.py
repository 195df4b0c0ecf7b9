"""The body of a measuring process: questions in on stdin, answers out on stdout, until stdin ends (pipe.py)."""

from collections.abc import Callable
from typing import Any

from explorer.measure.pipe import listen, own_stdout, say


def serve(answer: Callable[..., Any], explain: Callable[[Exception], tuple[str, str]]) -> None:
    """Answer every question that arrives, and never return. `explain`: an error's outcome and reason."""
    pipe, questions = own_stdout(), listen()
    while True:
        question = questions.get()
        try:
            message = {"answer": answer(question.pop("ask"), **question)}
        except Exception as error:
            outcome, reason = explain(error)
            message = {"outcome": outcome, "reason": reason}
        say(pipe, message)


if __name__ == "__main__":
    from explorer.measure.answers import Answers, explained

    serve(Answers(), explained)
