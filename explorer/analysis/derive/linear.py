"""Layers of 1x1 convolutions on one position, as sympy expressions (GUNN, section 4.1)."""

from typing import NamedTuple

import sympy

from explorer.analysis.derive.chains import graph_of_chain
from explorer.analysis.derive.flow import Channels, run
from explorer.blocks.graph import Op

RESIDUAL = "add { it | conv(1x1, in) }"
GRADUAL = "update({n}) {{ add {{ part | conv(1x1, out) }} }}"


class Linear:
    """Channels as sums: row i of the weights makes the i-th channel that any layer makes."""

    def __init__(self) -> None:
        self.rows = 0

    def layer(self, op: Op, read: Channels) -> Channels:
        """Weighted sums of what is read."""
        first, self.rows = self.rows, self.rows + op.out[0]
        return tuple(sum(weight(i, j) * x for j, x in enumerate(read)) for i in range(first, self.rows))

    def each(self, op: Op, channels: Channels) -> sympy.Expr:
        """Sums. Raises ArithmeticError for what is not linear."""
        if op.kind != "add":
            raise ArithmeticError(f"{op.kind} is not linear")
        return sympy.Add(*channels)


class Layer(NamedTuple):
    """Inputs and outputs of a linear layer."""

    x: tuple[sympy.Symbol, ...]
    y: tuple[sympy.Expr, ...]


def weight(i: int, j: int) -> sympy.Symbol:
    """The weight with which output i reads channel j, counted from 1 as the paper does."""
    return sympy.Symbol(f"w_{i + 1}{j + 1}")


def linear(text: str, channels: int) -> Layer:
    """A chain on a map of one position, run on symbols."""
    x = sympy.symbols(f"x_1:{channels + 1}")
    return Layer(x, run(graph_of_chain(text, (channels, 1, 1)), Linear(), x))


def collapse(channels: int, p: int, q: int) -> set[sympy.Expr]:
    """What must be zero for outputs p and q of a residual layer to agree on all inputs (equation 8)."""
    x, y = linear(RESIDUAL, channels)
    return {sympy.expand(y[p] - y[q]).coeff(channel) for channel in x}


def gradient_step(channels: int) -> tuple[list[sympy.Expr], list[sympy.Expr]]:
    """The change of each output of a GUNN layer in one step of descent, and the right side of equation 10.

    Both over the learning rate, to first order; dL/dy_i is the derivative through the later channels too.
    """
    x, y = linear(GRADUAL.format(n=channels), channels)
    direct = sympy.symbols(f"l_1:{channels + 1}")
    loss = sum(slope * output for slope, output in zip(direct, y, strict=True))
    weights = [weight(i, j) for i in range(channels) for j in range(channels)]
    step = {w: -sympy.diff(loss, w) for w in weights}
    change = [sympy.expand(sum(sympy.diff(output, w) * step[w] for w in weights)) for output in y]
    total = list(direct)
    for i in reversed(range(channels)):
        total[i] += sum(weight(m, i) * total[m] for m in range(i + 1, channels))
    printed: list[sympy.Expr] = []
    for i in range(channels):
        squares = sum(v**2 for v in (*y[:i], *x[i:]))
        through = sum(weight(i, j) * printed[j] for j in range(i))
        printed.append(sympy.expand(total[i] * squares + through))
    return change, printed
