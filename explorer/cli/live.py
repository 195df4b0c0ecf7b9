"""A sweep as it runs, one line on the terminal, the same for every engine."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import typer

from explorer.cli.line import Line
from explorer.cli.train import rate

if TYPE_CHECKING:
    from explorer.sweep.progress import Progress


class Live:
    """The line and its bar; silent until opened."""

    def __init__(self) -> None:
        self.line: Line | None = None
        self.last = ""  # what ended last

    def open(self) -> None:
        """Begin to show it."""
        self.line = Line(0, "{percentage:3.0f}%|{bar:12}| [{elapsed}{postfix}]", stay=True)

    def __call__(self, progress: "Progress") -> None:
        """Show where the sweep is now."""
        assert self.line is not None
        if progress.notice:
            typer.echo(progress.notice, err=True)
        if progress.ended is not None:
            error = f", test error {rate(progress.ended.test_error)}" if progress.ended.status == "done" else ""
            self.last = f"; {progress.text} seed {progress.seed} {progress.ended.status}{error}"
        self.line.total = progress.total
        self.line.show(progress.done, status(progress, datetime.now()) + self.last)

    def close(self) -> None:
        """Leave the line as it is."""
        if self.line is not None:
            self.line.close()


def status(progress: "Progress", now: datetime) -> str:
    """Done, running, failed, waiting, how fast, and when it will end."""
    counts = {"running": progress.running, "failed": progress.failed, "waiting": progress.waiting}
    counts["run by another sweep"] = progress.elsewhere
    parts = [f"{progress.done:,} of {progress.total:,} done"]
    parts += [f"{count:,} {name}" for name, count in counts.items() if count]
    if progress.per_minute is not None:
        parts.append(f"{progress.per_minute:{',.0f' if progress.per_minute >= 10 else '.2g'}} a minute")
    if progress.eta_seconds is not None and progress.done < progress.total:
        end = now + timedelta(seconds=progress.eta_seconds)
        shown = f"{end:%H:%M:%S}" if end.date() == now.date() else f"{end:%Y-%m-%d %H:%M}"
        parts.append(f"ends about {shown}")
    return ", ".join(parts)
