"""`explorer audit --why ROW`: the readings of the column a figure stands in, those that reproduce most rows first."""

import re
from typing import NamedTuple

from explorer.analysis.audit.reported import Reported, cost_rows
from explorer.analysis.audit.search import Found, column_of, search
from explorer.analysis.audit.verdicts import Verdict, verdict_on
from explorer.errors import UserError, nearest

SHOWN = 8


class Why(NamedTuple):
    """A row's verdict, the column it is read with, and the best readings."""

    verdict: Verdict
    column: tuple[Reported, ...]
    readings: tuple[Found, ...]


def why(row: str) -> Why:
    """Search the readings for a row, named as in `ms-sar/3/resnet56+mssar(4)/flops`.

    Raises UserError where no printed row, or several different ones, are meant.
    """
    printed = tuple(cost_rows())
    found = find_row(row, printed)
    column = column_of(found, printed)
    return Why(verdict_on(found, printed), column, _best(search(column), column.index(found)))


def _best(found: tuple[Found, ...], row: int) -> tuple[Found, ...]:
    """The readings that reproduce most of the column; the best for the row itself is always among them."""
    best = list(found[:SHOWN])
    own = next((reading for reading in found if reading.matches[row]), None)
    if own is not None and own not in best:
        best[-1] = own
    return tuple(best)


def find_row(text: str, printed: tuple[Reported, ...]) -> Reported:
    """The printed row of an id, or of as much of it as is unmistakable."""
    wanted = _squeezed(text)
    exact = [row for row in printed if wanted in (_squeezed(row.id), _squeezed(row.long_id))]
    near = exact or [row for row in printed if wanted in _squeezed(row.id)]
    different = {row.long_id: row for row in near}
    if not near:
        raise UserError(f"no printed row '{text[:80]}'; {nearest(text, [row.id for row in printed])}")
    if len(different) > 1:
        shown = ", ".join(list(different)[:6]) + (", ..." if len(different) > 6 else "")
        raise UserError(f"'{text[:80]}' could be any of {len(different)} rows: {shown}")
    return near[0]


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text).lower()
