"""Sliding means by partial sums (MS-SAR, section 3.5 and footnote 3) in place of large pooling kernels.

A sum along a line is the difference of two partial sums, whatever its length. Partial sums grow with the line: with
about 7 digits and lines of a few hundred positions 5 or more remain, so nothing narrower than float32 is summed. The
neighbourhood is symmetric (a is near b when b is near a), so the backward pass is the same sums of gradient / count.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from explorer.nn.fast.guard import rewritten
from explorer.nn.layers import SlidingDiamond, SlidingSquare

Sums = Callable[[Tensor], Tensor]


def line_sums(x: Tensor, dim: int, radius: int) -> Tensor:
    """Sums over the positions within `radius` along one dimension, clipped; partial sums of it on the way."""
    return differences(x.cumsum(dim), dim, radius)


def differences(partial: Tensor, dim: int, radius: int) -> Tensor:
    """Sums within `radius` from partial sums along the dimension."""
    n = partial.shape[dim]
    radius = min(radius, n - 1)
    beyond = partial.narrow(dim, n - 1, 1).repeat_interleave(radius, dim)
    sums = torch.cat((partial.narrow(dim, radius, n - radius), beyond), dim)
    if n > radius + 1:
        sums.narrow(dim, radius + 1, n - radius - 1).sub_(partial.narrow(dim, 0, n - radius - 1))
    return sums


class _Neighbours(torch.autograd.Function):
    """Mean over each position's neighbours, `sums` adding up the values of neighbours."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sums: Sums) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        counts = sums(torch.ones_like(x[:1, :1], dtype=wide))
        ctx.sums = sums
        ctx.save_for_backward(counts)
        return (sums(x.to(wide)) / counts).to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (counts,) = ctx.saved_tensors
        return ctx.sums(gradients[0] / counts).to(gradients[0].dtype), None


def _means(x: Tensor, sums: Sums) -> Tensor:
    return _Neighbours.apply(x, sums)  # type: ignore[no-any-return, no-untyped-call]


class SquareByPartialSums(SlidingSquare):
    """Mean over the square of side 2 radius + 1 around each position, clipped to the map."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]"""
        if rewritten():
            return super().forward(x)
        return _means(x, self.sums)

    def sums(self, x: Tensor) -> Tensor:
        """Over rows of rows: the clipped square is a rectangle."""
        down, across = self.radii
        return line_sums(line_sums(x, 2, down), 3, across)


class DiamondByPartialSums(SlidingDiamond):
    """Mean over positions within L1 distance `radius`, clipped to the map."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]"""
        if rewritten():
            return super().forward(x)
        return _means(x, self.sums)

    def sums(self, x: Tensor) -> Tensor:
        """Over each row of the diamond, all of them from the same partial sums."""
        partial, height = x.cumsum(3), x.shape[2]
        total = differences(partial, 3, self.radius)
        for offset in range(1, min(self.radius, height - 1) + 1):
            row = differences(partial, 3, self.radius - offset)
            total[:, :, offset:] += row[:, :, :-offset]
            total[:, :, :-offset] += row[:, :, offset:]
        return total
