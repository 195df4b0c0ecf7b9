"""Depth and receptive field of every channel, against the built module, plain enumeration and the papers' equations."""

import numpy as np
import pytest
import sympy
import torch
from hypothesis import HealthCheck, given, settings
from oracles import dependency
from strategies import networks
from torch import nn

import explorer
from explorer.analysis.channels import CHANNELS, image
from explorer.analysis.reach import Distribution, Walk, reach_of, stages_of
from explorer.blocks.graph import flatten
from explorer.blocks.ops import PRIMITIVES
from explorer.grammar.library import Library, shipped
from explorer.nn.layers import LAYERS


def text_of(steps, size=(3, 9, 9), modifiers=""):
    text = f"network t {{ input {'x'.join(map(str, size))}\n {steps}\n}}"
    return text + (f"\nnetwork modified = t {modifiers}" if modifiers else "")


def channels_of(text):
    """The path of every output channel of a network, one by one."""
    root = explorer.expand(text).root
    runs, *_ = Walk().outputs(root, image([root.shapes[i] for i in root.ports]))
    return [path for number, path in runs for _ in range(number)]


def depths(text):
    return [None if path is None else (path.longest, path.shortest) for path in channels_of(text)]


def sides(text):
    return [path.window and path.window.side for path in channels_of(text)]


# --- by enumeration: every edge between two channels, every path


def read_by(op, channel, source):
    """The channels of input `source` that an output channel reads."""
    a, every = op.attrs, range(op.ins[source][0])
    if op.kind == "linear":
        return every
    if op.kind == "conv":
        size = len(every) // a["groups"]
        group = channel // (a["width"] // a["groups"])
        return range(group * size, (group + 1) * size)
    if op.kind == "slice":
        return [channel + a["start"]]
    if op.kind == "pad":
        return [channel] if channel in every else []
    if op.kind == "shuffle":
        members = len(every) // a["groups"]
        return [next(c for c in every if (c % members) * a["groups"] + c // members == channel)]
    if op.kind == "concat":
        before = sum(shape[0] for shape in op.ins[:source])
        return [channel - before] if 0 <= channel - before < len(every) else []
    if op.kind == "update":
        part = a["start"] <= channel < a["start"] + op.ins[1][0]
        return [[] if part else [channel], [channel - a["start"]] if part else []][source]
    if op.kind == "flatten":
        return [channel // (op.ins[0][1] * op.ins[0][2])]
    return [channel]


def enumerated(text):
    """Longest and shortest path to every output channel, channel by channel."""
    flat, inputs, outputs = flatten(explorer.expand(text))
    values = {i: {0: {(0, 0)}} for i in inputs}
    values = {inputs[0]: [(0, 0)] * explorer.expand(text).input[0]}
    for node in flat:
        step = node.op.kind in ("conv", "linear")
        made = []
        for channel in range(node.op.out[0]):
            read = [values[v][c] for s, v in enumerate(node.inputs) for c in read_by(node.op, channel, s)]
            known = [x for x in read if x is not None]
            long, short = [x[0] for x in known], [x[1] for x in known]
            made.append((max(long) + step, min(short) + step) if known else None)
        values[node.output] = made
    return values[outputs[0]]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks())
def test_depth_of_any_network_by_enumeration(text):
    headless = text.replace("\n  head: gap, linear(3)", "")
    assert depths(headless) == enumerated(headless)
    cost = explorer.cost(text)
    assert max(x[0] for x in depths(text)) == cost.chain


@pytest.mark.parametrize("net", ["gunn15", "seqresnet-k8-r4-n1", "resnet110", "densenet_bc(depth = 22, k = 6) + se"])
def test_depth_of_networks_by_enumeration(net):
    assert depths(net) == enumerated(net)


@pytest.mark.parametrize("steps", [
    "pad(6), shuffle(3), conv(1x1, 6, groups = 3), shuffle(2), shift(1), conv(3x3, 4, groups = 2)",
    "concat { it | conv(1x1, 3) | conv(1x1, 4), conv(1x1, 2) }, slice(2, 7), conv(3x3, 10, groups = 5)",
    "pad(8), conv(3x3, 8, groups = 8), affine(2, 1), droppath(0.5), shake { it | conv(1x1, 8, groups = 2) }",
    "concat { it | conv(1x1, 3), relu }, fractaljoin(0.1, 2) { it | shuffle(2) }, flatten",
])  # fmt: skip
def test_depth_of_single_ops_by_enumeration(steps):
    assert depths(text_of(steps)) == enumerated(text_of(steps))


# --- by the module: scale every convolution by t, and the output grows as t to the power of the path


def powers(text, factor):
    """The exponent with which every output channel follows a factor on all convolutions."""
    module = explorer.build(text).double().eval()
    for parameter in module.parameters():
        parameter.data.fill_(1)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda layer, given, made: made * layer.factor)
        if isinstance(layer, nn.BatchNorm2d):
            layer.bias.data.zero_()

    def at(value):
        for layer in module.modules():
            layer.factor = value
        with torch.no_grad():
            return module(torch.ones(1, *module.graph.input, dtype=torch.float64)).flatten(2).sum((0, 2))

    growth = torch.log2(at(2 * factor) / at(factor))
    assert (growth - growth.round()).abs().max() < 0.01
    return growth.round().int().tolist()


@pytest.mark.parametrize("steps", [
    "gunn_layer(3, 2)", "gunn_layer(3, 1, projection = yes)", "gunn_layer(3, 1, reads = original)",
    "aggregate(6, 2) { group }", "windowed(6, 3) { group }", "basic(5, 2)", "preact_basic(3)",
    "grow(3) { dense_layer(2) }", "conv(3x3, 6, groups = 3), maxpool(2), concat { it | conv(1x1, 2) }",
])  # fmt: skip
def test_the_module_has_these_depths(steps):
    found = depths(text_of(steps))
    assert powers(text_of(steps), 2.0**30) == [longest for longest, _ in found]
    assert powers(text_of(steps), 2.0**-30) == [shortest for _, shortest in found]


# --- the receptive field by the Jacobian


def rows_read(text, positions, images=1):
    """[channel][position]: the sorted rows of the input, along its longer side, that an output channel reads there."""
    torch.manual_seed(0)
    module = explorer.build(text).double().eval()
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.data.uniform_(0.1, 1)
            layer.weight.data /= layer.weight[0].sum()
    x = torch.rand(images, *module.graph.input, dtype=torch.float64, requires_grad=True)
    made = module(x)
    across = 0 if x.shape[2] >= x.shape[3] else 1
    return [[_rows(x, made, channel, p, 1 - across) for p in positions] for channel in range(made.shape[1])]


def _rows(x, made, channel, position, axis):
    maps = made[:, channel, None, None] if made.dim() == 2 else made[:, channel]
    height, width = maps.shape[1:]
    out = maps[:, min(position, height - 1), min(position, width - 1)].sum()
    (gradient,) = torch.autograd.grad(out, x, retain_graph=True)
    return (gradient.abs().sum((0, 1)) != 0).any(axis).nonzero().flatten().tolist()


WINDOWS = [
    "conv(3x3, 4), conv(1x1, 3), conv(5x5, 4, groups = 1)", "conv(3x3, 3, /2), conv(3x3, 4)",
    "conv(7x7, 4, /2), maxpool(3x3, /2, pad = 1)", "conv(4x4, 4, /2, pad = 1)",
    "conv(3x3, 4), avgpool(2), conv(3x3, 4, groups = 2), avgpool(3, /1, pad = 1)",
    "concat { conv(3x3, 2) | conv(1x1, 3) | pad(5) }", "pad(6), conv(3x3, 6, groups = 6), conv(3x3, 6, groups = 3)",
    "aggregate(6, 2) { group }", "windowed(6, 3) { group }", "gunn_layer(3, 2)", "gunn_layer(3, 1, reads = original)",
    "basic(6, 2), basic(6)", "basic(6, 2, A)", "grow(3) { dense_layer(2) }", "seq_down(6, 3, 3)",
    "shift(2), conv(3x3, 2), shift(1)", "concat { it | conv(3x3, 3) }, shuffle(2), conv(3x3, 6, groups = 6)",
    "conv(3x3, 3, pad = 0), add { avgpool(3, /1) | conv(3x3, 3, pad = 0) }", "conv(3x3, 3), sliding(8), conv(1x1, 2)",
    "conv(3x3, 3), sliding(10, diamond)",
]  # fmt: skip


@pytest.mark.parametrize("steps", WINDOWS)
def test_a_window_is_what_the_module_reads(steps):
    text = text_of(steps, (3, 25, 25))
    centre = explorer.expand(text).root.out[1] // 2
    found = rows_read(text, [centre], images=40 if "max" in steps else 1)
    for path, ((*rows,),) in zip(channels_of(text), found, strict=True):
        if path is None:
            assert not rows
        else:
            jump, low, high = path.window
            assert (rows[0], rows[-1]) == (jump * centre + low, jump * centre + high)
            assert path.window.side == rows[-1] - rows[0] + 1


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks())
def test_nothing_is_read_outside_the_window(text):
    text = text.replace("\n  head: gap, linear(3)", "")
    positions = [0, 2, 99]
    last = max(explorer.expand(text).root.out[1:]) - 1
    for path, found in zip(channels_of(text), rows_read(text, positions), strict=True):
        for position, rows in zip(positions, found, strict=True):
            here = min(position, last)
            assert path is not None or not rows
            if rows and path.window is not None:
                assert path.window.jump * here + path.window.low <= rows[0]
                assert rows[-1] <= path.window.jump * here + path.window.high


@pytest.mark.parametrize(("side", "scale"), [(12, 3), (12, 12), (12, 2), (13, 4), (11, 3)])
def test_the_window_of_a_region_holds_it_wherever_it_stands(side, scale):
    text = f"block b {{ regional({scale}), conv(1x1, 2), upsample(entry) }}\n" + text_of("relu, b", (3, side, side))
    (path, *_) = channels_of(text)
    found = rows_read(text, range(side))[0]
    assert path.window.jump == 1
    assert min(rows[0] - p for p, rows in enumerate(found)) == -(-path.window.low // 1)
    assert max(rows[-1] - p for p, rows in enumerate(found)) == path.window.high // 1


@pytest.mark.parametrize(
    "steps", ["gap", "regional(1)", "sliding(1)", "sliding(1, diamond)", "flatten", "se(1)", "mssar(1)"]
)
def test_what_reads_a_whole_map_sees_the_whole_image(steps):
    text = text_of(f"conv(3x3, 4), {steps}", (2, 7, 7))
    assert set(sides(text)) == {None}
    if steps != "flatten":
        assert all(rows == list(range(7)) for channel in rows_read(text, [0, 3, 6]) for rows in channel)


# --- the papers' equations


@pytest.mark.parametrize("parts", [1, 2, 4, 6])
def test_segments_of_gunn_and_sunn(parts):
    gunn, sunn = dependency.gunn_reach(parts)
    for name, chains in (("gunn", gunn), ("sunn", sunn)):
        longest = chains.max(1).values.repeat_interleave(12 // parts).tolist()
        text = text_of("conv(3x3, 12), bn", (12, 9, 9), f"+ {name}(parts = {parts})")
        assert depths(text) == [(n, 0) for n in longest]
        assert sides(text) == [2 * n + 1 for n in longest]


@pytest.mark.parametrize("fold", ["aggregate", "windowed"])
def test_groups_of_seqconv(fold):
    text = text_of(f"{fold}(12, 2) {{ group }}", (4, 31, 31))
    groups = [i // 2 + 1 for i in range(12)]
    assert [longest for longest, _ in depths(text)] == groups
    assert sides(text) == [int(dependency.conv_reach(31, 1, group)[15].sum()) for group in groups]


# --- published receptive fields, by stage (ResNets with the stride on the 3x3: gist samson-wang/a6073c18; VGG-16 up to
# its last pooling: Araujo, Norris and Sim, Distill 2019)

PUBLISHED = {
    "resnet18": [11, 43, 99, 211, 435],
    "resnet34": [11, 59, 179, 547, 899],
    "resnet50": [11, 35, 91, 267, 427],
    "resnet101": [11, 35, 91, 811, 971],
    "vgg16": [6, 16, 44, 100, 212],
}


@pytest.mark.parametrize("net", PUBLISHED)
def test_published_receptive_fields(net):
    fields = [stage.from_image.field for stage in stages_of(explorer.expand(net).root) if stage.a_map]
    assert [field.channels[0][0] for field in fields] == PUBLISHED[net]
    assert all(len(field.channels) == 1 for field in fields)


# --- all networks


def catalog():
    """Every network that needs no arguments."""
    for name, place in shipped().items():
        if place.kind == "network" and all(p.default is not None for p in Library().find(name).params):
            yield name


def test_the_longest_path_of_every_network_is_its_chain():
    names = list(catalog())
    assert len(names) > 40
    for name in names:
        cost = explorer.cost(name)
        assert cost.stages[-1].from_image.longest.quantile(1) == cost.chain, name
        assert cost.reach.longest.quantile(1) <= cost.chain


def test_arrays_and_symbols_have_no_distribution():
    for k in (np.array([2, 4]), sympy.Symbol("k", integer=True, positive=True)):
        cost = explorer.cost("wrn(depth = 16, k = 2)", values={"k": k})
        assert (cost.reach, cost.stages, cost.launches, cost.intensity) == (None, (), None, None)
        assert set(cost.tree()["columns"]) == {"params", "macs", "activations"}


def test_following_channels_ends_where_it_would_take_minutes():
    text = text_of("windowed(3000, 1) { conv(1x1, out) }", (3000, 4, 4))
    cost = explorer.cost(text)
    assert (cost.stages, cost.reach, cost.as_dict(0)["reach"]) == ((), None, None)
    assert cost.launches > 3000
    wide = text_of(f"pad({10**9}), shuffle(2), conv(1x1, 4)")
    assert explorer.cost(wide).reach is None


# --- distributions


def test_quantiles_are_values_that_occur():
    few = Distribution(((3, 1), (5, 2), (None, 1)))
    assert [few.quantile(q) for q in (0, 0.25, 0.26, 0.5, 0.75, 0.76, 1)] == [3, 3, 5, 5, 5, None, None]
    assert few.as_dict() == {"min": 3, "median": 5, "max": None, "channels": [[3, 1], [5, 2], [None, 1]]}


def test_stages_from_their_own_input_and_from_the_image():
    stages = {stage.name: stage for stage in stages_of(explorer.expand("gunn15").root)}
    own, image_ = stages["conv2"].own.longest, stages["conv2"].from_image.longest
    assert own.channels == tuple((3 * i, 12) for i in range(1, 21))
    assert image_.channels == tuple((n + 2, channels) for n, channels in own.channels)
    assert stages["trans1"].own.longest.channels == ((1, 300),)
    assert explorer.cost("gunn15").feature_map.name == "conv4"


def test_channels_that_depend_on_nothing_are_left_out():
    assert reach_of(explorer.expand(text_of("pad(5)")).root).longest.channels == ((0, 3),)
    assert reach_of(explorer.expand(text_of("pad(5), slice(3, 5)")).root) is None


def test_no_kind_is_forgotten():
    assert set(CHANNELS) == set(PRIMITIVES) == set(LAYERS)
