"""MS-SAR substituted: regional scales in one pass, sliding means by partial sums."""

import copy
import math

import pytest
import torch
from fast_support import agree, assert_same, fold, image, network, pair, stepped, substitutes
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from explorer.measure.live import LiveBytes
from explorer.nn.fast.sliding import DiamondByPartialSums, SquareByPartialSums
from explorer.nn.layers import SlidingDiamond, SlidingSquare

SCALES = ["1", "4", "1, 2, 4", "4, 2, 1", "1, 3", "2, 3, 6", "1, 2, 3, 4", "5", "1, 5, 7"]
SIZES = [(6, 8, 8), (5, 7, 9), (4, 12, 8)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scales", SCALES)
def test_regional_scales(scales, size):
    agree(fold(f"conv(3x3, 6), mssar({scales})", size), "balanced", n=4)


@pytest.mark.parametrize(
    "steps", ["relu, mssar(1, 2)", "se(2)", "mssar(1, 2, pool = sliding)", "conv(1x1, 4), multiply { it | sigmoid }"]
)
def test_what_is_like_it_is_not_mistaken(steps):
    assert bool(substitutes(network(fold(steps, (4, 6, 6)), "balanced"))) == ("mssar(1, 2)" in steps)


OTHER_GATES = {
    "not pointwise": "conv(3x3, 4)",
    "pooled": "maxpool(3x3, /1, pad = 1)",
    "branched": "add { it | conv(1x1, 4) }",
    "grouped": "conv(1x1, 8, groups = 2), conv(1x1, 4)",
}


@pytest.mark.parametrize("gate", OTHER_GATES)
def test_other_gates_are_left_to_the_reference(gate):
    steps = f"regional(K), {OTHER_GATES[gate]}, sigmoid, upsample(entry)"
    block = f"block gated {{ multiply {{ it | mean K in [1, 3] {{ {steps} }} }} }}\n"
    agree(block + fold("gated", (4, 6, 6)), "balanced", substituted=False)


def test_dense_layers_pool_what_they_read():
    agree("densenet_bc(depth = 10, k = 4) + mssar(1, 2, 4)", "balanced", n=4, input=(3, 16, 16))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_generated_regional_scales(data):
    height, width, channels = data.draw(st.integers(2, 10)), data.draw(st.integers(2, 10)), data.draw(st.integers(1, 6))
    scales = data.draw(st.lists(st.integers(1, min(height, width)), min_size=1, max_size=4, unique=True))
    text = fold(
        f"mssar({', '.join(map(str, scales))}, width = {data.draw(st.integers(1, 4))})", (channels, height, width)
    )
    agree(text, "lean", n=data.draw(st.integers(3, 5)), steps=1)


class OfWholeMaps(TorchDispatchMode):
    """Names of the operations that read or make whole maps; views do neither."""

    def __init__(self, numel):
        super().__init__()
        self.numel, self.names = numel, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        views = function._schema.returns and function._schema.returns[0].alias_info is not None
        if not views and any(isinstance(t, torch.Tensor) and t.numel() == self.numel for t in (*args, made)):
            self.names.append(function._schema.name.removeprefix("aten::"))
        return made


@pytest.mark.parametrize(("layers", "names"), [("balanced", ["mean", "mul"]), ("reference", None)])
def test_the_map_is_read_twice(layers, names):
    """Once to be pooled, once to be weighted; gates are never spread over it."""
    net = network(fold("mssar(1, 2, 4)", (6, 8, 8), head=False), layers)
    x = image(net, 4)
    with torch.no_grad(), OfWholeMaps(x.numel()) as seen:
        net(x)
    assert seen.names == names if names else len(seen.names) > 8


def test_no_map_of_gates_is_kept():
    def kept(layers):
        net = network(fold("mssar(1, 2, 4)", (16, 32, 32), head=False), layers)
        x = image(net, 4).requires_grad_()
        with LiveBytes() as live:
            live.add(x.untyped_storage())
            y = net(x)
        return live.now / y.nbytes

    assert kept("balanced") < 2.3 < 3 < kept("reference")  # its input and its output, and small things


# --- sliding ---

KINDS = [(SlidingSquare, SquareByPartialSums), (SlidingDiamond, DiamondByPartialSums)]


def twins(kind, radius, height, width):
    size = (height, width) if kind is SlidingSquare else ()
    return [layer(radius, *size) for layer in next(pair for pair in KINDS if pair[0] is kind)]


@pytest.mark.parametrize("kind", [SlidingSquare, SlidingDiamond])
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 12), st.integers(1, 11), st.integers(1, 11))
def test_sliding_means(kind, radius, height, width):
    results = []
    for layer in twins(kind, radius, height, width):
        x = torch.randn(2, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        y = layer(x.requires_grad_())
        (y * torch.arange(y.numel(), dtype=torch.float64).view_as(y)).sum().backward()
        results.append((y, x.grad))
    assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-10) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("kind", [SlidingSquare, SlidingDiamond])
@pytest.mark.parametrize("radius", [1, 8, 56])
def test_partial_sums_keep_their_digits(kind, radius):
    """In float32, far from zero on a large map: what a sum along a line loses, over the window, and as many sums."""
    height, width = 224, 112
    x = torch.rand(1, 2, height, width, generator=torch.Generator().manual_seed(0)) + 3
    reference, ours = twins(kind, radius, height, width)
    error, window = (ours(x).double() - reference(x.double())).abs().max(), 2 * radius + 1
    assert error < 2**-23 * 4 * (height / window + window)
    half = x.half()  # summed in float32
    assert ours(half).dtype is torch.float16
    assert (ours(half).double() - reference(half.double())).abs().max() < 2**-10 * 2


@pytest.mark.parametrize("shape", ["square", "diamond"])
def test_sliding_networks(shape):
    text = fold(f"conv(3x3, 6), mssar(1, 2, 3, pool = sliding, shape = {shape})", (4, 7, 9))
    reference, ours = pair(text, "balanced")
    assert sum(isinstance(m, SquareByPartialSums | DiamondByPartialSums) for m in ours.modules()) == 3
    results = [stepped(net, image(reference)) for net in (ours, reference)]
    assert_same(*results)
    traced = torch.jit.trace(ours.eval(), image(ours))
    assert torch.allclose(traced(image(ours)), reference.eval()(image(ours)))


def test_hooks_and_modes_of_recalibration():
    text = fold("conv(3x3, 6), mssar(1, 2, 4)", (4, 8, 8))
    reference, ours = pair(text, "balanced")
    seen = []
    for layer in ours.modules():
        if isinstance(layer, nn.Sigmoid):
            layer.register_forward_hook(lambda *_: seen.append(1))
    expected = stepped(reference, image(reference))
    found = stepped(copy.deepcopy(ours), image(ours))
    assert len(seen) == 3 and all(
        torch.equal(a, b) for a, b in zip(found["gradients"].values(), expected["gradients"].values(), strict=True)
    )
    assert math.isfinite(float(found["output"]["output"].sum()))
