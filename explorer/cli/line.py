"""One line of progress on standard error: redrawn in place on a terminal, a new line now and then in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import typer

LOG_SECONDS = 30.0  # between two lines of a log
DRAW_SECONDS = 0.1  # between two looks of a line on a terminal


class Line:
    """The line; a context manager. `form` is tqdm's bar_format; a line that does not stay is wiped at the end."""

    def __init__(
        self,
        total: float,
        form: str,
        *,
        stay: bool = False,
        shown: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.clock, self.shown = total, clock, shown
        self.bar: Any = None
        self.told = clock()  # short work leaves no line in a log
        if shown and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=total, bar_format=form, leave=stay)

    def show(self, done: float, text: str) -> None:
        """How far it is, and what to say about it; what comes too soon after the last is not shown."""
        wait = LOG_SECONDS if self.bar is None else DRAW_SECONDS
        now = self.clock()
        if not self.shown or (now - self.told < wait and not (self.bar and done >= self.total)):
            return
        self.told = now
        if self.bar is None:
            typer.echo(f"{100 * done / self.total if self.total else 0:.0f}%, {text}", err=True)
            return
        self.bar.total, self.bar.n = self.total, done
        self.bar.set_postfix_str(text, refresh=True)

    def close(self) -> None:
        """Leave the line as it is, or wipe it."""
        if self.bar is not None:
            self.bar.close()

    def __enter__(self) -> "Line":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def progress() -> Iterator[Callable[[float, str], None]]:
    """A line that is told which share of the work is done, and what comes next."""
    with Line(100, "{percentage:3.0f}%|{bar:20}| [{elapsed}{postfix}]") as line:
        yield lambda share, what: line.show(100 * share, what)
