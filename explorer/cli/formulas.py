"""explorer audit --formulas: claims about cost beside what is derived from the blocks."""

import json
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from explorer.analysis.derive.rows import Row


def print_formulas(paper: str | None, format: str) -> None:
    """Print the formulas of one paper, or of all, as table, json or latex.

    Exits 1 where torch counts something else than a derived formula says. Raises UserError for an unknown paper.
    """
    from explorer.analysis.derive.rows import rows

    found = rows(paper)
    if format == "json":
        typer.echo(json.dumps([row.as_dict() for row in found]))
    elif format == "latex":
        from explorer.reports.formulas import latex

        typer.echo(latex(found), nl=False)
    else:
        _print(found)
    refuted = [row.name for row in found if not row.agrees]
    for name in refuted:
        typer.echo(f"explorer: torch counts something else than was derived: {name}", err=True)
    if refuted:
        raise typer.Exit(1)


def _print(rows: "list[Row]") -> None:
    from explorer.reports.formulas import legend

    for paper in dict.fromkeys(row.paper for row in rows):
        mine = [row for row in rows if row.paper == paper]
        typer.echo(f"{paper}: what it says about cost, beside what its blocks say\n")
        for row in mine:
            _print_row(row)
        typer.echo(f"{legend(mine)}\n")
    typer.echo(summary(rows))


def _print_row(row: "Row") -> None:
    from explorer.analysis.derive.symbols import pretty

    typer.echo(f"{row.where}  {row.name}: {pretty(row.verdict)}")
    lines = {
        "claimed": f"{pretty(row.claim)}  ({row.stated})",
        "derived": pretty(row.derived),
        "difference": pretty(row.difference),
        "range": pretty(row.range),
        "example": pretty(row.example),
        "fitted": pretty(row.fitted),
        "verified": row.verified,
    }
    for name, text in lines.items():
        if text:
            typer.echo(f"    {name:10}  {text}")
    typer.echo()


def summary(rows: "list[Row]") -> str:
    """One line: how many formulas hold."""
    verdicts = [row.verdict for row in rows]
    holds, fails = verdicts.count("holds"), verdicts.count("fails")
    return f"{len(rows)} formulas: {holds} hold, {len(rows) - holds - fails} hold where the verdict says, {fails} fail"
