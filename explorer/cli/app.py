"""The commands, one file each. Heavy imports happen inside the commands that need them."""

from collections.abc import Sequence
from inspect import getdoc
from typing import Any

import typer

from explorer import __version__
from explorer.cli.audit import audit
from explorer.cli.cost import cost
from explorer.cli.list import list_
from explorer.cli.report import report
from explorer.cli.show import show
from explorer.cli.sweep import sweep
from explorer.cli.train import train
from explorer.errors import UserError

app = typer.Typer(
    name="explorer",
    help="What a convolutional architecture costs, and what that cost buys.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
UsageError: type[Any] = typer.BadParameter.__mro__[1]  # click's own, which typer has a copy of


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"explorer {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


for command in (list_, show, cost, audit, train, sweep, report):
    summary = (getdoc(command) or "").partition("\n")[0]
    app.command(command.__name__.rstrip("_"), short_help=summary)(command)  # wrapped, where help would be cut


def run(arguments: Sequence[str]) -> int:
    """The exit code of a command line; `help COMMAND` and nothing at all ask for help. Raises UserError."""
    if not arguments or arguments[0] == "help":
        arguments = [*arguments[1:2], "--help"]
    try:
        return app(arguments, standalone_mode=False) or 0
    except UsageError as error:
        help_ = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        raise UserError(f"{error.format_message().rstrip('.')}{help_}") from None
