"""Layers that draw at random in training and are plain operations in evaluation.

All draws come from torch's global generators: those for a whole mini-batch from the CPU's, those for each image from
the one of the image's device. What is dropped is multiplied by zero: it is still computed, its batch norms see it, and
its parameters get gradients of zero.
"""

from typing import Any

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016): zero for a whole mini-batch with probability `rate`.

    In evaluation times 1 - rate.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]"""
        return x * (float(torch.rand(()) >= self.rate) if self.training else 1 - self.rate)

    def extra_repr(self) -> str:
        """Shown by print."""
        return f"{self.rate:g}"


class _Mix(torch.autograd.Function):
    """alpha a + (1 - alpha) b, whose gradient is that of beta a + (1 - beta) b."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        ctx.save_for_backward(beta)
        return alpha * a + (1 - alpha) * b

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (beta,) = ctx.saved_tensors
        return beta * gradients[0], (1 - beta) * gradients[0], None, None


class Shake(nn.Module):
    """Shake-Shake (Gastaldi 2017): two branches mixed with a weight drawn for each image, in evaluation their mean.

    The gradient is mixed with another draw (backward = shake) or evenly (backward = even).
    """

    def __init__(self, backward: str) -> None:
        super().__init__()
        self.backward = backward

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """All [N, C, H, W]."""
        if not self.training:
            return (a + b) / 2
        alpha, beta = torch.rand(2, len(a), 1, 1, 1, dtype=a.dtype, device=a.device)
        if self.backward == "even":
            beta = torch.full_like(beta, 0.5)
        mixed: Tensor = _Mix.apply(a, b, alpha, beta)  # type: ignore[no-untyped-call]
        return mixed

    def extra_repr(self) -> str:
        """Shown by print."""
        return f"backward={self.backward}"


class Draw:
    """What the joins of a FractalNet share in a mini-batch: two numbers in [0, 1)."""

    def __init__(self) -> None:
        self.chance = 1.0  # below a join's share: one column of the network is kept
        self.place = 0.0  # of this column among all

    def renew(self) -> None:
        """Draw for the next mini-batch."""
        self.chance, self.place = torch.rand(2).tolist()


class FractalJoin(nn.Module):
    """Mean of the branches, in training of those that drop-path keeps for the mini-batch (Larsson et al. 2017).

    Local: each is dropped with probability `rate`, but not all of them. Global, in a `share` of the mini-batches: one
    of the network's columns is kept; branch i belongs to column i, and a join that this column does not pass keeps
    all, its result being unused. NetworkModule renews the draw, which joins of the same number have in common.
    """

    def __init__(self, rate: float, columns: int, share: float, number: int) -> None:
        super().__init__()
        self.rate, self.columns, self.share, self.number = rate, columns, share, number
        self.draw = Draw()

    def forward(self, *values: Tensor) -> Tensor:
        """All [N, C, H, W]."""
        if not self.training:
            return sum(values[1:], values[0]) / len(values)
        kept = self.kept(len(values))
        parts = [value * keep for value, keep in zip(values, kept, strict=True)]
        return sum(parts[1:], parts[0]) / sum(kept)

    def kept(self, branches: int) -> list[bool]:
        """Which of the branches take part in this mini-batch."""
        if self.draw.chance < self.share:
            column = int(self.draw.place * self.columns)
            return [i == column or column >= branches for i in range(branches)]
        *chances, survivor = torch.rand(branches + 1).tolist()
        kept = [chance >= self.rate for chance in chances]
        return kept if any(kept) else [i == int(survivor * branches) for i in range(branches)]

    def extra_repr(self) -> str:
        """Shown by print."""
        return f"{self.rate:g}, columns={self.columns}, share={self.share:g}, draw={self.number}"
