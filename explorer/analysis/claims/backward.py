"""GUNN's Algorithm 1, line by line in numbers: which reading of its BP gives the gradient of the loss (section 3.4).

Units are tanh(W y), with x_c added where residual; the gradient to compare with is taken by an imaginary step in each
input and weight (as in `singularities`), which knows no chain rule.
"""

from fractions import Fraction
from functools import cache
from itertools import pairwise

import numpy as np

from explorer.analysis.claims.singularities import CASES, IMAGINARY, Array, drawn, of_scale, share

CUTS = (0, 2, 3, 6)  # segments of unequal width
EXACT = 1e-10  # relative to the largest gradient; wrong readings miss by far more

# What BP is of: the whole update of equation 3, the segment's own F of equation 5, or G alone.
UPDATE, SEGMENT, UNIT = "U", "F", "G"
RESIDUAL, PLAIN = "residual", "plain"
PRINTED, MERGED = "as printed", "equation 6"


def states(weights: Array, x: Array, residual: bool) -> Array:
    """[..., n, n] and [..., n] to [..., n]: the updates of equation 4, one segment after the other."""
    y = np.broadcast_to(x, np.broadcast_shapes(x.shape, weights.shape[:-1])).astype(np.result_type(weights, x))
    for own in map(slice, CUTS, CUTS[1:]):
        made = np.tanh((weights[..., own, :] @ y[..., None])[..., 0])
        y[..., own] = made + y[..., own] if residual else made
    return y


def true_gradients(weights: Array, x: Array, given: Array, residual: bool) -> tuple[Array, Array]:
    """dL/dx [case, n] and dL/dw [case, n, n] of L = sum of given y."""
    n = x.shape[-1]
    ways = IMAGINARY * 1j * np.eye(n * n)
    of_x = states(weights[:, None], x[:, None] + ways[:n, :n], residual)
    of_w = states(weights[:, None] + ways.reshape(n * n, n, n), x[:, None], residual)
    slopes = [(given[:, None] * made).sum(-1).imag / IMAGINARY for made in (of_x, of_w)]
    return slopes[0], slopes[1].reshape(weights.shape)


def algorithm1(weights: Array, x: Array, given: Array, residual: bool, bp: str, merged: bool) -> tuple[Array, Array]:
    """dL/dx and dL/dw as Algorithm 1 has them. `bp`: what BP is of; `merged`: its last two lines are equation 6."""
    y, of_x, of_w = states(weights, x, residual), given.copy(), np.zeros_like(weights)
    for start, stop in reversed(list(pairwise(CUTS))):
        own = slice(start, stop)
        y[:, own] = x[:, own]
        slope = of_x[:, own] * (1 - np.tanh((weights[:, own] @ y[..., None])[..., 0]) ** 2)
        of_w[:, own] = slope[..., None] * y[:, None]
        of_y = (slope[:, None] @ weights[:, own])[:, 0]
        if bp == UPDATE:
            passed = of_x.copy()
            passed[:, own] = 0
            of_y += passed
        if residual and bp != UNIT:
            of_y[:, own] += of_x[:, own]
        made = of_x + of_y
        if not merged:
            made[:, own] = of_y[:, own]
        of_x = made
    return of_x, of_w


@cache
def exact_gradients(bp: str, units: str = RESIDUAL, lines: str = PRINTED) -> Fraction:
    """The share of random layers whose gradients, of the input and of every weight, are what Algorithm 1 gives.

    `bp`: U, F or G. `lines`: the last two as printed, or merged into equation 6.
    """
    n, residual = CUTS[-1], units == RESIDUAL
    weights, x, given = of_scale(3, n), drawn(4, CASES, n), drawn(5, CASES, n)
    true = true_gradients(weights, x, given, residual)
    found = algorithm1(weights, x, given, residual, bp, lines == MERGED)
    missed = [np.abs(a - b).reshape(CASES, -1).max(-1) / np.abs(a).max() for a, b in zip(true, found, strict=True)]
    return share(np.maximum(*missed) < EXACT)
