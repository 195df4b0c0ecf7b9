"""update, aggregate, windowed and grow, substituted: outputs, gradients and statistics are the reference's."""

import pytest
from fast_support import LEAN, agree, assert_same, fold, image, pair, stepped
from hypothesis import given, settings
from hypothesis import strategies as st

UNITS = {  # of update: what else reads the view, or the segment, or both
    "bottleneck": "bottleneck_update(2)",
    "residual": "add { part | bottleneck_update(1, 2) }",
    "projected": "add { part | project | bottleneck_update(2) }",
    "3x3": "add { part | conv(3x3, out, bias = yes), bn }",
    "both": "add { conv(1x1, out), bn | conv(3x3, out) }",
    "whole view": "add { part | bn, relu, conv(3x3, out) }",
    "grouped": "add { part | conv(1x1, 2 * out), bn, conv(3x3, out, groups = out) }",
    "gated": "multiply { part | gap, linear(out), sigmoid }",
    "random": "add { part | dropout(0.3), conv(1x1, out), bn | conv(1x1, out), dropout(0.4), droppath(0.5) }",
    "shaken": "add { part | shake { conv(1x1, out) | conv(3x3, out) } }",
    "unread": "add { part | it, conv(1x1, out) | part, relu }",
    "pooled": "add { part | conv(1x1, out), maxpool(3x3, /1, pad = 1), sliding(2) }",
    "nested": "add { part | aggregate(2 * out, out) { group }, conv(1x1, out) }",
}


@pytest.mark.parametrize("layers", LEAN)
@pytest.mark.parametrize("unit", UNITS)
def test_units_of_update(unit, layers):
    in_pieces = unit not in ("whole view", "gated", "random")
    agree(fold(f"update(4) {{ {UNITS[unit]} }}", (9, 4, 5)), layers, substituted=in_pieces or layers == "lean")


@pytest.mark.parametrize("layers", LEAN)
@pytest.mark.parametrize("reads", ["current", "original"])
@pytest.mark.parametrize(("channels", "parts", "block"), [(7, 3, None), (5, 5, 2), (8, 8, 3), (6, 1, None), (9, 2, 9)])
def test_segments(channels, parts, block, reads, layers):
    agree(fold(f"update({parts}, {reads}) {{ {UNITS['projected']} }}", (channels, 4, 4)), layers, block)


GROUPS = {
    "plain": "group",
    "bottleneck": "group(yes)",
    "subgroups": "group(yes, 2)",
    "raw": "conv(3x3, out), tap(raw), bn, relu",
    "dropped": "conv(3x3, out), dropout(0.4), bn",
    "biased": "conv(3x3, out, bias = yes), bn, relu",
}


CALLS = ["aggregate(10, 2)", "windowed(10, 2)", "windowed(4, 2)", "windowed(18, 6)"]


@pytest.mark.parametrize("layers", LEAN)
@pytest.mark.parametrize("unit", GROUPS)
@pytest.mark.parametrize("call", CALLS)
def test_groups(call, unit, layers):
    agree(fold(f"{call} {{ {GROUPS[unit]} }}", (6, 4, 5)), layers)


@pytest.mark.parametrize("block", [1, 3, 9])
@pytest.mark.parametrize("call", CALLS)
def test_blocks_of_groups(call, block):
    agree(fold(f"{call} {{ {GROUPS['bottleneck']} }}", (6, 4, 5)), "lean", block)


@pytest.mark.parametrize("layers", LEAN)
@pytest.mark.parametrize("steps", ["gunn_layer(4, 2, projection = yes)", "windowed(20, 5) { group(yes) }"])
def test_maps_smaller_than_their_weights(steps, layers):
    """They are put in a row for one product, in place of one for each image."""
    agree(fold(steps, (40, 1, 2)), layers)


@pytest.mark.parametrize("layers", LEAN)
@pytest.mark.parametrize("which", ["aggregate", "windowed"])
def test_residual_streams(which, layers):
    blocks = "block both(w) { conv(3x3, w), tap(raw), bn, relu }\n"
    steps = f"both(6), seq_block(2, fold = {which}), seq_block(3, bottleneck = yes), seq_down(8, 2, 2)"
    agree(blocks + fold(steps, (3, 4, 4)), layers)


def test_only_lean_puts_views_together():
    for steps in ("grow(3) { dense_layer(2) }", "aggregate(8, 4) { conv(3x3, out, groups = 2), bn }"):
        agree(fold(steps, (4, 5, 4)), "balanced", substituted=False)
        agree(fold(steps, (4, 5, 4)), "lean")
    agree(fold("grow(5, reads = sparse) { dense_layer(2) }", (4, 5, 4)), "lean", substituted=False)


@st.composite
def folds(draw):
    """Steps with one fold of any size, and the channels they read."""
    k, groups, before = draw(st.integers(1, 4)), draw(st.integers(1, 6)), draw(st.integers(1, 3))
    which = draw(st.sampled_from(["update", "aggregate", "windowed", "grow"]))
    if which == "update":
        channels = draw(st.integers(1, 12))
        parts, reads = draw(st.integers(1, channels)), draw(st.sampled_from(["current", "original"]))
        return f"update({parts}, {reads}) {{ {UNITS[draw(st.sampled_from(sorted(UNITS)))]} }}", channels
    if which == "grow":
        return f"grow({groups}) {{ {draw(st.sampled_from(['dense_layer', 'plain_dense_layer']))}({k}) }}", before
    unit = draw(st.sampled_from([u for u in sorted(GROUPS) if u != "subgroups"]))
    return f"{which}({k * groups}, {k}) {{ {GROUPS[unit]} }}", before * (k if which == "windowed" else 1)


def check(drawn, height, width, n, block, layers):
    steps, channels = drawn
    reference, ours = pair(fold(steps, (channels, height, width)), layers, block)
    for _ in range(2):
        assert_same(*[stepped(net, image(reference, n)) for net in (ours, reference)])


@settings(max_examples=60, deadline=None)
@given(
    folds(),
    st.integers(3, 6),
    st.integers(3, 6),
    st.integers(2, 4),
    st.sampled_from([None, 1, 2, 3, 20]),
    st.sampled_from(LEAN),
)
def test_generated_folds(drawn, height, width, n, block, layers):
    check(drawn, height, width, n, block, layers)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(folds(), st.integers(2, 9), st.integers(2, 9), st.integers(1, 6), st.integers(1, 20), st.sampled_from(LEAN))
def test_many_generated_folds(drawn, height, width, n, block, layers):
    check(drawn, height, width, n, block, layers)


@pytest.mark.parametrize("layers", LEAN)
def test_a_gradient_that_others_read_too_is_left_alone(layers):
    """One part that reads the input alone: its fold's gradient is the sum's, and the sum's other branch has it too."""
    agree(fold("conv(1x1, 6), add { it | update(1) { conv(1x1, out), bn } }", (4, 5, 5)), layers)
