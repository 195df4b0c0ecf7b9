"""Neighbourhoods of the sliding strategy (MS-SAR, section 3.2): how many positions they hold in all."""

from functools import cache


@cache
def neighbours_total(height: int, width: int, radius: int, shape: str) -> int:
    """Sum over all positions of the size of the neighbourhood, clipped to the lattice."""
    if shape == "square":
        return _spans(height, radius) * _spans(width, radius)
    total = 0
    for row in range(-radius, radius + 1):  # the diamond's rows: half-width shrinks with the distance
        rows = max(0, height - abs(row))
        total += rows * _spans(width, radius - abs(row))
    return total


def _spans(side: int, radius: int) -> int:
    return sum(min(i + radius, side - 1) - max(i - radius, 0) + 1 for i in range(side))
