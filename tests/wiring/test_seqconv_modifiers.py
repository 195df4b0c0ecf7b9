"""The modifiers + seqconv and + wseqconv: what they make of a convolution and of what follows it."""

import pytest
import torch
import torch.nn.functional as F
from oracles import batch_norm
from oracles.mssar import mssar
from oracles.seqconv import group_raw, seqconv, slide, wseqconv

from .support import agree, built, net
from .test_recalibration import gates
from .test_seqconv import group, groups, keep


def finish(out, weights, relu, training):
    """What a group has taken along: batch norm, ReLU, both or nothing."""
    out = batch_norm(out, weights, training=training) if "bn_weight" in weights else out
    return F.relu(out) if relu else out


def replaced(x, w, width, k, windowed, norm=True, relu=True, c=1):
    """The layer a modifier makes of a 3x3 convolution and of the batch norm and ReLU that followed it."""
    view, outs = x, []
    for _ in range(width // k):
        weights = group(w, norm=norm)
        outs.append(finish(group_raw(view, weights, c=c), weights, relu, w.training))
        view = slide(view, outs[-1], k if windowed else 0)
    return torch.cat(outs, 1)


def test_a_replaced_convolution_with_its_followers_is_the_layer():
    size = (4, 5, 6)
    for windowed, layer in ((False, seqconv), (True, wseqconv)):
        module = net("conv(1x1, 4), conv(3x3, 6), bn, relu", size, f"+ {'w' * windowed}seqconv(k = 2)")

        def reference(x, w, layer=layer):
            return layer(w.conv(x), 2, groups(w, 3), training=w.training)

        agree(module, reference, size)


def modified_basic(x, w, width, layer, recalibrate=keep):
    strided = x.shape[1] != width
    out = w.conv_bn_relu(x, 2) if strided else layer(x, w, width)
    out = recalibrate(layer(out, w, width, relu=False))
    return F.relu(out + (w.bn(w.conv(x, 2)) if strided else x))


def modified_resnet(x, w, layer, recalibrate=lambda out, w: out):
    x = w.conv_bn_relu(x)
    for width in (4, 8, 12):
        for _ in range(2):
            x = modified_basic(x, w, width, layer, lambda out: recalibrate(out, w))
    return w.head(x)


RESNET = "cifar_resnet(n=2, widths=[4, 8, 12])"
SMALL = (3, 8, 8)


@pytest.mark.parametrize(("k", "c"), [(2, 1), (4, 1), (4, 2)])
@pytest.mark.parametrize("windowed", [False, True])
def test_modified_residual_network(windowed, k, c):
    options = f"k={k}" + (f", c={c}" if c > 1 else "")
    module = built(f"{RESNET} + {'w' * windowed}seqconv({options})", input=SMALL)

    def layer(x, w, width, relu=True):
        return replaced(x, w, width, k, windowed, relu=relu, c=c)

    agree(module, lambda x, w: modified_resnet(x, w, layer), SMALL)


@pytest.mark.parametrize("modifiers", ["wseqconv(k=4) + mssar(1, 2)", "mssar(1, 2) + wseqconv(k=4)"])
def test_modified_and_recalibrated(modifiers):
    module = built(f"{RESNET} + {modifiers}", input=SMALL)

    def layer(x, w, width, relu=True):
        return replaced(x, w, width, 4, True, relu=relu)

    def recalibrate(x, w):
        return mssar(x, x, [1, 2], gates(w, [1, 2]), training=w.training)

    agree(module, lambda x, w: modified_resnet(x, w, layer, recalibrate), SMALL)


def bottleneck(x, w, middle):
    return F.relu(w.bn(w.conv(middle(w.conv_bn_relu(x)))) + x)


@pytest.mark.parametrize(("modifiers", "recalibrated_last"), [("mssar(2) + {}", False), ("{} + mssar(2)", True)])
def test_a_relu_behind_a_filled_slot_is_not_taken(modifiers, recalibrated_last):
    size = (16, 4, 4)
    module = net("bottleneck(4)", size, "+ " + modifiers.format("wseqconv(k = 2)"))

    def middle(x, w):
        out = replaced(x, w, 4, 2, True, relu=recalibrated_last)
        out = mssar(out, out, [2], gates(w, [2]), training=w.training)
        return out if recalibrated_last else F.relu(out)

    agree(module, lambda x, w: bottleneck(x, w, lambda out: middle(out, w)), size)


def test_groups_keep_their_bias():
    size = (4, 5, 5)
    module = net("conv(1x1, 4), conv(3x3, 4, bias = yes), relu, conv(3x3, 4, bias = yes)", size, "+ wseqconv(k = 2)")

    def biased(x, w, relu):
        view, outs = x, []
        for _ in range(2):
            kernel, bias = w.kernel(bias=True)
            out = F.conv2d(view, kernel, bias, padding=1)
            outs.append(F.relu(out) if relu else out)
            view = slide(view, outs[-1], 2)
        return torch.cat(outs, 1)

    agree(module, lambda x, w: biased(biased(w.conv(x), w, True), w, False), size)


def test_nothing_follows_in_a_dense_layer():
    size = (4, 5, 5)
    module = net("grow(2) { dense_layer(2) }", size, "+ wseqconv(k = 1)")

    def reference(x, w):
        for _ in range(2):
            hidden = F.relu(w.bn(w.bn_relu_conv(x)))
            x = torch.cat([x, replaced(hidden, w, 2, 1, True, norm=False, relu=False)], 1)
        return x

    agree(module, reference, size)


def test_followers_beyond_the_end_of_a_block():
    size = (2, 5, 5)
    text = (
        "block plain { conv(3x3, 4) }\n"
        "network t { input 2x5x5\n conv(1x1, 4), plain, bn, relu, plain, plain * 2, bn, plain, relu, bn\n }\n"
        "network modified = t + wseqconv(k = 2)"
    )
    shares = [(True, True), (False, False), (False, False), (True, False), (False, True)]

    def reference(x, w):
        x = w.conv(x)
        for norm, relu in shares:
            x = replaced(x, w, 4, 2, True, norm, relu)
        return w.bn(x)

    agree(built(text), reference, size)


def test_grouped_convolutions_are_replaced_where_subgroups_are_given():
    size = (4, 5, 6)
    module = net("conv(1x1, 4), conv(3x3, 8, groups = 2), bn, relu", size, "+ wseqconv(k = 4, c = 2)")
    agree(module, lambda x, w: wseqconv(w.conv(x), 4, groups(w, 2), c=2, training=w.training), size)


def test_what_is_left_alone():
    size = (4, 6, 6)
    steps = [
        "conv(3x3, 4)",  # reads the image
        "conv(3x3, 4, groups = 2)",
        "conv(5x5, 4)",
        "conv(3x3, 4, /2)",
        "conv(3x3, 3)",  # k does not divide the width
        "conv(3x3, 4)",  # k does not divide the input width
        "conv(3x3, 4)",
    ]
    module = net(", ".join(steps), size, "+ wseqconv(k = 2)")

    def reference(x, w):
        x = w.conv(w.conv(w.conv(x), groups=2))
        return replaced(w.conv(w.conv(w.conv(x, 2))), w, 4, 2, True, False, False)

    agree(module, reference, size)


@pytest.mark.parametrize("windowed", [False, True])
def test_convolutions_that_change_the_map_are_left_alone(windowed):
    size = (4, 6, 6)
    steps = "conv(1x1, 4), conv(3x3, 4, pad = 0), conv(3x3, 4, pad = 2), conv(3x3, 4)"
    module = net(steps, size, f"+ {'w' * windowed}seqconv(k = 2)")

    def reference(x, w):
        x = F.conv2d(F.conv2d(w.conv(x), w.kernel()), w.kernel(), padding=2)
        return replaced(x, w, 4, 2, windowed, False, False)

    agree(module, reference, size)
