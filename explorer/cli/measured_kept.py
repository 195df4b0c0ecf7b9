"""explorer cost --on --workspace: what is measured is kept in the store."""

from collections.abc import Sequence
from typing import Annotated

import typer

from explorer.analysis.cost import Cost
from explorer.cli.measured import OnDevices, Wanted
from explorer.errors import UserError

KeptIn = Annotated[
    str | None, typer.Option("--workspace", help="With --on: folder of the store that keeps what is measured.")
]


def check_workspace(workspace: str | None, ask: Wanted | None) -> None:
    """UserError, before anything is measured, where nothing would be, or the store cannot be written."""
    if workspace is None:
        return
    if ask is None or not ask.here:
        raise UserError("--workspace keeps what is measured; name a device that is here, such as --on cpu")
    from explorer.sweep.store import Store

    Store.open(workspace).close()


def keep_measured(workspace: str | None, costs: Sequence[Cost], found: OnDevices | None, err: bool) -> None:
    """Stores the measurements of all devices, and says how many; `err`: on stderr."""
    if workspace is None or found is None:
        return
    from explorer.sweep.measurements import keep

    kept = sum(keep(workspace, costs, column.measured) for column in found.columns if column.measured)
    typer.echo(f"kept {kept} measurement{'s' * (kept != 1)} in {workspace}", err=err)
