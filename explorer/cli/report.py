"""explorer report: rebuild the report from the store alone, or export its table."""

from enum import StrEnum
from typing import Annotated

import typer

from explorer.cli.options import Workspace
from explorer.errors import UserError

Runs = Annotated[list[int] | None, typer.Argument(metavar="[RUN...]", help="Runs to include (default: all).")]
Axis = Annotated[str | None, typer.Option(help="Column of the figure's axis: macs, params, test_error, ...")]
Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser.")]
Import = Annotated[
    list[str] | None,
    typer.Option(
        "--import", metavar="STORE", help="First copy in what another store (file or workspace) has; may be repeated."
    ),
]


class ReportFormat(StrEnum):
    """What a report is written as."""

    html = "html"
    csv = "csv"
    json = "json"
    latex = "latex"


def report(
    runs: Runs = None,
    x: Axis = None,
    y: Axis = None,
    open: Open = False,
    import_: Import = None,
    format: Annotated[ReportFormat, typer.Option("--format", help="html, csv, json or latex.")] = ReportFormat.html,
    workspace: Workspace = "explorer-work",
) -> None:
    """The report of what is stored: tables, figures, what the differences are worth."""
    if format is not ReportFormat.html and (x or y or open):
        raise UserError(f"--x, --y and --open are about the page; leave them out with --format {format.value}")
    if import_:
        _import(workspace, import_)
    if format is not ReportFormat.html:
        from explorer.reports.export import export_table

        typer.echo(export_table(workspace, runs, format.value), nl=False)
        return
    from explorer.reports.report import write_report

    axes = {name: value for name, value in (("x", x), ("y", y)) if value is not None}
    written = write_report(workspace, runs, **axes)
    for path in (*written.figures, written.html):
        typer.echo(f"wrote {path}")
    if open:
        import webbrowser

        webbrowser.open(written.html.resolve().as_uri())


def _import(workspace: str, others: list[str]) -> None:
    """Copy other stores in, and say on stderr what came."""
    from explorer.sweep.importing import import_stores

    for other, came in zip(others, import_stores(workspace, others), strict=True):
        typer.echo(f"imported {came.trials:,} trials and {came.measurements:,} measurements from {other}", err=True)
