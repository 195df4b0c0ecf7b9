"""SeqConv and WSeqConv: layers, the two-stream block, down-sampling and whole networks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.seqconv import (
    downsampling_block,
    group_activation,
    group_raw,
    residual_block,
    seqconv,
    slide,
    wseqconv,
)
from torch import nn

import explorer

from .support import agree, agree_in_mode, built, mark_dropout, net, rand

ORACLES = {"aggregate": seqconv, "windowed": wseqconv}


def group(w, bottleneck=False, norm=True):
    reduced = {"reduce_weight": w.kernel(), **w.norm("reduce_bn")} if bottleneck else {}
    return {**reduced, "weight": w.kernel(), **(w.norm() if norm else {})}


def groups(w, number, bottleneck=False):
    return [group(w, bottleneck) for _ in range(number)]


# --- layers


def layer(fold, width, k, bottleneck=False, c=1):
    return f"{fold}({width}, {k}) {{ group({'yes' if bottleneck else 'no'}, {c}) }}"


@pytest.mark.parametrize("fold", ["aggregate", "windowed"])
@pytest.mark.parametrize(
    ("cin", "width", "k", "bottleneck", "c"),
    [
        (4, 6, 2, False, 1),
        (6, 4, 2, False, 1),
        (2, 8, 2, False, 1),  # the window is one group wide
        (4, 4, 4, False, 1),
        (3, 4, 1, False, 1),
        (4, 8, 4, False, 2),
        (4, 6, 2, True, 1),
        (2, 6, 2, True, 1),
        (4, 12, 4, True, 2),
        (4, 8, 4, True, 4),
    ],
)
def test_layer(fold, cin, width, k, bottleneck, c):
    size = (cin, 5, 4)
    module = net(layer(fold, width, k, bottleneck, c), size)

    def reference(x, w):
        return ORACLES[fold](x, k, groups(w, width // k, bottleneck), bottleneck, c, w.training)

    agree(module, reference, size)


def test_dense_layer_on_an_input_that_k_does_not_divide():
    size = (3, 5, 4)
    agree(net(layer("aggregate", 6, 2), size), lambda x, w: seqconv(x, 2, groups(w, 3), training=w.training), size)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.data())
def test_any_layer(data):
    fold, bottleneck = data.draw(st.sampled_from(list(ORACLES))), data.draw(st.booleans())
    c = data.draw(st.sampled_from([1, 1, 2]), label="c")
    k = c * data.draw(st.integers(1, 3), label="k / c")
    number, window = data.draw(st.integers(1, 4), label="groups"), data.draw(st.integers(1, 4), label="window")
    size = (window * k, 3, 4)
    module = net(layer(fold, number * k, k, bottleneck, c), size)

    def reference(x, w):
        return ORACLES[fold](x, k, groups(w, number, bottleneck), bottleneck, c, w.training)

    agree(module, reference, size)


# --- residual and down-sampling blocks


def keep(x):
    return x


def double(x):
    return 2 * x


def two_streams(x, k, weights, bottleneck, c, training):
    """A dense layer of which the values before batch norm and ReLU are kept: raw and activated."""
    raw, views = [], [x]
    for group_weights in weights:
        raw.append(group_raw(torch.cat(views, 1), group_weights, bottleneck, c, training))
        views.append(group_activation(raw[-1], group_weights, training))
    return torch.cat(raw, 1), torch.cat(views[1:], 1)


def dropped_block(raw, activated, k, layer1, layer2, bottleneck, training, drop):
    """The residual block with `drop` before each of its layers."""
    view = drop(wseqconv(drop(activated), k, layer1, bottleneck, 1, training))
    raws, outs = [], []
    for i, weights in enumerate(layer2):
        raws.append(group_raw(view, weights, bottleneck, 1, training) + raw[:, i * k : (i + 1) * k])
        outs.append(group_activation(raws[-1], weights, training))
        view = slide(view, outs[-1], k)
    return torch.cat(raws, 1), torch.cat(outs, 1)


def block(raw, activated, w, k, bottleneck=False, c=1, drop=keep):
    number = activated.shape[1] // k
    layers = groups(w, number, bottleneck), groups(w, number, bottleneck)
    if drop is keep:
        return residual_block(raw, activated, k, *layers, bottleneck, c, w.training)
    return dropped_block(raw, activated, k, *layers, bottleneck, w.training, drop)


def down(activated, w, width, k, next_k, bottleneck=False, c=1, next_c=1, drop=keep):
    extension = groups(w, (width - activated.shape[1]) // k, bottleneck)
    downsize = {"weight": w.kernel(), **w.norm()}
    if drop is not keep:
        new = wseqconv(drop(activated), k, extension, bottleneck, c, w.training)
        activated, extension = torch.cat([activated, new], 1), []
    arguments = (activated, width, k, next_k, extension, downsize, bottleneck, c, next_c)
    return downsampling_block(*arguments, training=w.training)


def begin(x, w, width, k, bottleneck=False, c=1):
    return two_streams(x, k, groups(w, width // k, bottleneck), bottleneck, c, w.training)


@pytest.mark.parametrize(
    ("width", "k", "bottleneck", "c"),
    [(6, 2, False, 1), (4, 4, False, 1), (4, 1, False, 1), (8, 4, False, 2), (6, 2, True, 1), (8, 4, True, 2)],
)
def test_residual_blocks(width, k, bottleneck, c):
    size, word = (3, 4, 5), "yes" if bottleneck else "no"
    first = f"aggregate({width}, {k}) {{ first_group({word}) }}"
    module = net(f"{first}\n seq_block({k}, {c}, {word}) * 2", size)

    def reference(x, w):
        raw, activated = begin(x, w, width, k, bottleneck)
        raw, activated = block(raw, activated, w, k, bottleneck, c)
        return block(raw, activated, w, k, bottleneck, c)[1]

    agree(module, reference, size)


@pytest.mark.parametrize(("word", "second"), [("no", [True] * 4), ("yes", [False, True] * 4)])
def test_second_layer_starts_at_zero(word, second):
    module = explorer.build(f"seqresnet(k=4, r=1, N=1, bottleneck={word})", input=(3, 8, 8))
    layers = module.get_submodule("stage1").modules()
    zero = [not m.weight.any() for m in layers if isinstance(m, nn.Conv2d)]
    assert zero == [False] * len(second) + second
    outside = [name for name, p in module.named_parameters() if p.dim() == 4 and not p.any()]
    assert sum(name.startswith("stage") for name in outside) == len(outside) == 4 + 8 + 12


@pytest.mark.parametrize(
    ("width", "k", "next_k", "c", "next_c", "bottleneck"),
    [(8, 2, 4, 1, 1, False), (8, 2, 2, 1, 1, True), (4, 2, 2, 1, 1, False), (12, 4, 4, 2, 2, True)],
)
def test_down_sampling(width, k, next_k, c, next_c, bottleneck):
    size, word = (3, 5, 6), "yes" if bottleneck else "no"
    module = net(
        f"aggregate(4, {k}) {{ first_group({word}, {c}) }}\n"
        f"seq_down({width}, {k}, {next_k}, {c}, {next_c}, {word})\n"
        f"seq_block({next_k}, {next_c}, {word})",
        size,
    )

    def reference(x, w):
        _, activated = begin(x, w, 4, k, bottleneck, c)
        raw, activated = down(activated, w, width, k, next_k, bottleneck, c, next_c)
        return block(raw, activated, w, next_k, bottleneck, next_c)[1]

    agree(module, reference, size)


# --- whole networks


def seqresnet(x, w, k, r, N, bottleneck, drop=keep):
    streams = begin(w.conv_bn_relu(x), w, 16 * r, k, bottleneck)
    for stage, width in enumerate((16 * r, 32 * r, 48 * r)):
        if stage:
            streams = down(streams[1], w, width, k, k, bottleneck, drop=drop)
        for _ in range(N[stage]):
            streams = block(*streams, w, k, bottleneck, drop=drop)
    return w.head(w.conv_bn_relu(drop(streams[1])))


@pytest.mark.parametrize(("k", "N", "bottleneck"), [(8, 2, False), (16, 1, True)])
def test_cifar_network(k, N, bottleneck):
    size, word = (3, 8, 8), "yes" if bottleneck else "no"
    module = built(f"seqresnet(k={k}, r=1, N={N}, bottleneck={word}, rate=0)", input=size)
    agree(module, lambda x, w: seqresnet(x, w, k, 1, [N] * 3, bottleneck), size, batch=3)


def test_blocks_of_each_stage():
    size = (3, 8, 8)
    module = built("seqresnet(k=16, r=1, N=[1, 2, 1], rate=0)", input=size)
    agree(module, lambda x, w: seqresnet(x, w, 16, 1, (1, 2, 1), False), size, batch=3)


def test_dropout_is_before_every_layer_but_the_first_and_before_the_last_convolution():
    size = (3, 8, 8)
    module = built("seqresnet(k=16, r=1, N=1)", input=size)
    inputs = rand(3, *size)
    agree_in_mode(module, lambda x, w: seqresnet(x, w, 16, 1, [1] * 3, False), inputs, training=False)
    assert mark_dropout(module, 0.1) == 3 * 2 + 2 + 1
    agree(module, lambda x, w: seqresnet(x, w, 16, 1, [1] * 3, False, double), size, batch=3)


def imagenet_seqresnet(x, w, width, N, c, k):
    x = w.conv_bn_relu(w.conv_bn_relu(x, 2))
    streams = begin(x, w, width, k[0], True, c[0])
    before = (k[0], c[0])
    for stage in range(4):
        streams = down(streams[1], w, width << stage, before[0], k[stage], True, before[1], c[stage])
        for _ in range(N[stage]):
            streams = block(*streams, w, k[stage], True, c[stage])
        before = (k[stage], c[stage])
    return w.head(w.conv_bn_relu(streams[1]))


def test_imagenet_network():
    module = built(
        "imagenet_seqresnet(w=8, N=[1, 1, 2, 1], c=[1, 2, 4, 2], k=[2, 4, 8, 16], classes=5)", input=(3, 64, 64)
    )
    arguments = (8, [1, 1, 2, 1], [1, 2, 4, 2], [2, 4, 8, 16])
    agree(module, lambda x, w: imagenet_seqresnet(x, w, *arguments), (3, 64, 64), batch=3)
