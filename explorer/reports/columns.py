"""The numeric columns that figures can show, with their names and units."""

from dataclasses import dataclass

from explorer.errors import UserError, nearest
from explorer.reports.quantities import LABELS


@dataclass(frozen=True)
class Column:
    """A column of networks (exact counts, predictions) or of trials (measured fractions, shown in percent)."""

    name: str
    label: str  # with its unit, for axes
    error: bool  # measured on trials, in [0, 1]


COLUMNS = {
    column.name: column
    for column in (
        Column("macs", "multiply-adds of one image", False),
        Column("params", "parameters", False),
        Column("activations", "activations of one image", False),
        Column("depth", "depth, in layers as the papers count", False),
        Column("chain", "longest chain of dependent layers", False),
        *[Column(name, label, False) for name, label in LABELS.items()],
        Column("test_error", "test error (%)", True),
        Column("validation_error", "validation error (%)", True),
        Column("train_error", "training error (%)", True),
    )
}


def column(name: str, option: str) -> Column:
    """The column `name`; UserError naming the option (with the nearest column) where there is none."""
    if name not in COLUMNS:
        raise UserError(f"{option}: there is no column {name[:80]!r}; {nearest(name, COLUMNS)}")
    return COLUMNS[name]
