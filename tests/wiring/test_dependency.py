"""What every output of a built module depends on, read off its Jacobian in evaluation mode."""

import pytest
import torch
from oracles import dependency
from torch import nn

from .support import net, rand

IMAGES = 16  # a ReLU that is shut for one image is open for another


def input_gradients(module, x, weight):
    """|d (output . weight) / d x|, summed over the images: [channels, rows, columns]."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((module(x) * weight).sum(), x)
    return gradient.abs().sum(0)


def channels_read(module, size):
    """bool [output channel, input channel]"""
    x = rand(IMAGES, *size)
    shape = module.eval()(x).shape[1:]
    rows = []
    for channel in range(shape[0]):
        weight = torch.zeros(shape, dtype=x.dtype)
        weight[channel] = rand(*shape[1:], seed=channel)
        rows.append(input_gradients(module, x, weight).sum((1, 2)) != 0)
    return torch.stack(rows)


def positions_read(module, size, channels=slice(None)):
    """bool [output position, input position], positions in rows; of the given output channels."""
    x = rand(IMAGES, *size)
    shape = module.eval()(x).shape[1:]
    rows = []
    for position in range(shape[1] * shape[2]):
        weight = torch.zeros(shape, dtype=x.dtype)
        weight.flatten(1)[channels, position] = rand(shape[0], seed=position)[channels]
        rows.append(input_gradients(module, x, weight).sum(0).flatten() != 0)
    return torch.stack(rows)


def chained(*relations):
    """The dependency through several steps, the last one first."""
    total = relations[0]
    for relation in relations[1:]:
        total = (total.double() @ relation.double()) > 0
    return total


def direct_reads(module, x, readers, cut):
    """What each reader's input holds: channels of x, then of every cut layer, whose output is made independent."""
    leaves, inputs = [], []

    def replace(layer, arguments, output):
        leaves.append(rand(*output.shape, seed=len(leaves)).requires_grad_())
        return leaves[-1]

    hooks = [layer.register_forward_hook(replace) for layer in cut]
    hooks += [layer.register_forward_pre_hook(lambda layer, given: inputs.append(given[0])) for layer in readers]
    x = x.clone().requires_grad_()
    module.eval()(x)
    for hook in hooks:
        hook.remove()
    assert len(leaves) == len(cut) and len(inputs) == len(readers)
    return torch.stack([held(view, [x, *leaves]) for view in inputs])


def held(view, sources):
    loss = (view * rand(*view.shape)).sum()
    gradients = torch.autograd.grad(loss, sources, allow_unused=True, retain_graph=True)
    rows = [torch.zeros_like(s) if g is None else g for s, g in zip(sources, gradients, strict=True)]
    return torch.cat([row.abs().sum((0, 2, 3)) != 0 for row in rows])


def of_kind(module, kind):
    return [layer for layer in module.modules() if isinstance(layer, kind)]


def sums(module):
    return [layer for layer in module.modules() if type(layer).__name__ == "Add"]


# --- SeqConv


FOLDS = {"aggregate": False, "windowed": True}


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize("bottleneck", ["no", "yes"])
@pytest.mark.parametrize(("cin", "G", "k"), [(4, 4, 2), (2, 3, 2), (6, 2, 3), (3, 5, 1)])
def test_groups_read_their_view(fold, bottleneck, cin, G, k):
    module = net(f"{fold}({G * k}, {k}) {{ group({bottleneck}) }}", (cin, 3, 4))
    each = 2 if bottleneck == "yes" else 1
    readers, last = of_kind(module, nn.Conv2d)[::each], of_kind(module, nn.ReLU)[each - 1 :: each]
    reads = direct_reads(module, rand(1, cin, 3, 4), readers, last)
    assert torch.equal(reads, dependency.direct_view(cin, G, k, FOLDS[fold])[:, : reads.shape[1]])
    assert not dependency.direct_view(cin, G, k, FOLDS[fold])[:, reads.shape[1] :].any()


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize(("cin", "G", "k"), [(4, 3, 2), (2, 3, 2), (6, 2, 1)])
def test_groups_of_a_modified_convolution(fold, cin, G, k):
    modifier = "wseqconv" if FOLDS[fold] else "seqconv"
    module = net(f"conv(1x1, {cin}), conv(3x3, {G * k}), bn, relu", (cin, 3, 3), f"+ {modifier}(k = {k})")
    start, *readers = of_kind(module, nn.Conv2d)
    reads = direct_reads(module, rand(1, cin, 3, 3), readers, [start, *of_kind(module, nn.ReLU)])
    view = dependency.direct_view(cin, G, k, FOLDS[fold])
    assert not reads[:, :cin].any()
    assert torch.equal(reads[:, cin:], view)


def test_second_layer_of_a_residual_block_reads_the_first():
    C, G, k = 6, 3, 2
    module = net(f"aggregate({C}, {k}) {{ first_group }}\n seq_block({k})", (3, 3, 4))
    reads = direct_reads(module, rand(1, 3, 3, 4), of_kind(module, nn.Conv2d), of_kind(module, nn.ReLU))
    window = dependency.direct_view(C, G, k, windowed=True)
    first, second = 3 + C, 3 + 2 * C
    assert torch.equal(reads[G : 2 * G, 3 : 3 + 2 * C], window) and not reads[G : 2 * G, second:].any()
    assert torch.equal(reads[2 * G :, first:], window) and not reads[2 * G :, :first].any()


def test_shortcut_of_a_residual_block_is_the_raw_slice_of_the_group():
    G, k = 3, 2
    module = net(f"aggregate({G * k}, {k}) {{ first_group }}\n seq_block({k})", (3, 3, 4))
    convs = of_kind(module, nn.Conv2d)
    with torch.no_grad():
        for layer in convs[G:]:
            layer.weight.zero_()
    x, raw = rand(IMAGES, 3, 3, 4), []
    hooks = [layer.register_forward_hook(lambda layer, given, out: raw.append(out)) for layer in convs[:G]]
    out = module.eval()(x)
    for hook in hooks:
        hook.remove()
    norms = of_kind(module, nn.BatchNorm2d)[2 * G :]
    wanted = [torch.relu(norm(part)) for norm, part in zip(norms, raw, strict=True)]
    assert torch.equal(out, torch.cat(wanted, 1))


@pytest.mark.parametrize(("cin", "G", "k"), [(4, 3, 2), (2, 4, 2), (6, 2, 3)])
def test_channels_of_sequential_layers(cin, G, k):
    size = (cin, 3, 3)
    dense = net(f"aggregate({G * k}, {k}) {{ group }}", size)
    assert torch.equal(channels_read(dense, size), dependency.dense_seqconv_channels(cin, G, k))
    windowed = net(f"windowed({G * k}, {k}) {{ group }}", size)
    assert torch.equal(channels_read(windowed, size), dependency.windowed_seqconv_channels(cin, G, k))


@pytest.mark.parametrize("fold", FOLDS)
def test_reach_grows_by_one_convolution_with_every_group(fold):
    module, size = net(f"{fold}(6, 2) {{ group }}", (2, 5, 5)), (2, 5, 5)
    for i in range(3):
        reach = positions_read(module, size, slice(2 * i, 2 * i + 2))
        assert torch.equal(reach, dependency.conv_reach(5, 5, i + 1))


@pytest.mark.parametrize(("steps", "channels", "groups"), [
    ("conv(3x3, 8, groups = 4)", 8, 4),
    ("conv(3x3, 6, groups = 2), bn, relu", 6, 2),
    ("seq_down(8, 4, 2)", 8, 4),  # no extension: the down-sampling convolution alone
    ("seq_down(8, 4, 4, 1, 2)", 8, 4),
])  # fmt: skip
def test_grouped_convolutions(steps, channels, groups):
    size = (channels, 4, 4)
    assert torch.equal(channels_read(net(steps, size), size), dependency.grouped_channels(channels, groups))


def test_subgroups_split_the_3x3_only():
    size = (8, 3, 3)
    basic = channels_read(net("aggregate(4, 4) { group(no, 2) }", size), size)
    assert torch.equal(basic, dependency.grouped_channels(8, 2)[::2])
    assert channels_read(net("aggregate(4, 4) { group(yes, 2) }", size), size).all()


# --- GUNN


READS = {"current": True, "original": False}


@pytest.mark.parametrize("reads", READS)
@pytest.mark.parametrize(("N", "P", "M"), [(6, 3, 1), (7, 3, 1), (5, 5, 1), (5, 2, 2)])
def test_units_read_their_view(N, P, M, reads):
    module = net(f"gunn_layer({P}, 2, {M}, residual = no, reads = {reads})", (N, 3, 3))
    convs, norms = of_kind(module, nn.Conv2d), of_kind(module, nn.BatchNorm2d)
    seen = direct_reads(module, rand(1, N, 3, 3), convs[:: 3 * M], norms[3 * M - 1 :: 3 * M])
    assert torch.equal(seen, dependency.gunn_view(N, P, READS[reads]))


@pytest.mark.parametrize("reads", READS)
@pytest.mark.parametrize("projection", ["no", "yes"])
def test_units_with_a_shortcut_read_their_view(projection, reads):
    N, P = 7, 3
    module = net(f"gunn_layer({P}, 2, projection = {projection}, reads = {reads})", (N, 3, 3))
    each, convs = 4 if projection == "yes" else 3, of_kind(module, nn.Conv2d)
    for first in range(each - 2):
        seen = direct_reads(module, rand(1, N, 3, 3), convs[first::each], sums(module))
        assert torch.equal(seen, dependency.gunn_view(N, P, READS[reads]))


@pytest.mark.parametrize("name", ["gunn", "sunn"])
def test_segments_of_a_modified_convolution(name):
    N, P = 7, 3
    module = net(f"conv(3x3, {N}), bn", (N, 3, 3), f"+ {name}(parts = {P})")
    seen = direct_reads(module, rand(1, N, 3, 3), of_kind(module, nn.Conv2d), sums(module))
    assert torch.equal(seen, dependency.gunn_view(N, P, name == "gunn"))


@pytest.mark.parametrize("name", ["gunn", "sunn"])
def test_channels_of_gunn(name):
    module = net("conv(3x3, 5), bn", (5, 3, 3), f"+ {name}(parts = 2)")
    assert channels_read(module, (5, 3, 3)).all()


def segment_reach(module, N, P):
    """int [P, P]: how many columns away from the first an output segment still depends on an input segment."""
    cuts = [(i * N) // P for i in range(P + 1)]
    size = (N, 1, P + 2)
    x = rand(IMAGES, *size)
    reach = torch.zeros(P, P, dtype=torch.int64)
    for i in range(P):
        weight = torch.zeros(size, dtype=x.dtype)
        weight[cuts[i] : cuts[i + 1], :, 0] = 1 + rand(cuts[i + 1] - cuts[i], 1).abs()
        gradients = input_gradients(module.eval(), x, weight)
        for j in range(P):
            reach[i, j] = gradients[cuts[j] : cuts[j + 1]].sum((0, 1)).nonzero().max()
    return reach


@pytest.mark.parametrize(("N", "P"), [(6, 3), (7, 4), (4, 1)])
@pytest.mark.parametrize("options", ["", ", projection = yes"])
def test_reach_of_segments(N, P, options):
    gunn, sunn = dependency.gunn_reach(P)
    for reads, reach in (("current", gunn), ("original", sunn)):
        module = net(f"gunn_layer({P}, 3{options}, reads = {reads})", (N, 1, P + 2))
        assert torch.equal(segment_reach(module, N, P), reach)


@pytest.mark.parametrize("M", [1, 2])
def test_reach_of_stacked_triples(M):
    size = (3, 5, 5)
    assert torch.equal(positions_read(net(f"gunn_layer(1, 2, {M})", size), size), dependency.conv_reach(5, 5, M))


# --- MS-SAR


MAPS = [(3, 7, 7), (3, 6, 9), (3, 5, 3)]


@pytest.mark.parametrize("size", MAPS)
@pytest.mark.parametrize("scales", [[1], [2], [3], [2, 3]])
def test_regional(size, scales):
    module = net(f"mssar({', '.join(map(str, scales))}, width = 4)", size)
    assert torch.equal(positions_read(module, size), dependency.regional_dependency(*size[1:], scales))


@pytest.mark.parametrize("shape", ["square", "diamond"])
@pytest.mark.parametrize("size", MAPS)
@pytest.mark.parametrize("scales", [[1], [2], [2, 3]])
def test_sliding(size, scales, shape):
    steps = f"mssar({', '.join(map(str, scales))}, width = 4, pool = sliding, shape = {shape})"
    wanted = dependency.sliding_dependency(*size[1:], scales, shape)
    assert torch.equal(positions_read(net(steps, size), size), wanted)


def test_recalibration_reads_every_channel():
    size = (5, 4, 4)
    for steps in ("mssar(2, width = 4)", "mssar(2, width = 4, pool = sliding)", "se(1)"):
        assert channels_read(net(steps, size), size).all()


def test_se_reads_every_position():
    size = (3, 3, 4)
    assert positions_read(net("se(1)", size), size).all()


def test_recalibration_of_a_residual_block_follows_its_second_convolution():
    size = (3, 8, 6)
    module = net("basic(3)", size, "+ mssar(4, width = 4)")
    wanted = chained(dependency.regional_dependency(8, 6, [4]), dependency.conv_reach(8, 6, 2))
    assert torch.equal(positions_read(module, size), wanted)


@pytest.mark.parametrize("multi_stage", [True, False])
def test_recalibration_in_a_dense_layer(multi_stage):
    size = (3, 8, 6)
    origin = "" if multi_stage else ", from = it"
    module = net("grow(1) { dense_layer(3) }", size, f"+ mssar(4, width = 4{origin})")
    regions, reach = dependency.regional_dependency(8, 6, [4]), dependency.conv_reach(8, 6, 1)
    wanted = (regions | reach) if multi_stage else chained(regions, reach)
    assert torch.equal(positions_read(module, size, slice(3, 6)), wanted)
    assert torch.equal(positions_read(module, size, slice(0, 3)), torch.eye(48, dtype=torch.bool))
