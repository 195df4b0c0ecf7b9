"""Weights between groups, against the papers' equations written out naively, and the same for all ways to compute."""

import json
from itertools import pairwise

import pytest
import torch
from torch import nn

import explorer
from explorer.train.observe import OBSERVERS, observed
from explorer.train.observe.group_weights import group_weights

HEAD = "gap, linear(3)"
UNITS = (
    "conv(3x3, out), bn, relu",
    "dropout(0.5), bn, relu, conv(1x1, out)",
    "group(yes)",
    "{ bn, relu }, { concat { slice(0, 3) | slice(3, 8) } }, conv(3x3, out)",
)


def network(body, channels, layers="reference"):
    torch.manual_seed(0)
    text = f"network n {{ input {channels}x6x6, layer: {{ {body} }}, head: {HEAD} }}"
    return explorer.build(text, layers=layers)


def only(module):
    (layer,) = group_weights(module, torch.empty(0))["layers"]
    return layer


def convolutions(module):
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def exploded(convolution, first, k):
    """Mean absolute weights by column of a group whose view begins at channel `first` of [x0, x1, ..., x(i-1)]."""
    found = {}
    for channel, weight in enumerate(convolution.weight.detach().double().unbind(1), start=first):
        found.setdefault(channel // k, []).append(weight.abs().mean())
    return {column: float(sum(own) / len(own)) for column, own in found.items()}


def matrix(rows, columns):
    return [[pytest.approx(row[c], rel=1e-3) if c in row else None for c in range(columns)] for row in rows]


@pytest.mark.parametrize("unit", UNITS)
def test_a_windowed_layer_by_equation_2(unit):
    """Group i sees the last 8 of the channels [x0, x1, ..., x(i-1)], which begin at channel i k."""
    module = network(f"windowed(6, 2) {{ {unit} }}", 8)
    readers = [layer for layer in convolutions(module) if layer.in_channels == 8]
    found = only(module)
    assert found["inputs"] == 4
    assert found["rows"] == matrix([exploded(layer, 2 * i, 2) for i, layer in enumerate(readers)], 6)
    assert [row.count(None) for row in found["rows"]] == [2, 2, 2]


def test_a_dense_layer_by_equation_1():
    module = network("aggregate(6, 2) { conv(3x3, out), relu }", 4)
    found = only(module)
    assert found["inputs"] == 2
    assert found["rows"] == matrix([exploded(layer, 0, 2) for layer in convolutions(module)], 4)


def test_a_dense_block_has_its_input_as_one_column():
    module = network("grow(3) { bn, relu, conv(3x3, 4) }", 6)
    found = only(module)
    rows = []
    for i, layer in enumerate(convolutions(module)):
        means = layer.weight.detach().abs().mean((0, 2, 3))
        rows.append({0: float(means[:6].mean())} | {1 + j: float(means[6 + 4 * j :][:4].mean()) for j in range(i)})
    assert found["inputs"] == 1 and found["rows"] == matrix(rows, 3)


def test_gunn_reads_updated_segments_and_the_rest_of_the_input():
    """7 channels in segments of 2, 2 and 3: columns are those of the input, then the updated ones."""
    edges = (0, 2, 4, 7)
    module = network("update(3) { add { part | conv(3x3, out) } }", 7)
    found = only(module)
    rows = []
    for i, layer in enumerate(convolutions(module)):
        means = layer.weight.detach().abs().mean((0, 2, 3))
        own = [float(means[a:b].mean()) for a, b in pairwise(edges)]
        rows.append({(3 + j if j < i else j): value for j, value in enumerate(own)})
    assert found["inputs"] == 3 and found["rows"] == matrix(rows, 5)


def test_subgroups_read_only_their_share():
    """c = 2 on a view of 8 channels: the first two outputs read the first four channels only."""
    module = network("windowed(8, 4) { conv(3x3, out, groups = 2) }", 8)
    first, second = (
        [float(half.abs().mean()) for half in layer.weight.detach().split(2)] for layer in convolutions(module)
    )
    assert only(module)["rows"] == matrix([{0: first[0], 1: first[1]}, {1: second[0], 2: second[1]}], 3)


def test_several_convolutions_of_a_group_count_by_their_weights():
    module = network("windowed(2, 2) { add { conv(3x3, out) | conv(1x1, out) } }", 2)
    weights = torch.cat([layer.weight.detach().abs().flatten() for layer in convolutions(module)])
    assert only(module)["rows"] == [[pytest.approx(float(weights.mean()), rel=1e-3)]]


@pytest.mark.parametrize("text", ["seqresnet(k=8,r=1)", "gunn15-slim", "seqresnet(k=8,r=2,bottleneck=yes)"])
def test_substitutes_and_the_reference_agree(text):
    found = []
    for layers in ("reference", "balanced", "lean"):
        torch.manual_seed(1)
        found.append(group_weights(explorer.build(text, layers=layers), torch.empty(0)))
    assert found[0] == found[1] == found[2] and found[0]["layers"]


def test_names_and_layers_of_the_paper_network():
    layers = {layer["layer"]: layer for layer in group_weights(explorer.build("seqresnet(k=8,r=4)"), None)["layers"]}
    groups = {name: len(layers[name]["rows"]) for name in ("stage1.layer2", "stage2.layer2", "stage3.layer2")}
    assert groups == {"stage1.layer2": 8, "stage2.layer2": 16, "stage3.layer2": 24}
    for name, number in groups.items():
        rows = layers[name]["rows"]
        assert all(sum(value is not None for value in row) == number for row in rows)  # the window: as many as come in
        assert {value for row in rows for value in row} == {0.0, None}  # it starts at zero


def test_networks_without_sequential_convolutions_have_none():
    assert group_weights(explorer.build("cifar_resnet(n=1)"), None) == {"layers": []}
    assert group_weights(network("update(2) { add { part | slice(0, out), bn } }", 4), None) == {"layers": []}


def test_it_is_an_observer_of_plain_json():
    module = network("windowed(4, 2) { group }", 4)
    seen = observed(module, torch.randn(2, 4, 6, 6), ["group-weights"])
    assert OBSERVERS["group-weights"] is group_weights and json.loads(json.dumps(seen)) == seen
