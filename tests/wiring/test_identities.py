"""Equations between networks: different texts that must compute the same with the same weights."""

import pytest
import torch
from torch import nn

from .support import built, definition, derivatives, net, rand, same

KINDS = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)


def layers(module):
    return [layer for layer in module.modules() if isinstance(layer, KINDS)]


def copy_weights(source, target):
    for a, b in zip(layers(source), layers(target), strict=True):
        b.load_state_dict(a.state_dict())


def assert_same_function(f, g, modules, x):
    """Equal outputs and input gradients in both modes."""
    for training in (True, False):
        for module in modules:
            module.train(training)
        for what, a, b in zip(("output", "input"), derivatives(f, x, []), derivatives(g, x, []), strict=True):
            same(a, b, f"{what}, {'training' if training else 'evaluation'}")


def assert_identical(first, second, size):
    """Two texts, the second given the weights of the first."""
    one, two = net(*first), net(*second)
    copy_weights(one, two)
    assert_same_function(one, two, (one, two), rand(4, *size))


@pytest.mark.parametrize(("cin", "n", "k"), [(3, 4, 2), (5, 1, 3), (2, 3, 4)])
def test_dense_block_is_its_input_and_a_seqconv_layer(cin, n, k):
    size = (cin, 4, 5)
    dense = net(f"grow({n}) {{ conv(3x3, {k}), bn, relu }}", size)
    sequential = net(f"aggregate({n * k}, {k}) {{ group }}", size)
    copy_weights(dense, sequential)
    assert_same_function(dense, lambda x: torch.cat([x, sequential(x)], 1), (dense, sequential), rand(4, *size))


def window(group, before, k):
    """Equations 3 and 4: 1 for the channels of the last `before` groups, numbered from 1 - before; group from 1."""
    positions = range(1 - before, group)
    inside = [group - before <= position <= group - 1 for position in positions]
    return torch.tensor(inside, dtype=torch.float64).repeat_interleave(k)


@pytest.mark.parametrize(("before", "number", "k"), [(2, 4, 2), (3, 2, 1), (1, 3, 2)])
def test_windowed_layer_is_the_dense_one_under_the_window(before, number, k):
    size = (before * k, 4, 5)
    windowed = net(f"windowed({number * k}, {k}) {{ group }}", size)
    dense = net(f"aggregate({number * k}, {k}) {{ group }}", size)
    with torch.no_grad():
        for i, (narrow, wide) in enumerate(zip(layers(windowed)[::2], layers(dense)[::2], strict=True), 1):
            mask = window(i, before, k)
            wide.weight *= mask[:, None, None]
            narrow.weight.copy_(wide.weight[:, mask.bool()])
    for narrow, wide in zip(layers(windowed)[1::2], layers(dense)[1::2], strict=True):
        narrow.load_state_dict(wide.state_dict())
    assert_same_function(windowed, dense, (windowed, dense), rand(4, *size))


@pytest.mark.parametrize("options", ["", ", projection = yes", ", residual = no"])
def test_one_segment_needs_no_order(options):
    size = (5, 4, 4)
    gunn, sunn = (f"gunn_layer(1, 2, 2{options}, reads = {reads})" for reads in ("current", "original"))
    assert_identical((gunn, size), (sunn, size), size)


def test_a_segment_order_matters():
    size = (6, 4, 4)
    one, two = (net(f"gunn_layer(2, 2, reads = {reads})", size).eval() for reads in ("current", "original"))
    copy_weights(one, two)
    x = rand(2, *size)
    same(one(x)[:, :3], two(x)[:, :3])
    assert not torch.allclose(one(x)[:, 3:], two(x)[:, 3:])


def test_one_segment_of_nores_is_a_plain_bottleneck():
    size = (5, 4, 4)
    plain = "conv(1x1, 10), bn, relu, conv(3x3, 10), bn, relu, conv(1x1, 5), bn"
    assert_identical((plain, size), ("gunn_layer(1, 2, residual = no)", size), size)
    assert_identical((f"add {{ it | {plain} }}", size), ("gunn_layer(1, 2)", size), size)


WIDE = "cifar_resnet(n=2, widths=[4, 4, 4])"


@pytest.mark.parametrize("modifier", ["seqconv(k=4)", "wseqconv(k=4)", "gunn(parts=1, residual=no)"])
def test_a_modifier_that_does_not_divide_changes_nothing(modifier):
    size = (3, 8, 8)
    plain, changed = built(WIDE, input=size), built(f"{WIDE} + {modifier}", input=size)
    copy_weights(plain, changed)
    assert_same_function(plain, changed, (plain, changed), rand(4, *size))


def test_simultaneous_update_without_residual_is_the_convolution():
    size = (6, 5, 4)
    plain, sunn = net("conv(3x3, 6), bn", size), net("conv(3x3, 6), bn", size, "+ sunn(parts = 3, residual = no)")
    parts = layers(sunn)
    with torch.no_grad():
        layers(plain)[0].weight.copy_(torch.cat([part.weight for part in parts[::2]]))
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(layers(plain)[1], name).copy_(torch.cat([getattr(part, name) for part in parts[1::2]]))
    assert_same_function(plain, sunn, (plain, sunn), rand(4, *size))


def test_scales_may_come_in_any_order():
    size = (6, 6, 7)
    one, two = net("mssar(2, 3)", size), net("mssar(3, 2)", size)
    half = len(layers(one)) // 2
    for a, b in zip(layers(one), layers(two)[half:] + layers(two)[:half], strict=True):
        b.load_state_dict(a.state_dict())
    assert_same_function(one, two, (one, two), rand(4, *size))


def test_one_group_is_the_plain_layer():
    size = (3, 5, 4)
    plain = ("conv(3x3, 4), bn, relu", size)
    for fold in ("aggregate(4, 4) { group }", "grow(1) { conv(3x3, 4), bn, relu }, slice(3, 7)"):
        assert_identical(plain, (fold, size), size)
    square = (4, 5, 4)
    assert_identical(("conv(3x3, 4), bn, relu", square), ("windowed(4, 4) { group }", square), square)


@pytest.mark.parametrize(
    ("modifier", "inside"),
    [("mssar(2)", "mssar(2)"), ("wseqconv(k = 2)", "windowed(4, 2) { conv(3x3, 4 // 2), bn, relu }")],
)
@pytest.mark.parametrize("stage", ["first", "second"])
def test_a_modifier_on_one_of_two_equal_stages(modifier, inside, stage):
    size = (4, 6, 6)
    if modifier == "mssar(2)":
        plain, changed = "basic(4)", f"add {{ conv(3x3, 4), bn, relu, conv(3x3, 4), bn, {inside} | it }}, relu"
    else:
        plain, changed = "conv(3x3, 4), bn, relu", inside
    stages = {"first": plain, "second": plain, stage: changed}
    short = f"conv(1x1, 4)\n first: {plain}\n second: {plain}"
    long = f"conv(1x1, 4)\n first: {stages['first']}\n second: {stages['second']}"
    assert_identical((short, size, f"+ {modifier} on {stage}"), (long, size), size)


@pytest.mark.parametrize("modifiers", ["", "+ wseqconv(k = 2)", "+ gunn(parts = 3)"])
@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("basic(4) * 3, conv(3x3, 4)", "basic(4), basic(4), basic(4), conv(3x3, 4)"),
        ("basic(4) * 2, basic(6, 2) * 1, basic(6) * 2", "basic(4), basic(4), basic(6, 2), basic(6), basic(6)"),
        ("basic(channels(it) + 2) * 3", "basic(6), basic(8), basic(10)"),
        ("for w in [4, 4, 6] { basic(w) * 2 }", "basic(4), basic(4), basic(4), basic(4), basic(6), basic(6)"),
        ("{ basic(4), conv(3x3, 4) } * 2, bn, relu", "basic(4), conv(3x3, 4), basic(4), conv(3x3, 4), bn, relu"),
        ("for w in [4, 4] { conv(3x3, w) }, bn, relu", "conv(3x3, 4), conv(3x3, 4), bn, relu"),
        ("a: basic(4) * 3, b: basic(4)", "a: basic(4), basic(4), basic(4)\n b: basic(4)"),
    ],
)
def test_a_repetition_is_what_it_repeats_written_out(short, long, modifiers):
    size = (4, 6, 6)
    first = ("conv(1x1, 4), " + short.replace(", b:", "\n b:"), size, modifiers)
    second = ("conv(1x1, 4), " + long, size, modifiers)
    assert_identical(first, second, size)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("conv(3x3, 4), { bn, relu }", "conv(3x3, 4), bn, relu"),
        ("{ bn, relu, conv(3x3, 4) } * 2", "bn, relu, conv(3x3, 4), bn, relu, conv(3x3, 4)"),
        ("for w in [4, 4] { bn, relu, conv(3x3, w) }", "bn, relu, conv(3x3, 4), bn, relu, conv(3x3, 4)"),
        ("conv(3x3, 4), when 1 < 2 { bn, relu }", "conv(3x3, 4), bn, relu"),
        ("conv(3x3, 4)\n a: bn, relu", "conv(3x3, 4), bn, relu"),
    ],
)
@pytest.mark.xfail(raises=(AssertionError, RuntimeError), reason="what begins behind a brace or label is not looked at")
def test_what_directly_follows_may_stand_in_braces(short, long):
    size = (4, 6, 6)
    first, second = ((f"conv(1x1, 4), {steps}", size, "+ wseqconv(k = 2)") for steps in (short, long))
    assert_identical(first, second, size)


@pytest.mark.xfail(raises=(AssertionError, RuntimeError), reason="a rewrite hides its followers from the next one")
def test_a_second_rewrite_sees_what_the_first_has_made():
    size = (4, 6, 6)
    twice = ("conv(1x1, 6), conv(3x3, 4), conv(3x3, 4), bn, relu", size, "+ gunn(parts = 2) + wseqconv(k = 1)")
    written = "conv(1x1, 6), conv(3x3, 4), update(2) { add { part | conv(3x3, out), bn } }, relu"
    assert_identical(twice, (written, size, "+ wseqconv(k = 1)"), size)


def test_definitions_and_catalog_calls_are_one_language():
    size = (8, 6, 6)
    text = "add { conv(3x3, 8), bn, relu, conv(3x3, 8), bn | it }, relu"
    assert_identical((text, size), ("basic(8)", size), size)
    assert definition("basic(8)", size).startswith("network t")
