"""Tables on paper and on terminals of any width."""

import pytest

from explorer.cli.printing import print_table

HEADERS = ("network", "h200\npredicted\nms", "\nimages/s", "left")
ROWS = [["resnet20", "12.5", "640.0", ""], ["resnet20 + mssar(1, 2, 4)", "1,250", "-", "16 places"]]


def printed(
    capsys: pytest.CaptureFixture[str], title: str | None = "training step, batch 1, fp32, balanced layers"
) -> str:
    print_table(HEADERS, ROWS, (0, 3), title)
    return capsys.readouterr().out


def test_titles_are_not_wrapped_to_narrow_tables_and_no_line_ends_in_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["a"], [["1"]], title="a title wider than the table")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["a title wider than the table", "", " a"] and lines[-1] == ""
    assert all(line == line.rstrip() for line in printed(capsys).splitlines())


def test_a_row_is_never_cut_on_paper(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    row = next(line for line in printed(capsys).splitlines() if "mssar" in line)
    assert row.split()[-4:] == ["1,250", "-", "16", "places"]


def test_a_terminal_too_narrow_gets_a_line_for_each_cell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    monkeypatch.setenv("COLUMNS", "40")
    assert printed(capsys, None).splitlines() == [
        "",
        "network            resnet20",
        "h200 predicted ms  12.5",
        "images/s           640.0",
        "",
        "network            resnet20 + mssar(1, 2, 4)",
        "h200 predicted ms  1,250",
        "images/s           -",
        "left               16 places",
        "",
    ]
    monkeypatch.setenv("COLUMNS", "90")
    wide = printed(capsys)
    monkeypatch.setenv("COLUMNS", "60")  # columns stand closer
    close = printed(capsys)
    assert max(map(len, close.splitlines())) < max(map(len, wide.splitlines()))
    assert "───" in wide and "───" in close
