"""Linear layers in numbers (GUNN, sections 3.4 and 4.1): one step of descent, and pairs of outputs that collapse.

A layer makes y_i = x_i + sum over j of w_ij v_j, segment by segment, v being the outputs of the segments before and the
input from there on. One channel for each segment is equation 9, one segment for all equation 8, which without x_i
is equation 7. All is numpy in float64 and nothing here is a layer of ours. Gradients are taken by an imaginary step in
each weight, which is exact to rounding, so that no chain rule is taken for granted either.
"""

from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import numpy as np

Array = Any  # numpy's; all sizes are [case, ...]

CASES = 50  # random layers of each kind
CHANNELS = 4
RATE = 0.01  # of the steps that may break a collapse
SAME = 1e-9  # outputs closer than this are one; a step that breaks a collapse leaves 1e-4 and more
IMAGINARY = 1e-30
ALIKE = "alike"
TOTAL, DIRECT = "total", "direct"  # dL/dy_i with what later channels make of y_i, and without


class Layer(NamedTuple):
    """A kind of layer: channels of a segment, whether x_i is added, and which pairs of outputs may collapse."""

    segment: int
    residual: bool
    pairs: tuple[tuple[int, int], ...]


ALL = tuple((p, q) for q in range(CHANNELS) for p in range(q))
LAYERS = {
    "plain": Layer(CHANNELS, False, ALL),  # equation 7
    "residual": Layer(CHANNELS, True, ALL),  # equation 8
    "GUNN": Layer(1, True, ALL),  # equation 9
    "GUNN without x_i": Layer(1, False, ALL),
    "GUNN, one segment of two": Layer(2, True, ((0, 1), (2, 3))),
    "GUNN, two segments": Layer(2, True, ((0, 2), (0, 3), (1, 2), (1, 3))),
}


def outputs(weights: Array, x: Array, layer: Layer) -> Array:
    """[..., n, n] weights and [..., n] inputs to [..., n] outputs, segment by segment (equations 7 to 9)."""
    view = np.broadcast_to(x, np.broadcast_shapes(x.shape, weights.shape[:-1])).astype(weights.dtype)
    for start in range(0, x.shape[-1], layer.segment):
        own = slice(start, start + layer.segment)
        made = (weights[..., own, :] @ view[..., None])[..., 0]
        view[..., own] = made + view[..., own] if layer.residual else made
    return view


def gradient(weights: Array, x: Array, slopes: Array, layer: Layer) -> Array:
    """[case, n, n]: dL/dw of L = sum of slopes y, by an imaginary step in each weight."""
    n = x.shape[-1]
    moved = weights[:, None] + IMAGINARY * 1j * np.eye(n * n).reshape(n * n, n, n)
    loss = (slopes[:, None] * outputs(moved, x[:, None], layer)).sum(-1)
    return (loss.imag / IMAGINARY).reshape(weights.shape)


def drawn(seed: int, *shape: int) -> Array:
    """Standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape)


def of_scale(seed: int, n: int) -> Array:
    """[case, n, n] weights from the distribution that section 4.1 starts from, of variance 2/n."""
    return drawn(seed, CASES, n, n) * np.sqrt(2 / n)


def share(true: Array) -> Fraction:
    """How many of all are true."""
    return Fraction(int(true.sum()), true.size)


# --- equation 10 ---


def printed_change(weights: Array, x: Array, slopes: Array, rate: float, derivative: str) -> Array:
    """The right side of equation 10 as it is printed, channel by channel."""
    n = x.shape[-1]
    y = outputs(weights, x, Layer(1, True, ()))
    of_y = slopes.copy()
    if derivative == TOTAL:
        for i in reversed(range(n)):
            of_y[:, :i] += of_y[:, i : i + 1] * weights[:, i, :i]
    change = np.zeros_like(x)
    for i in range(n):
        squares = (y[:, :i] ** 2).sum(-1) + (x[:, i:] ** 2).sum(-1)
        change[:, i] = rate * of_y[:, i] * squares + (weights[:, i, :i] * change[:, :i]).sum(-1)
    return change


def measured_change(weights: Array, x: Array, slopes: Array, rate: float) -> Array:
    """What one step of gradient descent on the weights of equation 9 adds to the outputs."""
    layer = Layer(1, True, ())
    stepped = weights - rate * gradient(weights, x, slopes, layer)
    return outputs(stepped, x, layer) - outputs(weights, x, layer)


class Order(NamedTuple):
    """With which power of epsilon equation 10 misses the measured step: 2 if it is that step to first order."""

    low: float
    high: float
    layers: int


def order(sign: int, derivative: str) -> Order:
    """The lowest and the highest power in random layers, with equation 10 times `sign`."""
    found: list[float] = []
    for n in (2, 3, 4, 6, 9):
        weights, x, slopes = of_scale(n, n), drawn(n + 10, CASES, n), drawn(n + 20, CASES, n)
        missed = [
            np.abs(
                measured_change(weights, x, slopes, rate) - sign * printed_change(weights, x, slopes, rate, derivative)
            )
            for rate in (2e-5, 1e-5)
        ]
        found += np.log2(missed[0].max(-1) / missed[1].max(-1)).tolist()
    return Order(round(min(found), 2), round(max(found), 2), len(found))


# --- collapse ---


def matrix(weights: Array, layer: Layer) -> Array:
    """[case, n, n]: the outputs as functions of the input, one row each."""
    n = weights.shape[-1]
    return outputs(weights[:, None], np.eye(n), layer).swapaxes(1, 2)


def collapsed(layer: Layer) -> tuple[Array, Array, Array]:
    """Random weights with y_p = y_q on all inputs, p and q: [case, n, n], [case], [case].

    What q reads is solved for, and what reads both weighs them alike, so that they are one neuron in all but name.
    """
    weights = of_scale(1, CHANNELS)
    p, q = np.array([layer.pairs[case % len(layer.pairs)] for case in range(CASES)]).T
    before, unit = matrix(weights, layer), np.eye(CHANNELS)
    for case in range(CASES):
        start = q[case] // layer.segment * layer.segment
        view = np.concatenate((before[case, :start], unit[start:]))
        own = unit[q[case]] if layer.residual else 0
        weights[case, q[case]] = np.linalg.solve(view.T, before[case, p[case]] - own)
        weights[case, start + layer.segment :, q[case]] = weights[case, start + layer.segment :, p[case]]
    return weights, p, q


def apart(weights: Array, p: Array, q: Array, layer: Layer) -> Array:
    """[case]: how far two outputs differ as functions of the input."""
    rows, cases = matrix(weights, layer), np.arange(len(weights))
    return np.abs(rows[cases, p] - rows[cases, q]).max(-1)


@cache
def stay_collapsed(name: str, steps: int = 1, followed: str = ALIKE) -> Fraction:
    """The share of collapsed layers in which y_p = y_q still holds on all inputs after `steps` of descent.

    `followed`: whether what comes behind the layer weighs both outputs alike too, so that both get the same dL/dy.
    """
    layer = LAYERS[name]
    weights, p, q = collapsed(layer)
    for step in range(steps):
        x, slopes = drawn(2 * step + 100, CASES, CHANNELS), drawn(2 * step + 101, CASES, CHANNELS)
        if followed == ALIKE:
            slopes[np.arange(CASES), q] = slopes[np.arange(CASES), p]
        weights = weights - RATE * gradient(weights, x, slopes, layer)
    return share(apart(weights, p, q, layer) < SAME)


def meet_equation_8() -> Fraction:
    """The share of collapsed residual layers that meet both conditions of equation 8."""
    weights, p, q = collapsed(LAYERS["residual"])
    case = np.arange(CASES)
    first = weights[case, p, p] + 1 - weights[case, q, p]
    second = weights[case, q, q] + 1 - weights[case, p, q]
    return share(np.maximum(np.abs(first), np.abs(second)) < SAME)


def squared_gap(name: str) -> float:
    """Mean squared distance between two outputs of a fresh layer as functions of the input, to one digit."""
    weights = of_scale(2, 64)
    rows = matrix(weights, LAYERS[name]._replace(segment=64))
    return round(float(((rows[:, 0::2] - rows[:, 1::2]) ** 2).sum(-1).mean()), 1)
