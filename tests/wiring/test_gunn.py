"""GUNN, SUNN and NoRes: layers, whole networks, and the rewriting modifiers."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import batch_norm
from oracles.gunn import gunn_conv, gunn_layer, segments, sunn_layer

from .support import Weights, agree, agree_in_mode, built, net, rand

LAYERS = {"current": gunn_layer, "original": sunn_layer}


def triple(w):
    weights = {}
    for i in (1, 2, 3):
        weights |= {f"conv{i}_weight": w.kernel(), **w.norm(f"bn{i}")}
    return weights


def unit(w, M, shortcut):
    projected = {"proj_weight": w.kernel(), **w.norm("proj_bn")} if shortcut == "identity+projection" else {}
    return {**projected, "triples": [triple(w) for _ in range(M)]}


def layer(x, w, P, M=1, shortcut="identity", reads="current"):
    return LAYERS[reads](x, P, [unit(w, M, shortcut) for _ in range(P)], shortcut, w.training)


SHORTCUTS = {
    "identity": "",
    "identity+projection": ", projection = yes",
    "none": ", residual = no",
}


def step(P, K, M=1, shortcut="identity", reads="current"):
    return f"gunn_layer({P}, {K}, {M}{SHORTCUTS[shortcut]}, reads = {reads})"


@pytest.mark.parametrize("reads", LAYERS)
@pytest.mark.parametrize("shortcut", SHORTCUTS)
@pytest.mark.parametrize(("N", "P", "K", "M"), [(6, 3, 2, 1), (7, 3, 1, 2), (10, 4, 3, 1), (5, 5, 2, 2), (4, 1, 2, 3)])
def test_layer(N, P, K, M, shortcut, reads):
    size = (N, 4, 5)
    module = net(step(P, K, M, shortcut, reads), size)
    agree(module, lambda x, w: layer(x, w, P, M, shortcut, reads), size)


def test_no_residual_leaves_out_the_projection():
    size = (7, 4, 5)
    module = net("gunn_layer(3, 2, projection = yes, residual = no)", size)
    agree(module, lambda x, w: layer(x, w, 3, shortcut="none"), size)


@pytest.mark.parametrize(("N", "P"), [(7, 3), (10, 4), (11, 8), (9, 2)])
def test_segments_are_as_even_as_possible(N, P):
    weights = Weights(net(step(P, 2), (N, 3, 3)))
    widths = [triple(weights)["conv3_weight"].shape[0] for _ in range(P)]
    cuts = segments(N, P)
    assert widths == [b - a for a, b in pairwise(cuts)]
    assert sum(widths) == N and max(widths) - min(widths) <= 1


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.data())
def test_any_layer(data):
    N = data.draw(st.integers(1, 9), label="N")
    P, K, M = data.draw(st.integers(1, N), label="P"), data.draw(st.integers(1, 3)), data.draw(st.integers(1, 2))
    shortcut, reads = data.draw(st.sampled_from(list(SHORTCUTS))), data.draw(st.sampled_from(list(LAYERS)))
    size = (N, 3, 4)
    module = net(step(P, K, M, shortcut, reads), size)
    agree(module, lambda x, w: layer(x, w, P, M, shortcut, reads), size)


# --- whole networks


def transition(x, w):
    return F.avg_pool2d(w.conv_bn_relu(x), 2)


def cifar(x, w, M, shortcut, reads):
    x = w.conv_bn_relu(w.conv_bn_relu(x))
    x = transition(layer(x, w, 20, M, shortcut, reads), w)
    x = transition(layer(x, w, 25, M, shortcut, reads), w)
    return w.head(w.conv_bn_relu(layer(x, w, 30, M, shortcut, reads)))


@pytest.mark.parametrize(
    ("name", "shortcut", "reads"),
    [
        ("gunn15", "identity+projection", "current"),
        ("sunn15", "identity+projection", "original"),
        ("gunn15-nores", "none", "current"),
    ],
)
def test_cifar_network(name, shortcut, reads):
    size = (3, 4, 4)
    module = built(name, input=size)
    agree_in_mode(module, lambda x, w: cifar(x, w, 1, shortcut, reads), rand(3, *size), training=False)


def imagenet(x, w, parts, reads):
    x = F.max_pool2d(w.conv_bn_relu(x, 2), 3, 2, 1)
    x = w.conv_bn_relu(x)
    for i, P in enumerate(parts):
        x = layer(x, w, P, 1, "identity", reads)
        x = transition(x, w) if i < 3 else x
    return w.head(x)


@pytest.mark.parametrize("reads", LAYERS)
def test_imagenet_network(reads):
    size = (3, 64, 64)
    module = built(f"imagenet_gunn([6, 8, 9, 10], [2, 3, 4, 3], classes=5, reads={reads})", input=size)
    agree(module, lambda x, w: imagenet(x, w, [2, 3, 4, 3], reads), size, batch=3)


# --- the modifiers


def segment_weights(w, P, norm=True):
    """The weights of the P segments' convolutions as those of the one they replace."""
    parts = [{"weight": w.kernel(), **(w.norm() if norm else {})} for _ in range(P)]
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def sunn_conv(x, weights, residual, training):
    """All segments read x, so that they are the plain convolution."""
    out = F.conv2d(x, weights["weight"], padding=weights["weight"].shape[2] // 2)
    out = batch_norm(out, weights, training=training) if "bn_weight" in weights else out
    return x + out if residual else out


def modified(x, w, P, name, residual=True, norm=True):
    weights = segment_weights(w, P, norm)
    if name == "gunn":
        return gunn_conv(x, P, weights, residual, w.training)
    return sunn_conv(x, weights, residual, w.training)


def modified_basic(x, w, width, layer):
    if x.shape[1] == width:
        return F.relu(layer(F.relu(layer(x, w)), w) + x)
    out = layer(w.conv_bn_relu(x, 2), w)
    return F.relu(out + w.bn(w.conv(x, 2)))


def modified_resnet(x, w, layer):
    x = w.conv_bn_relu(x)
    for width in (4, 5, 8):
        for _ in range(2):
            x = modified_basic(x, w, width, layer)
    return w.head(x)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("parts", [1, 3, 4])
@pytest.mark.parametrize("name", ["gunn", "sunn"])
def test_modified_residual_network(name, parts, residual):
    size, options = (3, 8, 8), "" if residual else ", residual=no"
    module = built(f"cifar_resnet(n=2, widths=[4, 5, 8]) + {name}(parts={parts}{options})", input=size)

    def layer(x, w):
        return modified(x, w, parts, name, residual)

    agree(module, lambda x, w: modified_resnet(x, w, layer), size)


@pytest.mark.parametrize("name", ["gunn", "sunn"])
def test_modified_without_batch_norm(name):
    size = (5, 4, 6)
    module = net("conv(3x3, 5), relu, conv(1x1, 5), conv(3x3, 5), bn", size, f"+ {name}(parts = 2)")
    if name == "gunn":

        def pointwise(x, w):
            weight = F.pad(segment_weights(w, 2, False)["weight"], (1, 1, 1, 1))
            return gunn_conv(x, 2, {"weight": weight}, True, w.training)
    else:

        def pointwise(x, w):
            return modified(x, w, 2, name, norm=False)

    def reference(x, w):
        x = pointwise(F.relu(modified(x, w, 2, name, norm=False)), w)
        return modified(x, w, 2, name)

    agree(module, reference, size)


def test_what_is_left_alone():
    size = (4, 6, 6)
    steps = ["conv(3x3, 6)", "conv(3x3, 6, groups = 2)", "conv(3x3, 6, /2)", "conv(3x3, 2)", "conv(3x3, 2)"]
    module = net(", ".join([*steps, "conv(3x3, 3)", "conv(3x3, 3)"]), size, "+ gunn(parts = 3)")

    def reference(x, w):
        x = w.conv(w.conv(w.conv(x), groups=2), 2)
        x = w.conv(w.conv(w.conv(x)))
        return modified(x, w, 3, "gunn", norm=False)

    agree(module, reference, size)


def test_on_one_stage_only():
    size = (3, 8, 8)
    module = built("cifar_resnet(n=1, widths=[4, 4, 4]) + gunn(parts=2) on stage2", input=size)

    def reference(x, w):
        x = w.conv_bn_relu(x)
        x = F.relu(w.bn(w.conv(w.conv_bn_relu(x))) + x)
        out = modified(w.conv_bn_relu(x, 2), w, 2, "gunn")
        x = F.relu(out + w.bn(w.conv(x, 2)))
        out = w.bn(w.conv(w.conv_bn_relu(x, 2)))
        return w.head(F.relu(out + w.bn(w.conv(x, 2))))

    agree(module, reference, size)


@pytest.mark.parametrize("name", ["gunn", "sunn"])
def test_convolutions_that_change_the_map_are_left_alone(name):
    size = (4, 6, 6)
    module = net("conv(3x3, 4, pad = 0), relu, conv(2x2, 4), conv(3x3, 4)", size, f"+ {name}(parts = 2)")

    def reference(x, w):
        x = F.relu(F.conv2d(x, w.kernel()))
        return modified(F.conv2d(x, w.kernel()), w, 2, name, norm=False)

    agree(module, reference, size)
