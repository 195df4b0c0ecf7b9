"""MS-SAR and SE: alone, in residual blocks and in dense layers."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.mssar import (
    coordinate_sets_regional,
    coordinate_sets_sliding,
    dense_layer,
    dense_layer_recalibrated,
    mssar,
    se,
    set_means,
)
from torch import nn

from .support import Weights, agree, built, net, rand, same


def gate(w):
    return {"w1": w.matrix(), **w.norm("bn1"), "w2": w.matrix(), **w.norm("bn2")}


def gates(w, scales):
    return [gate(w) for _ in scales]


def self_recalibrated(x, w, scales, **strategy):
    return mssar(x, x, scales, gates(w, scales), training=w.training, **strategy)


def se_weights(w):
    first, second = w.take(nn.Linear), w.take(nn.Linear)
    return {"fc1_weight": first.weight, "fc1_bias": first.bias, "fc2_weight": second.weight, "fc2_bias": second.bias}


SQUARE, WIDE, TALL = (6, 7, 7), (6, 6, 9), (5, 9, 4)


@pytest.mark.parametrize(
    ("size", "scales"),
    [
        *[(SQUARE, scales) for scales in ([1], [2], [4], [1, 2, 4])],
        *[(WIDE, scales) for scales in ([2], [4, 1, 3])],
        *[(TALL, scales) for scales in ([3, 2], [4], [2, 2])],
        *[((6, 4, 4), scales) for scales in ([4], [1, 2, 4])],
        ((6, 4, 6), [4, 2]),
    ],
)
def test_regional(size, scales):
    module = net(f"mssar({', '.join(map(str, scales))})", size)
    assert Weights(module).kernel().shape[0] == size[0] // len(scales)
    agree(module, lambda x, w: self_recalibrated(x, w, scales), size)


@pytest.mark.parametrize("shape", ["square", "diamond"])
@pytest.mark.parametrize(
    ("size", "scales"), [(SQUARE, [2, 4]), (WIDE, [1]), (WIDE, [2, 3]), (TALL, [1, 4]), ((6, 4, 4), [1, 2, 4])]
)
def test_sliding(size, scales, shape):
    module = net(f"mssar({', '.join(map(str, scales))}, pool = sliding, shape = {shape})", size)
    agree(module, lambda x, w: self_recalibrated(x, w, scales, pool="sliding", shape=shape), size)


@pytest.mark.parametrize(
    ("options", "hidden"), [("", 3), (", ratio = 2", 3), (", ratio = 6", 1), (", ratio = 16", 1), (", width = 5", 5)]
)
def test_hidden_width(options, hidden):
    module = net(f"mssar(1, 2{options})", WIDE)
    assert Weights(module).kernel().shape[:2] == (hidden, 6)
    agree(module, lambda x, w: self_recalibrated(x, w, [1, 2]), WIDE)


def test_sliding_is_square_and_regional_is_default():
    inputs = rand(2, *SQUARE)
    for short, long in (("", ", pool = regional"), (", pool = sliding", ", pool = sliding, shape = square")):
        a, b = net(f"mssar(3{short})", SQUARE), net(f"mssar(3{long})", SQUARE)
        assert torch.equal(a(inputs), b(inputs))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.data())
def test_any_mssar(data):
    size = tuple(data.draw(st.integers(low, 8), label="size") for low in (1, 2, 2))
    scales = data.draw(st.lists(st.integers(1, min(size[1:])), min_size=1, max_size=3), label="scales")
    pool = data.draw(st.sampled_from(["regional", "sliding"]))
    shape = data.draw(st.sampled_from(["square", "diamond"]))
    module = net(f"mssar({', '.join(map(str, scales))}, pool = {pool}, shape = {shape})", size)
    agree(module, lambda x, w: self_recalibrated(x, w, scales, pool=pool, shape=shape), size)


def entries(x, K, pool):
    """One row for each image and coordinate set."""
    sets = coordinate_sets_regional(*x.shape[2:], K) if pool == "regional" else coordinate_sets_sliding(*x.shape[2:], K)
    return set_means(x, sets).flatten(0, 1)


@pytest.mark.parametrize("pool", ["regional", "sliding"])
@pytest.mark.parametrize("K", [1, 2, 4])
def test_running_statistics_count_every_coordinate_set_once(K, pool):
    module, x = net(f"mssar({K}, pool = {pool})", WIDE), rand(3, *WIDE)
    w = Weights(module)
    rows, norm = entries(x, K, pool) @ w.matrix().T, w.take(nn.BatchNorm2d)
    wanted = [0.9 * norm.running_mean + 0.1 * rows.mean(0), 0.9 * norm.running_var + 0.1 * rows.var(0)]
    module.train()(x)
    same(norm.running_mean, wanted[0])
    same(norm.running_var, wanted[1])


# --- in residual blocks


def branch_recalibrated(x, w, scales, stride=1):
    out = w.bn(w.conv(w.conv_bn_relu(x, stride)))
    return self_recalibrated(out, w, scales) if scales else out


def basic(x, w, scales, stride=1, project=False):
    out = branch_recalibrated(x, w, scales, stride)
    return F.relu(out + (w.bn(w.conv(x, stride)) if project else x))


@pytest.mark.parametrize("at", ["", ", at = recalibrate", ", at = output"])
def test_in_a_basic_block(at):
    size = (6, 7, 6)
    module = net("basic(6)", size, f"+ mssar(1, 2, 4{at})")
    agree(module, lambda x, w: basic(x, w, [1, 2, 4]), size)


def test_in_a_strided_basic_block():
    size = (4, 9, 7)
    module = net("basic(6, 2)", size, "+ mssar(2, 3)")
    agree(module, lambda x, w: basic(x, w, [2, 3], 2, True), size)


def resnet(x, w, scales, n=3):
    x = w.conv_bn_relu(x)
    for stage in range(3):
        for i in range(n):
            strided = stage > 0 and i == 0
            x = basic(x, w, scales[stage], 2 if strided else 1, strided)
    return w.head(x)


@pytest.mark.parametrize(
    ("modifier", "scales"),
    [
        ("mssar(1, 2)", [[1, 2]] * 3),
        ("mssar(1, 2, width = 2) on stage2", [[], [1, 2], []]),
        ("mssar(2) on stage1 + mssar(1, 3) on stage3", [[2], [], [1, 3]]),
    ],
)
def test_in_a_residual_network(modifier, scales):
    module = built(f"cifar_resnet(n=3, widths=[4, 6, 8]) + {modifier}", input=(3, 12, 12))
    agree(module, lambda x, w: resnet(x, w, scales), (3, 12, 12))


def bottleneck(x, w, middle=None, end=None):
    out = w.bn(w.conv(w.conv_bn_relu(x)))
    out = F.relu(middle(out) if middle else out)
    out = w.bn(w.conv(out))
    return F.relu((end(out) if end else out) + x)


def test_in_a_bottleneck_block():
    size = (8, 6, 6)
    module = net("bottleneck(2)", size, "+ mssar(1, 4)")
    agree(module, lambda x, w: bottleneck(x, w, middle=lambda y: self_recalibrated(y, w, [1, 4])), size)


def test_se_at_the_output_of_a_bottleneck_block():
    size = (8, 6, 6)
    module = net("bottleneck(2)", size, "+ se(ratio = 4, at = output)")
    agree(module, lambda x, w: bottleneck(x, w, end=lambda y: se(y, se_weights(w))), size)


def test_two_modifiers_act_from_left_to_right():
    size = (4, 6, 6)
    module = net("basic(4)", size, "+ mssar(2) + se(ratio = 2)")

    def reference(x, w):
        out = se(branch_recalibrated(x, w, [2]), se_weights(w))
        return F.relu(out + x)

    agree(module, reference, size)


# --- in dense layers


def dense_weights(w):
    return {
        **w.norm("bn1"),
        "conv1_weight": w.kernel(),
        **w.norm("bn2"),
        "conv2_weight": w.kernel(),
    }


def densenet(x, w, layers, step):
    x = w.conv(x)
    for block in range(3):
        for _ in range(layers):
            x = step(x, w)
        if block < 2:
            x = F.avg_pool2d(w.bn_relu_conv(x), 2)
    return w.head(F.relu(w.bn(x)))


def dense_step(multi_stage, scales=(1, 2)):
    def step(x, w):
        layer, weights = dense_weights(w), gates(w, scales)
        return dense_layer_recalibrated(x, layer, scales, weights, multi_stage, w.training)

    return step


@pytest.mark.parametrize("multi_stage", [True, False])
def test_in_a_densenet(multi_stage):
    origin = "" if multi_stage else ", from = it"
    module = built(f"densenet_bc(depth=16, k=4) + mssar(1, 2{origin})", input=(3, 12, 12))
    first = module.get_submodule("dense1.layer2")
    widths = [tuple(m.weight.shape[:2]) for m in first.modules() if isinstance(m, nn.Conv2d)]
    read = 12 if multi_stage else 4
    assert widths == [(16, 12), (4, 16), *[(2, read), (4, 2)] * 2]
    agree(module, lambda x, w: densenet(x, w, 2, dense_step(multi_stage)), (3, 12, 12))


def test_multi_stage_reads_before_the_batch_norm():
    size = (5, 6, 6)
    module = net("grow(2) { plain_dense_layer(3) }", size, "+ mssar(1, 3, ratio = 2)")

    def reference(x, w):
        for _ in range(2):
            new = w.bn_relu_conv(x)
            x = torch.cat([x, mssar(new, x, [1, 3], gates(w, [1, 3]), training=w.training)], 1)
        return x

    agree(module, reference, size)


def test_se_in_a_dense_layer():
    size = (5, 4, 4)
    module = net("grow(2) { dense_layer(4) }", size, "+ se(ratio = 2, from = it)")

    def reference(x, w):
        for _ in range(2):
            new = dense_layer(x, dense_weights(w), w.training)
            x = torch.cat([x, se(new, se_weights(w))], 1)
        return x

    agree(module, reference, size)


# --- squeeze and excitation


@pytest.mark.parametrize(("ratio", "hidden"), [(2, 3), (3, 2), (16, 1)])
def test_se(ratio, hidden):
    module = net(f"se({ratio})", WIDE)
    assert Weights(module).take(nn.Linear).weight.shape == (hidden, 6)
    agree(module, lambda x, w: se(x, se_weights(w)), WIDE)


def shapes(module, kind, name):
    return [tuple(getattr(m, name).shape) for m in module.modules() if isinstance(m, kind)]


def test_one_scale_and_se_differ_by_biases_and_batch_norm():
    size = (32, 6, 5)
    one, squeeze = net("mssar(1, ratio = 16)", size), net("se(ratio = 16)", size)
    linear = [(2, 32), (32, 2)]
    assert [shape[:2] for shape in shapes(one, nn.Conv2d, "weight")] == shapes(squeeze, nn.Linear, "weight") == linear
    weights = sum(a * b for a, b in linear)
    assert sum(p.numel() for p in one.parameters()) == weights + sum(2 * out for out, _ in linear)
    assert sum(p.numel() for p in squeeze.parameters()) == weights + sum(out for out, _ in linear)
    assert shapes(one, nn.BatchNorm2d, "weight") == shapes(squeeze, nn.Linear, "bias") == [(2,), (32,)]


@torch.no_grad()
def test_one_scale_is_se_where_batch_norm_only_shifts():
    size = (32, 6, 5)
    one, squeeze = net("mssar(1, ratio = 16)", size).eval(), net("se(ratio = 16)", size, seed=3).eval()
    a, b = Weights(one), Weights(squeeze)
    for _ in range(2):
        linear, norm = b.take(nn.Linear), a.take(nn.BatchNorm2d)
        a.matrix().copy_(linear.weight)
        norm.running_mean.zero_()
        norm.running_var.fill_(1 - norm.eps)
        norm.weight.fill_(1)
        norm.bias.copy_(linear.bias)
    same(one(rand(3, *size)), squeeze(rand(3, *size)))
