"""explorer report: rebuild the report from the store alone, or export its table."""

from enum import StrEnum
from typing import Annotated

import typer

from explorer.cli.options import Workspace

Runs = Annotated[list[int] | None, typer.Argument(metavar="[RUN...]", help="Runs to include (default: all).")]
Axis = Annotated[str | None, typer.Option(help="Column of the figure's axis: macs, params, test_error, ...")]
Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser.")]


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
    format: Annotated[ReportFormat, typer.Option("--format", help="html, csv, json or latex.")] = ReportFormat.html,
    workspace: Workspace = "explorer-work",
) -> None:
    """The report of what is stored: tables, figures, what the differences are worth."""
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
