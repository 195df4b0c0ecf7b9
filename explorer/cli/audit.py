"""explorer audit: printed numbers, claims and formulas of the papers against ours."""

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explorer.cli.line import progress
from explorer.cli.printing import print_table, whole
from explorer.errors import UserError

if TYPE_CHECKING:
    from explorer.analysis.audit.result import Audit
    from explorer.analysis.audit.why import Why

Paper = Annotated[str | None, typer.Argument(metavar="[PAPER]", help="ms-sar, seqconv or gunn (default: all).")]
Row = Annotated[
    str | None,
    typer.Option("--why", metavar="ROW", help="What a figure may mean, searched: 'ms-sar/3/resnet56+mssar(4)/flops'."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 1 when a verdict is worse than the one kept.")]
Formulas = Annotated[bool, typer.Option("--formulas", help="Derive the papers' formulas from the blocks instead.")]
Html = Annotated[
    str | None, typer.Option("--html", metavar="FILE", help="Write every row as a page; print the summary.")
]


class AuditFormat(StrEnum):
    """How an audit is printed."""

    table = "table"
    json = "json"
    latex = "latex"


def audit(
    paper: Paper = None,
    why: Row = None,
    formulas: Formulas = False,
    strict: Strict = False,
    html: Html = None,
    format: Annotated[AuditFormat, typer.Option("--format", help="table, json or latex.")] = AuditFormat.table,
) -> None:
    """What the papers print and claim, row by row: equal, truncated, another convention, explained, contradicted."""
    _check(paper, why, formulas, strict, html, format)
    if formulas:
        from explorer.cli.formulas import print_formulas

        print_formulas(paper, format.value)
        return
    if why is not None:
        from explorer.analysis.audit.why import why as search

        _print_why(search(why), format)
        return
    from explorer.analysis.audit.result import run_audit, worse_than_kept

    if html is not None:
        from pathlib import Path

        from explorer.reports.writing import check_file

        check_file(Path(html), "--html")
    with progress() as show:
        result = run_audit(paper, show)
    if format is AuditFormat.json:
        typer.echo(json.dumps(result.as_dict()))
    elif format is AuditFormat.latex:
        from explorer.reports.audit import latex

        typer.echo(latex(result), nl=False)
    else:
        if html is None:  # the page has every row
            _print_rows(result)
        typer.echo(summary(result))
    if html is not None:
        from explorer.reports.audit import write_page

        typer.echo(f"wrote {write_page(result, html)}", err=format is not AuditFormat.table)
    worse = worse_than_kept(result) if strict else []
    for line in worse:
        typer.echo(f"explorer: worse than before: {line}", err=True)
    if worse:
        raise typer.Exit(1)


def _check(
    paper: str | None, why: str | None, formulas: bool, strict: bool, html: str | None, format: AuditFormat
) -> None:
    """Options that do not go together are refused, not ignored."""
    given = {"PAPER": paper and not formulas, "--formulas": formulas and why, "--strict": strict, "--html": html}
    kind = "--why" if why is not None else "--formulas"
    for name, value in given.items():
        if value and (why is not None or formulas) and name != kind:
            raise UserError(f"{name} does not go with {kind}")
    if why is not None and format is AuditFormat.latex:
        raise UserError("--why is printed as table or json")


def _print_rows(result: "Audit") -> None:
    for paper in dict.fromkeys(row.row.paper for row in result.rows):
        rows = [
            [v.row.table, v.row.network, v.row.dataset, v.row.metric, v.row.printed, whole(v.ours), v.verdict, v.reason]
            for v in result.rows
            if v.row.paper == paper
        ]
        headers = ["table", "network", "data", "metric", "printed", "ours", "verdict", "why"]
        print_table(headers, rows, (0, 1, 2, 3, 6, 7), f"{paper}: printed figures", prose=(7,))
        claims = [[c.where, c.claim, c.verdict, c.detail] for c in result.claims if c.paper == paper]
        print_table(["section", "claim", "verdict", "computed"], claims, (0, 1, 2, 3), f"{paper}: claims", prose=(1, 3))


def summary(result: "Audit") -> str:
    """One line: how many figures and claims have which verdict."""
    rows = ", ".join(f"{count} {verdict}" for verdict, count in result.counts.items())
    claims = ", ".join(f"{count} {verdict}" for verdict, count in result.claim_counts.items())
    return f"{len(result.rows)} printed figures: {rows}\n{len(result.claims)} claims: {claims}"


def _print_why(found: "Why", format: AuditFormat) -> None:
    verdict, column = found.verdict, found.column
    if format is AuditFormat.json:
        typer.echo(json.dumps(_why_dict(found)))
        return
    row = verdict.row
    typer.echo(f"{row.id}: printed {row.printed}, ours {whole(verdict.ours)}: {verdict.verdict} ({verdict.reason})")
    if not found.readings:
        typer.echo(f"\nno reading reproduces it{', nor any other row of its column' if len(column) > 1 else ''}")
        return
    rows = []
    for reading in found.readings:
        this = reading.matches[column.index(row)]
        missed = [f"{r.table}: {r.network}" for r, match in zip(column, reading.matches, strict=True) if not match]
        shown = "; ".join(missed[:3]) + (f"; and {len(missed) - 3} more" if len(missed) > 3 else "")
        rows.append(
            [
                reading.reading.says,
                str(reading.reading.choices),
                f"{reading.reproduced} of {len(column)}",
                this or "no",
                shown or "none",
            ]
        )
    print_table(
        ["reading", "free choices", "rows reproduced", "this row", "not reproduced"], rows, (0, 4), prose=(0, 4)
    )
    typer.echo("equal or truncated counts as reproduced; a reading must explain more rows than it makes choices")


def _why_dict(found: "Why") -> dict[str, Any]:
    return {
        **found.verdict.as_dict(),
        "readings": [
            {
                "reading": reading.reading.says,
                "choices": reading.reading.choices,
                "reproduced": reading.reproduced,
                "of": len(found.column),
                "rows": [
                    {"row": row.id, "match": match} for row, match in zip(found.column, reading.matches, strict=True)
                ],
            }
            for reading in found.readings
        ],
    }
