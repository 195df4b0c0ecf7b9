"""Sums over all neighbourhoods by partial sums (MS-SAR, footnote 3), with the additions counted."""

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import Any


class Tally:
    """Stands for a number; counts the additions and subtractions that are made with it."""

    __slots__ = ("made",)

    def __init__(self, made: list[int]) -> None:
        self.made = made

    def __add__(self, other: "Tally") -> "Tally":
        self.made[0] += 1
        return self

    __sub__ = __add__


def partial_sums(lattice: Sequence[Sequence[Any]], radius: int) -> list[list[Any]]:
    """The sum over the square neighbourhood of each position, clipped to the lattice, from a table of partial sums."""
    rows = [list(accumulate(row)) for row in lattice]
    table = list(accumulate(rows, lambda above, row: [a + b for a, b in zip(above, row, strict=True)]))
    height, width = len(table), len(table[0])

    def window(h: int, w: int) -> Any:
        bottom, right = min(h + radius, height - 1), min(w + radius, width - 1)
        top, left = h - radius - 1, w - radius - 1
        total = table[bottom][right]
        if top >= 0:
            total = total - table[top][right]
        if left >= 0:
            total = total - table[bottom][left]
        if top >= 0 and left >= 0:
            total = total + table[top][left]
        return total

    return [[window(h, w) for w in range(width)] for h in range(height)]


@cache
def partial_sum_additions(height: int, width: int, radius: int) -> int:
    """Additions and subtractions of `partial_sums` on one channel, counted while it runs."""
    made = [0]
    number = Tally(made)
    partial_sums([[number] * width] * height, radius)
    return made[0]
