"""What sliding means by partial sums take (explorer/nn/fast/sliding.py), followed line by line."""

from typing import Any

from explorer.analysis.heap import Heap, Storage
from explorer.blocks.graph import Op

WIDE = 4  # bytes: nothing narrower is summed


def highest(op: Op, size: int, element: int) -> tuple[int, int]:
    """Bytes that are there at most in the forward and in the backward pass, of maps of `size` bytes, one made included.

    `element`: bytes of a number.
    """
    wide = size * max(element, WIDE) // element
    cast = wide > size
    return _forward(op, size, wide, cast), _backward(op, size, wide, cast)


def _forward(op: Op, size: int, wide: int, cast: bool) -> int:
    heap = Heap()
    made = _sums(op, heap.new(wide if cast else 0), wide)
    means = heap.new(wide)
    del made
    if cast:
        heap.new(size)
    del means
    return heap.high


def _backward(op: Op, size: int, wide: int, cast: bool) -> int:
    heap = Heap()
    made = _sums(op, heap.new(wide), wide)
    if cast:
        heap.new(size)
    del made
    return heap.high


def _sums(op: Op, x: Storage, wide: int) -> Storage:
    _, height, width = op.out
    radius = op.attrs["radius"]
    if op.attrs["shape"] == "square":
        return _line_sums(_line_sums(x, height, radius, wide), width, radius, wide)
    partial = x.heap.new(wide)
    total = _differences(partial, width, radius, wide)
    row: Any = None
    for offset in range(1, min(radius, height - 1) + 1):
        row = _differences(partial, width, radius - offset, wide)
    del row
    return total


def _line_sums(x: Storage, side: int, radius: int, wide: int) -> Storage:
    return _differences(x.heap.new(wide), side, radius, wide)


def _differences(partial: Storage, side: int, radius: int, wide: int) -> Storage:
    beyond = partial.heap.new(wide // side * min(radius, side - 1))
    sums = partial.heap.new(wide)
    del beyond
    return sums
