"""The commands, one file each. Heavy imports happen inside the commands that need them."""

import typer

from explorer import __version__
from explorer.cli.audit import audit
from explorer.cli.cost import cost
from explorer.cli.list import list_
from explorer.cli.report import report
from explorer.cli.show import show
from explorer.cli.sweep import sweep
from explorer.cli.train import train

app = typer.Typer(
    name="explorer",
    help="What a convolutional architecture costs, and what that cost buys.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"explorer {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


app.command("list")(list_)
app.command()(show)
app.command()(cost)
app.command()(audit)
app.command()(train)
app.command()(sweep)
app.command()(report)
