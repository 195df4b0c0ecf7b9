"""Plain tables on the terminal, and numbers as people read them."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

import typer

DASH = "-"
PAPER_WIDTH = 160  # where prose is wrapped when the output is no terminal


def whole(value: Any) -> str:
    """28,909,736; not measured is a dash."""
    return DASH if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def short(value: int | float | None, unit: str = "") -> str:
    """9.72 G, with decimal prefixes; not measured is a dash."""
    if value is None:
        return DASH
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.4g} {prefix}{unit}"
    return f"{value:g} {unit}".rstrip()


def percent(part: float, total: float) -> str:
    """12.3%; a share of nothing is a dash."""
    return DASH if total == 0 else f"{100 * part / total:.1f}%"


def difference(value: int, reference: int) -> str:
    """+1.8%, -40.0%, x12 from tenfold on, or = where equal."""
    if value == reference:
        return "="
    if reference == 0:
        return DASH
    if value >= 10 * reference:
        return f"x{value / reference:.3g}"
    return f"{100 * (value - reference) / reference:+.2f}%"


def sides(shape: Iterable[Any]) -> str:
    """64x32x32"""
    return "x".join(str(side) for side in shape)


def print_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    words: Collection[int] = (0,),
    title: str | None = None,
    tight: bool = False,
    prose: Collection[int] = (),
) -> None:
    """Rows under headers; columns of `words` to the left, numbers to the right; `tight`: less space between them.

    Columns of `prose` are wrapped to the terminal's width; nothing else is ever cut. On a terminal too narrow for that
    columns stand closer, and if that is not enough each row is printed as lines of its own.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, header in enumerate(headers):
        side: Literal["left", "right"] = "left" if index in words else "right"
        table.add_column(header, justify=side, no_wrap=index not in prose, min_width=32 if index in prose else None)
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])
    console = Console(highlight=False)
    screen = console.width if console.is_terminal else PAPER_WIDTH

    def least() -> int:
        needed = console.measure(table, options=console.options.update(width=100_000))
        return needed.minimum if prose else needed.maximum

    if tight or (console.is_terminal and screen < least()):
        table.padding = (0, 1, 0, 0)
    if title is not None:
        typer.secho(title, bold=True)
    if console.is_terminal and screen < least():
        _print_records(headers, rows)
        return
    console.width = max(screen, least())
    with console.capture() as printed:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in printed.get().splitlines()))


def _print_records(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Each row as lines of a header and a cell, without empty ones."""
    names = [" ".join(header.split()) for header in headers]
    width = max(map(len, names))
    for row in rows:
        typer.echo()
        for name, cell in zip(names, row, strict=True):
            if cell:
                typer.echo(f"{name:{width}}  {cell}")
    typer.echo()


def print_csv(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Comma-separated values on standard output."""
    import csv
    import sys

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(rows)
