"""The networks that the papers start from, against plain torch."""

import pytest
import torch
import torch.nn.functional as F
from oracles.mssar import dense_layer
from torch import nn

from .support import Weights, agree, agree_in_mode, built, mark_dropout, net, rand, same
from .test_recalibration import dense_weights, densenet

SMALL = (3, 12, 12)


# --- post-activation residual blocks


def shortcut_a(x, width, stride):
    """Every stride-th position, and zero channels behind."""
    x = x[:, :, ::stride, ::stride]
    return torch.cat([x, torch.zeros(x.shape[0], width - x.shape[1], *x.shape[2:], dtype=x.dtype)], 1)


def shortcut(x, w, width, stride, option):
    if x.shape[1] == width and stride == 1:
        return x
    return shortcut_a(x, width, stride) if option == "A" else w.bn(w.conv(x, stride))


def basic(x, w, width, stride, option):
    out = w.bn(w.conv(w.conv_bn_relu(x, stride)))
    return F.relu(out + shortcut(x, w, width, stride, option))


@pytest.mark.parametrize("option", ["A", "B"])
@pytest.mark.parametrize(("cin", "width", "stride"), [(4, 4, 1), (4, 6, 1), (4, 4, 2), (4, 6, 2)])
@pytest.mark.parametrize("side", [(6, 6), (7, 5)])
def test_basic_block(cin, width, stride, side, option):
    size = (cin, *side)
    module = net(f"basic({width}, {stride}, {option})", size)
    agree(module, lambda x, w: basic(x, w, width, stride, option), size)


@pytest.mark.parametrize("option", ["A", "B"])
def test_cifar_resnet(option):
    module = built(f"cifar_resnet(n=2, widths=[4, 6, 8], option={option})", input=SMALL)

    def reference(x, w):
        x = w.conv_bn_relu(x)
        for width, stride in ((4, 1), (6, 2), (8, 2)):
            x = basic(basic(x, w, width, stride, option), w, width, 1, option)
        return w.head(x)

    agree(module, reference, SMALL)


@pytest.mark.parametrize(("name", "option"), [("resnet56", "B"), ("resnet110", "A")])
def test_shortcut_of_a_catalog_network(name, option):
    module = built(name, input=SMALL)
    n = {"resnet56": 9, "resnet110": 18}[name]

    def reference(x, w):
        x = w.conv_bn_relu(x)
        for width, stride in ((16, 1), (32, 2), (64, 2)):
            for i in range(n):
                x = basic(x, w, width, stride if i == 0 else 1, option)
        return w.head(x)

    with torch.no_grad():
        weights, x = Weights(module.eval()), rand(2, *SMALL)
        same(module(x), reference(x, weights))
    assert not weights.left()


def bottleneck(x, w, out, stride=1, groups=1, strided="middle", option="B"):
    first, middle = (stride, 1) if strided == "first" else (1, stride)
    hidden = w.conv_bn_relu(w.conv_bn_relu(x, first), middle, groups)
    return F.relu(w.bn(w.conv(hidden)) + shortcut(x, w, out, stride, option))


@pytest.mark.parametrize("strided", ["middle", "first"])
@pytest.mark.parametrize(
    ("options", "given"),
    [
        ("", {"out": 16}),
        (", 2", {"out": 16, "stride": 2}),
        (", 2, out_width = 8, groups = 2", {"out": 8, "stride": 2, "groups": 2}),
        (", out_width = 6", {"out": 6}),
        (", 2, option = A", {"out": 16, "stride": 2, "option": "A"}),
    ],
)
def test_bottleneck_block(options, given, strided):
    size = (6, 7, 6)
    module = net(f"bottleneck(4{options}, strided = {strided})", size)
    agree(module, lambda x, w: bottleneck(x, w, strided=strided, **given), size)


def test_stride_stands_on_the_3x3_by_default():
    one, two = net("bottleneck(4, 2)", (6, 7, 6)), net("bottleneck(4, 2, strided = middle)", (6, 7, 6))
    x = rand(2, 6, 7, 6)
    assert torch.equal(one(x), two(x))


def imagenet_resnet(x, w, repeats, block):
    x = F.max_pool2d(w.conv_bn_relu(x, 2), 3, 2, 1)
    for stage, n in enumerate(repeats):
        for i in range(n):
            x = block(x, w, 64 << stage, 2 if stage and i == 0 else 1)
    return w.head(x)


IMAGENET = {
    "resnet18": ((2, 2, 2, 2), lambda x, w, width, s: basic(x, w, width, s, "B")),
    "resnet50": ((3, 4, 6, 3), lambda x, w, width, s: bottleneck(x, w, 4 * width, s)),
    "resnext50-32x4d": ((3, 4, 6, 3), lambda x, w, width, s: bottleneck(x, w, 4 * width, s, 32)),
    "imagenet_resnext(repeats=[3, 4, 6, 3], strided=first)": (
        (3, 4, 6, 3),
        lambda x, w, width, s: bottleneck(x, w, 4 * width, s, strided="first"),
    ),
}


@pytest.mark.parametrize("name", IMAGENET)
@torch.no_grad()
def test_imagenet_resnet(name):
    repeats, block = IMAGENET[name]
    module, x = built(name, input=(3, 64, 64)).eval(), rand(1, 3, 64, 64)
    weights = Weights(module)
    same(module(x), imagenet_resnet(x, weights, repeats, block))
    assert not weights.left()


# --- pre-activation residual blocks


def preact(x, w, width, stride, branch):
    """A projection reads the activated tensor, an identity the raw one."""
    activated = F.relu(w.bn(x))
    out = branch(activated, w, stride)
    return out + (x if x.shape[1] == width and stride == 1 else w.conv(activated, stride))


def basic_branch(x, w, stride, drop=lambda x: x):
    return w.conv(drop(F.relu(w.bn(w.conv(x, stride)))))


def bottleneck_branch(x, w, stride):
    return w.bn_relu_conv(w.bn_relu_conv(w.conv(x), stride))


@pytest.mark.parametrize(("width", "stride"), [(4, 1), (6, 1), (4, 2), (6, 2)])
def test_preact_basic_block(width, stride):
    size = (4, 7, 6)
    module = net(f"preact_basic({width}, {stride})", size)
    agree(module, lambda x, w: preact(x, w, width, stride, basic_branch), size)


@pytest.mark.parametrize(("w", "stride", "expansion"), [(2, 1, 4), (3, 1, 4), (2, 2, 4), (4, 1, 2)])
def test_preact_bottleneck_block(w, stride, expansion):
    size, out = (8, 7, 6), expansion * w
    module = net(f"preact_bottleneck({w}, {stride}, {expansion})", size)
    agree(module, lambda x, weights: preact(x, weights, out, stride, bottleneck_branch), size)


def wide(x, w, depth, k, drop=lambda x: x):
    x = w.conv(x)
    for width, stride in ((16 * k, 1), (32 * k, 2), (64 * k, 2)):
        for i in range((depth - 4) // 6):
            x = preact(x, w, width, stride if i == 0 else 1, lambda x, w, s: basic_branch(x, w, s, drop))
    return w.head(F.relu(w.bn(x)))


@pytest.mark.parametrize(("depth", "k"), [(28, 1), (10, 2)])
def test_wide_resnet(depth, k):
    agree(built(f"wrn({depth}, {k})", input=SMALL), lambda x, w: wide(x, w, depth, k), SMALL)


# --- dense layers


def test_dense_layer():
    size = (5, 4, 6)
    module = net("grow(2) { dense_layer(3) }", size)

    def reference(x, w):
        for _ in range(2):
            x = torch.cat([x, dense_layer(x, dense_weights(w), w.training)], 1)
        return x

    agree(module, reference, size)


def bc_step(x, w):
    return torch.cat([x, w.bn_relu_conv(w.bn_relu_conv(x))], 1)


def plain_step(x, w):
    return torch.cat([x, w.bn_relu_conv(x)], 1)


@pytest.mark.parametrize(
    ("text", "count", "step", "widths"),
    [
        ("densenet_bc(16, 4)", 2, bc_step, (8, 8, 8)),
        ("densenet_bc(10, 3, theta=1)", 1, bc_step, (6, 9, 12)),
        ("densenet(13, 3, first=5)", 3, plain_step, (5, 14, 23)),
    ],
)
def test_densenet(text, count, step, widths):
    module = built(text, input=SMALL)
    convs = [layer.weight for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    each = 2 if step is bc_step else 1
    starts = [convs[i].shape[0] for i in (0, 1 + each * count, 2 + 2 * each * count)]
    assert tuple(starts) == widths
    agree(module, lambda x, w: densenet(x, w, count, step), SMALL)


# --- a plain network, and what is random


@torch.no_grad()
def test_vgg16_in_evaluation():
    module, x = built("vgg16", input=(3, 32, 32)).eval(), rand(1, 3, 32, 32)
    w = Weights(module)
    wanted = x
    for number in (2, 2, 3, 3, 3):
        for _ in range(number):
            wanted = F.relu(w.conv(wanted, bias=True))
        wanted = F.max_pool2d(wanted, 2)
    same(module(x), w.linear(F.relu(w.linear(F.relu(w.linear(wanted.flatten(1)))))))
    assert not w.left()


def test_dropout_of_a_wide_resnet_is_between_its_convolutions():
    module = built("wrn(16, 1, rate=0.3)", input=SMALL)
    agree_in_mode(module, lambda x, w: wide(x, w, 16, 1), rand(2, *SMALL), training=False)
    assert mark_dropout(module, 0.3) == 6
    agree(module, lambda x, w: wide(x, w, 16, 1, lambda x: 2 * x), SMALL)


def test_dropout_is_nothing_in_evaluation_and_keeps_the_mean_in_training():
    module, x = net("dropout(0.25)", (3, 40, 40)), rand(4, 3, 40, 40)
    assert torch.equal(module.eval()(x), x)
    out = module.train()(x)
    kept = out != 0
    same(out[kept], x[kept] / 0.75)
    assert abs(kept.double().mean() - 0.75) < 0.02


def test_rate_zero_has_no_dropout():
    for text in ("wrn(16, 1)", "seqresnet(k=16, r=1, N=1, rate=0)"):
        rates = [m.p for m in built(text, input=SMALL).modules() if isinstance(m, nn.Dropout)]
        assert not any(rates)
