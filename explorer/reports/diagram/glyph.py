"""How the parts of a fold read one another: a row for each part in order, a column for each share of channels.

Pale is read as it was given, orange is read after an earlier part made it, dark is what the part makes. What
the parts share of each other's work is the orange staircase.
"""

from explorer.reports.diagram.items import Fold
from explorer.reports.diagram.marks import Mark, Rectangle

SIZE = 46.0
_SHOWN = {"windowed": 4}  # parts; of more, the first are shown
_USUAL = 6


def shown(kind: str, parts: int) -> int:
    """How many of a fold's parts have a row."""
    return max(1, min(parts, _SHOWN.get(kind, _USUAL)))


def cells(kind: str, parts: int, current: bool) -> list[list[str]]:
    """The styles of all cells: old, new, made or empty."""
    n = shown(kind, parts)
    earlier = "new" if current else "old"
    if kind == "update":
        return [[earlier if j < i else "made" if j == i else "old" for j in range(n)] for i in range(n)]
    made = [["new" if j < i else "made" if j == i else "empty" for j in range(n)] for i in range(n)]
    if kind == "windowed":  # the window over input and outputs moves on by one group each time
        return [["old" if j >= i else "empty" for j in range(n)] + made[i] for i in range(n)]
    if kind == "sparse":  # 1, 2, 4, ... places back, the input standing before the first
        read = [[(i - j).bit_count() == 1 for j in range(-1, i)] for i in range(n)]
        kept = [[style if j >= i or read[i][j + 1] else "empty" for j, style in enumerate(made[i])] for i in range(n)]
        return [[*["old" if read[i][0] else "empty"] * 2, *kept[i]] for i in range(n)]
    return [["old", "old", *made[i]] for i in range(n)]  # grow, aggregate: all of the input, always


def glyph_marks(fold: Fold, x: float, axis: float) -> list[Mark]:
    """The glyph as marks, left edge at x, centred on the axis."""
    table = cells(fold.kind, fold.parts, fold.current)
    across, down = SIZE / len(table[0]), SIZE / len(table)
    top = axis - SIZE / 2
    return [
        Rectangle(x + j * across, top + i * down, across - 1, down - 1, style, radius=0)
        for i, row in enumerate(table)
        for j, style in enumerate(row)
    ]
