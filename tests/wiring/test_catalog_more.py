"""The baselines of the papers' tables beyond those they start from, against plain torch."""

import pytest
import torch
import torch.nn.functional as F
from oracles.dpn import dual_path_stage
from oracles.pyramidnet import pyramid_shortcut, widths
from oracles.seqconv import downsampling_block, group_activation, group_raw, seqconv
from oracles.sparsenet import sources, sparse_block, sparse_view
from torch import nn

import explorer
from explorer.errors import ArchError

from .support import Weights, agree, agree_in_mode, built, mark_dropout, net, rand, same
from .test_baselines import bottleneck, preact
from .test_dependency import direct_reads, of_kind
from .test_recalibration import self_recalibrated
from .test_seqconv import begin, groups

SMALL = (3, 12, 12)
STAGES = ((1, 1), (2, 2), (4, 2))  # relative width and stride of the three stages for CIFAR


# --- ResNeXt and pre-activation networks for CIFAR


@pytest.mark.parametrize(("depth", "groups", "d"), [(11, 2, 3), (20, 3, 1)])
def test_resnext_for_cifar(depth, groups, d):
    module = built(f"cifar_resnext({depth}, {groups}, {d})", input=SMALL)
    assert [c.groups for c in of_kind(module, nn.Conv2d)].count(groups) == (depth - 2) // 3

    def reference(x, w):
        x = w.conv_bn_relu(x)
        for wide, stride in STAGES:
            for i in range((depth - 2) // 9):
                x = bottleneck(x, w, 256 * wide, stride if i == 0 else 1, groups)
        return w.head(x)

    agree(module, reference, SMALL)


def bottleneck_first(x, w, stride):
    """The branch of a pre-activation bottleneck, the stride on its first 1x1."""
    return w.bn_relu_conv(w.bn_relu_conv(w.conv(x, stride)))


def test_preact_bottleneck_with_the_stride_on_the_first_1x1():
    size = (8, 7, 6)
    module = net("preact_bottleneck(3, 2, strided = first)", size)
    agree(module, lambda x, w: preact(x, w, 12, 2, bottleneck_first), size)


@pytest.mark.parametrize("depth", [11, 29])
def test_preact_resnet(depth):
    module = built(f"preact_resnet({depth})", input=SMALL)
    assert [conv.stride for conv in of_kind(module, nn.Conv2d)].count((2, 2)) == 4

    def reference(x, w):
        x = w.conv(x)
        for wide, stride in STAGES:
            for i in range((depth - 2) // 9):
                x = preact(x, w, 64 * wide, stride if i == 0 else 1, bottleneck_first)
        return w.head(F.relu(w.bn(x)))

    agree(module, reference, SMALL)


# --- PyramidNet


def pyramid(x, w, width, stride):
    hidden = F.relu(w.bn(w.conv(w.bn(x))))
    out = w.bn(w.conv(F.relu(w.bn(w.conv(hidden, stride)))))
    return out + pyramid_shortcut(x, 4 * width, stride)


@pytest.mark.parametrize(("cin", "width", "stride"), [(5, 2, 1), (8, 2, 1), (8, 2, 2), (3, 1, 2)])
def test_pyramid_block(cin, width, stride):
    size = (cin, 6, 8)
    agree(net(f"pyramid_bottleneck({width}, {stride})", size), lambda x, w: pyramid(x, w, width, stride), size)


@pytest.mark.parametrize(("depth", "alpha"), [(11, 6), (20, 7), (20, 5)])
def test_pyramidnet(depth, alpha):
    n = (depth - 2) // 9
    module = built(f"pyramidnet({depth}, {alpha})", input=SMALL)

    def reference(x, w):
        x = w.bn(w.conv(x))
        for i, width in enumerate(widths(3 * n, alpha)):
            x = pyramid(x, w, width, 2 if i in (n, 2 * n) else 1)
        return w.head(F.relu(w.bn(x)))

    agree(module, reference, SMALL)


def test_widths_of_the_printed_pyramidnet():
    made = [conv.weight.shape[0] for conv in of_kind(built("pyramidnet-164-a270", input=(3, 4, 4)), nn.Conv2d)]
    assert made[0] == 16 and made[1::3] == widths(54, 270) == list(range(21, 287, 5))


# --- SparseNet


@pytest.mark.parametrize(("cin", "n", "k"), [(3, 1, 2), (4, 3, 2), (2, 4, 3), (5, 9, 1)])
@pytest.mark.parametrize("layer", ["plain_dense_layer", "dense_layer"])
def test_sparse_layers_read_their_view(cin, n, k, layer):
    module = net(f"grow({n}, sparse) {{ {layer}({k}) }}, bn", (cin, 3, 3))
    each = 1 if layer == "plain_dense_layer" else 2
    readers, made = of_kind(module, nn.BatchNorm2d)[::each], of_kind(module, nn.Conv2d)[each - 1 :: each]
    seen = direct_reads(module, rand(1, cin, 3, 3), readers, made)
    assert torch.equal(seen, sparse_view(cin, n, k))


def test_what_a_sparse_layer_reads():
    assert [sources(layer) for layer in (1, 2, 3, 4, 5, 9)] == [[0], [0, 1], [1, 2], [0, 2, 3], [1, 3, 4], [1, 5, 7, 8]]


@pytest.mark.parametrize(
    ("text", "counts", "bottleneck"),
    [
        ("densenet(19, 3, first = 6, reads = sparse)", 5, False),
        ("densenet(16, [2, 3, 4], first = 4, reads = sparse)", 4, False),
        ("densenet_bc(28, [2, 3, 4], reads = sparse)", 4, True),
    ],
)
def test_sparsenet(text, counts, bottleneck):
    module = built(text, input=SMALL)

    def reference(x, w):
        layer = (lambda v: w.bn_relu_conv(w.bn_relu_conv(v))) if bottleneck else w.bn_relu_conv
        x = w.conv(x)
        for block in range(3):
            x = sparse_block(x, [layer] * counts)
            if block < 2:
                x = F.avg_pool2d(w.bn_relu_conv(x), 2)
        return w.head(F.relu(w.bn(x)))

    agree(module, reference, SMALL)


@pytest.mark.parametrize("multi_stage", [True, False])
def test_recalibration_in_a_sparse_block(multi_stage):
    """Multi-stage recalibration reads what the layer read."""
    size = (4, 6, 6)
    origin = "" if multi_stage else ", from = it"
    module = net("grow(3, sparse) { plain_dense_layer(2) }", size, f"+ mssar(1, width = 2{origin})")
    read = [sum(4 if i == 0 else 2 for i in sources(layer)) for layer in (1, 2, 3)]
    gates = [m.weight.shape[1] for m in of_kind(module, nn.Conv2d) if m.kernel_size == (1, 1)][::2]
    assert gates == (read if multi_stage else [2, 2, 2])


def test_dense_is_not_sparse_and_equals_it_while_short():
    for n, alike in ((1, True), (2, False)):
        convs = [of_kind(net(f"grow({n}{how}) {{ conv(3x3, 2) }}, conv(1x1, 2)", (3, 4, 4)), nn.Conv2d)
                 for how in ("", ", sparse")]  # fmt: skip
        shapes = [[conv.weight.shape for conv in layers] for layers in convs]
        assert (shapes[0] == shapes[1]) == alike


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("densenet(40, 12, reads = current)", "reads of grow is all or sparse, not current"),
        ("densenet(40, 12, reads = 2)", "reads of grow is all or sparse, not 2"),
        ("seqresnet(k = 8, r = 1, fold = sparse)", "unknown step 'sparse'"),
    ],
)
def test_words_that_are_no_reading(text, message):
    with pytest.raises(ArchError, match=message):
        explorer.expand(text)


# --- growth rates of their own, and DenseNets for ImageNet


def dense_blocks(x, w, counts):
    for number, layers in enumerate(counts):
        for _ in range(layers):
            x = torch.cat([x, w.bn_relu_conv(w.bn_relu_conv(x))], 1)
        if number < len(counts) - 1:
            x = F.avg_pool2d(w.bn_relu_conv(x), 2)
    return w.head(F.relu(w.bn(x)))


def test_growth_rates_of_the_blocks():
    module = built("densenet_bc(16, [2, 3, 5])", input=SMALL)
    threes = [conv.weight.shape[0] for conv in of_kind(module, nn.Conv2d) if conv.kernel_size == (3, 3)]
    assert threes == [4, 2, 2, 3, 3, 5, 5]
    agree(module, lambda x, w: dense_blocks(w.conv(x), w, (2, 2, 2)), SMALL)


def test_densenet_for_imagenet():
    size = (3, 65, 64)
    module = built("imagenet_densenet(repeats = [1, 2, 1, 1], k = 4)", input=size)

    def reference(x, w):
        return dense_blocks(F.max_pool2d(w.conv_bn_relu(x, 2), 3, 2, 1), w, (1, 2, 1, 1))

    agree(module, reference, size)


# --- dual path networks


def dual_path(w, groups, stride=1):
    def unit(x):
        hidden = w.bn_relu_conv(x)
        hidden = w.conv(F.relu(w.bn(hidden)), stride, groups)
        return w.bn_relu_conv(hidden)

    return unit


def dual_stage(x, w, units, width, groups, stride):
    def project(x):
        return w.bn_relu_conv(x, stride)

    return dual_path_stage(x, project, [dual_path(w, groups, stride if i == 0 else 1) for i in range(units)], width)


@pytest.mark.parametrize(("stride", "groups", "inc"), [(1, 1, 2), (2, 3, 1), (1, 2, 3)])
def test_dual_path_units(stride, groups, inc):
    size = (5, 7, 6)
    steps = f"dual_path_first(6, 4, {inc}, {groups}, {stride}), dual_path(6, 4, {inc}, {groups}) * 2"
    module = net(steps, size)
    agree(module, lambda x, w: dual_stage(x, w, 3, 4, groups, stride), size)


@torch.no_grad()
def test_dual_path_network():
    size = (3, 64, 64)
    module = built("dpn(repeats = [1, 2, 1, 1], inc = [2, 3, 1, 2], r = 4, groups = 2, first = 5)", input=size).eval()
    weights, x = Weights(module), rand(2, *size)
    wanted = F.max_pool2d(weights.conv_bn_relu(x, 2), 3, 2, 1)
    for width, units, stride in ((256, 1, 1), (512, 2, 2), (1024, 1, 2), (2048, 1, 2)):
        wanted = dual_stage(wanted, weights, units, width, 2, stride)
    same(module(x), weights.head(F.relu(weights.bn(wanted))))
    assert not weights.left()


def test_recalibration_of_a_dual_path_unit_follows_its_3x3():
    size, scales = (4, 6, 6), [1, 2]
    module = net("dual_path(4, 3, 2, 2)", size, "+ mssar(1, 2)")

    def reference(x, w):
        middle = w.conv(F.relu(w.bn(w.bn_relu_conv(x))), groups=2)
        made = w.bn_relu_conv(self_recalibrated(middle, w, scales))
        return torch.cat([x[:, :3] + made[:, :3], x[:, 3:], made[:, 3:]], 1)

    agree(module, reference, size)


# --- plain networks


def biased(x, w, stride=1, pad=None):
    kernel, bias = w.kernel(bias=True)
    return F.relu(F.conv2d(x, kernel, bias, stride, kernel.shape[2] // 2 if pad is None else pad))


def network_in_network(x, w):
    for number in range(3):
        for _ in range(3):
            x = biased(x, w)
        if number == 0:
            x = F.max_pool2d(x, 3, 2, 1)
        if number == 1:
            x = F.avg_pool2d(x, 3, 2, 1)
    return x.mean((2, 3))


def all_convolutional(x, w):
    for number in range(9):
        x = biased(x, w, 2 if number in (2, 5) else 1, 0 if number == 6 else None)
    return x.mean((2, 3))


@pytest.mark.parametrize(
    ("name", "reference", "maps", "rates"),
    [
        ("nin", network_in_network, [(32, 32)] * 3 + [(16, 16)] * 3 + [(8, 8)] * 3, {0.5: 2}),
        (
            "all-cnn",
            all_convolutional,
            [(32, 32)] * 2 + [(16, 16)] * 3 + [(8, 8)] + [(6, 6)] * 3,
            {0.2: 1, 0.5: 2},
        ),
    ],
)
def test_plain_networks(name, reference, maps, rates):
    module, seen = built(name), []
    for conv in of_kind(module, nn.Conv2d):
        conv.register_forward_hook(lambda layer, given, out: seen.append(tuple(out.shape[2:])))
    agree_in_mode(module, reference, rand(1, 3, 32, 32), training=False)
    assert seen == maps
    assert all(mark_dropout(module, rate) == times for rate, times in rates.items())
    assert of_kind(module, nn.Dropout) == []


# --- SeqResNet with dense layers throughout (S2 of the ablation)


def dense_block(raw, activated, w, k):
    """The residual block of section 3.2 with equation (1) in place of equation (2) in both layers."""
    layer1, layer2 = groups(w, activated.shape[1] // k), groups(w, activated.shape[1] // k)
    views, raws = [seqconv(activated, k, layer1, training=w.training)], []
    for i, weights in enumerate(layer2):
        raws.append(group_raw(torch.cat(views, 1), weights, training=w.training) + raw[:, i * k : (i + 1) * k])
        views.append(group_activation(raws[-1], weights, w.training))
    return torch.cat(raws, 1), torch.cat(views[1:], 1)


def dense_down(activated, w, width, k):
    extension = groups(w, (width - activated.shape[1]) // k)
    extended = torch.cat([activated, seqconv(activated, k, extension, training=w.training)], 1)
    return downsampling_block(extended, width, k, k, [], {"weight": w.kernel(), **w.norm()}, training=w.training)


def test_dense_seqresnet():
    k, size = 8, (3, 8, 8)
    module = built(f"seqresnet(k = {k}, r = 1, N = [1, 2, 1], rate = 0, fold = aggregate)", input=size)

    def reference(x, w):
        streams = begin(w.conv_bn_relu(x), w, 16, k)
        for width, blocks in ((16, 1), (32, 2), (48, 1)):
            if width > 16:
                streams = dense_down(streams[1], w, width, k)
            for _ in range(blocks):
                streams = dense_block(*streams, w, k)
        return w.head(w.conv_bn_relu(streams[1]))

    agree(module, reference, size, batch=3)


def test_networks_of_the_seqconv_ablation():
    for name, same_as in (("s1", "seqresnet-k8-r4-n1"), ("s3", "seqresnet(k = 16, r = 4)")):
        assert explorer.expand(f"seqresnet-{name}").digest == explorer.expand(same_as).digest
    folds = {name: kinds(explorer.expand(f"seqresnet-{name}").root) for name in ("s2", "s4")}
    assert folds == {"s2": ["aggregate"], "s4": ["aggregate", "windowed"]}


def kinds(scope):
    """The kinds of group fold inside a scope, sorted."""
    found = {scope.kind} & {"aggregate", "windowed"}
    for entry in scope.body:
        if hasattr(entry.node, "body"):
            found |= set(kinds(entry.node))
    return sorted(found)
