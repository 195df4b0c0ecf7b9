"""GUNN's Algorithm 1: which reading of it is exact, what it keeps, what it computes again."""

from itertools import pairwise

import pytest
import torch
from fast_support import LEAN, fold, image, network, pair
from torch.utils.flop_counter import FlopCounterMode

import explorer
from explorer.measure.live import LiveBytes

CUTS = (0, 3, 5, 8)


def units():
    """G of three segments of eight channels: small differentiable functions of the whole state."""
    draw = torch.Generator().manual_seed(0)
    weights = [torch.randn(b - a, 8, dtype=torch.float64, generator=draw) for a, b in pairwise(CUTS)]
    return [lambda y, w=w: torch.tanh(torch.einsum("oc,nchw->nohw", w, y)) for w in weights]


def segment(unit, y, a, b):
    """Equation 5: F of a segment, its own value plus G of the state."""
    return y[:, a:b] + unit(y)


def update(unit, y, a, b):
    """Equation 3: U, which hands the other channels through."""
    return torch.cat((y[:, :a], segment(unit, y, a, b), y[:, b:]), 1)


def gradient(function, y, given):
    y = y.detach().requires_grad_()
    return torch.autograd.grad(function(y), y, given)[0]


def algorithm1(x, y, given, reading):
    """Algorithm 1 line by line. `reading`: the function that BP is of, and whether equation 6 merges the last lines."""
    of_x, y = given.clone(), y.clone()
    for unit, (a, b) in reversed(list(zip(units(), pairwise(CUTS), strict=True))):
        y[:, a:b] = x[:, a:b]
        if reading == "U":
            of_y = gradient(lambda s, unit=unit, a=a, b=b: update(unit, s, a, b), y, of_x)
        elif "F" in reading:
            of_y = gradient(lambda s, unit=unit, a=a, b=b: segment(unit, s, a, b), y, of_x[:, a:b])
        else:
            of_y = gradient(unit, y, of_x[:, a:b])
        if "equation 6" in reading:
            of_x = of_x + of_y
        else:
            whole = of_x + of_y
            whole[:, a:b] = of_y[:, a:b]
            of_x = whole
    return of_x


@pytest.mark.parametrize(
    ("reading", "exact"), [("F", True), ("U", False), ("G, equation 6", True), ("F, equation 6", False)]
)
def test_which_reading_is_exact(reading, exact):
    x, given = torch.randn(2, 2, 8, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    leaf = y = x.clone().requires_grad_()
    for unit, (a, b) in zip(units(), pairwise(CUTS), strict=True):
        y = update(unit, y, a, b)
    (expected,) = torch.autograd.grad(y, leaf, given)
    found = algorithm1(x, y.detach(), given, reading)
    assert torch.allclose(found, expected, rtol=1e-12) == exact
    if not exact:
        assert (found - expected).abs().max() > 0.1 * expected.abs().max()


# --- what is kept ---


def layer(reads, layers, size=(40, 16, 16), parts=10):
    text = fold(f"gunn_layer({parts}, 2, projection = yes, reads = {reads})", size, head=False)
    net = network(text, layers).float()
    return net, image(net, 4).float().requires_grad_()


def live_bytes(net, x):
    """Input, output and what is kept between the passes, and the most at any time, in multiples of the input."""
    y = net(x)
    given = torch.randn_like(y)
    y.backward(given)
    net.zero_grad(set_to_none=False)
    del y
    with LiveBytes() as live:
        y = net(x)
        kept = live.now
        y.backward(given)
    del y
    return kept / x.nbytes, live.peak / x.nbytes, live.now / x.nbytes


def test_a_gunn_layer_needs_no_more_memory_than_its_sunn_twin():
    for layers in LEAN:
        gunn, sunn = (live_bytes(*layer(reads, layers)) for reads in ("current", "original"))
        assert gunn[1] <= sunn[1], layers
    naive, plain = (live_bytes(*layer(reads, "reference")) for reads in ("current", "original"))
    assert gunn[1] < 0.45 * plain[1] and gunn[1] < 0.3 * naive[1]
    assert gunn[0] < 2.2  # the input and the output


def test_balanced_keeps_about_a_quarter():
    naive, balanced = (live_bytes(*layer("current", layers, (80, 16, 16), 20)) for layers in ("reference", "balanced"))
    assert balanced[0] < 0.27 * naive[0] and balanced[1] < 0.33 * naive[1]


@pytest.mark.parametrize("layers", LEAN)
def test_nothing_is_left_behind(layers):
    left, naive = (live_bytes(*layer("current", which))[2] for which in (layers, "reference"))
    assert left <= naive


# --- what is computed ---

COUNTED = ["gunn_layer(6, 2, 2, projection = yes)", "aggregate(12, 3) { group(yes) }", "windowed(12, 2) { group }",
           "update(5) { add { part | conv(3x3, out), bn } }"]  # fmt: skip


def macs(run):
    counter = FlopCounterMode(display=False)
    with counter:
        run()
    return counter.get_total_flops() / 2


@pytest.mark.parametrize("block", [None, 1, 4])
@pytest.mark.parametrize("steps", COUNTED)
def test_no_multiply_add_is_done_twice_but_in_lean_mode(steps, block):
    text = fold(steps, (12, 4, 4), head=False)
    forward = 2 * explorer.cost(text).macs
    for layers, times in (("reference", 3), ("balanced", 3), ("lean", 4)):
        _, net = pair(text, layers, block)
        x = image(net, 2).requires_grad_()
        assert macs(lambda net=net, x=x: net(x)) == forward, layers
        assert macs(lambda net=net, x=x: net(x).sum().backward()) == times * forward, layers
