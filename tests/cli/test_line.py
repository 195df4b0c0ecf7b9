"""The line of progress, on a terminal and in a log."""

import io
import sys

import pytest

from explorer.cli.line import LOG_SECONDS, Line

FORM = "{percentage:3.0f}%|{bar:12}| {elapsed}{postfix}"


class Terminal(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    moments = iter([0.0, 1.0, 2.0, LOG_SECONDS, LOG_SECONDS + 1, 2 * LOG_SECONDS + 0.5])
    with Line(4, FORM, clock=lambda: next(moments)) as line:
        for done in range(5):
            line.show(done, f"{done} of 4 done")
    assert capsys.readouterr().err == "50%, 2 of 4 done\n100%, 4 of 4 done\n"


def test_short_work_leaves_nothing_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with Line(2, FORM) as line:
        line.show(1, "half")
        line.show(2, "all")
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_the_end_however_soon_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Line(2, FORM, stay=True, clock=lambda: 0.0) as line:
        line.show(1, "too soon to be drawn")
        line.show(2, "all")
    assert "100%" in terminal.getvalue()
    assert "all" in terminal.getvalue()
    assert "too soon" not in terminal.getvalue()


def test_processes_that_are_not_the_first_are_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Line(2, FORM, shown=False) as line:
        line.show(2, "all")
    assert terminal.getvalue() == ""
