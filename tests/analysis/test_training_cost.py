"""The cost of training, beside two independent counts: single multiplications, and torch's counter."""

import pytest
import torch
from hypothesis import given, settings
from oracles.bruteforce import Run, each
from strategies import networks

import explorer
from explorer.analysis.ledger import row_of
from explorer.analysis.training import torch_training_flops, training_macs
from explorer.blocks.graph import flatten

SCALE = (1 + 1e-5) ** -0.5  # what a fresh batch norm does in evaluation mode

# A network and the same in scalars: run and image in, output vector out.
TINY = {
    "plain": (
        "input 2x5x4, conv(3x3, 3), relu, conv(3x3, 2), relu, gap, linear(3)",
        lambda run, x: run.linear(run.gap(run.relu(run.conv(run.relu(run.conv(x, pad=1)), pad=1)))),
    ),
    "strided": (
        "input 2x7x6, conv(3x3, 4, /2), relu, conv(3x3, 2, /3, pad = 0), gap, linear(2)",
        lambda run, x: run.linear(run.gap(run.conv(run.relu(run.conv(x, 2, pad=1)), 3))),
    ),
    "grouped": (
        "input 4x4x4, conv(3x3, 4, groups = 2), relu, conv(1x1, 6, groups = 2), gap, linear(2)",
        lambda run, x: run.linear(run.gap(run.conv(run.relu(run.conv(x, groups=2, pad=1)), groups=2))),
    ),
    "depthwise": (
        "input 3x6x5, conv(3x3, 6), relu, conv(3x3, 6, /2, groups = 6), conv(1x1, 2), gap, linear(2)",
        lambda run, x: run.linear(run.gap(run.conv(run.conv(run.relu(run.conv(x, pad=1)), 2, groups=6, pad=1)))),
    ),
    "the image is used twice": (
        "input 2x4x4, add { conv(3x3, 3), relu, conv(1x1, 3) | conv(1x1, 3) }, conv(1x1, 2), gap, linear(2)",
        lambda run, x: run.linear(run.gap(run.conv(run.add(run.conv(run.relu(run.conv(x, pad=1))), run.conv(x))))),
    ),
    "the image beside a layer": (
        "input 2x4x4, concat { it | conv(3x3, 2), relu }, conv(1x1, 3), gap, linear(2)",
        lambda run, x: run.linear(run.gap(run.conv([*x, *run.relu(run.conv(x, pad=1))]))),
    ),
    "a batch norm reads the image": (
        "input 2x4x4, bn, conv(3x3, 3, /2), bn, gap, linear(2)",
        lambda run, x: run.linear(run.gap(run.norm(run.conv(run.norm(x, SCALE), 2, pad=1), SCALE))),
    ),
    "parts": (
        "input 2x4x4, conv(1x1, 4), add { slice(0, 2), conv(3x3, 2) | slice(2, 4) }, gap, linear(2)",
        lambda run, x: run.linear(run.gap(_halves(run, run.conv(x)))),
    ),
    "a layer in vain": (
        "input 2x4x4, conv(1x1, 4), vain, gap, linear(2)",
        lambda run, x: run.linear(run.gap(_in_vain(run, run.conv(x)))),
    ),
}
VAIN = "block vain { conv(3x3, 3), tap(unused), entry }\n"


def _halves(run, x):
    return run.add(run.conv(x[:2], pad=1), x[2:])


def _in_vain(run, x):
    run.conv(x, pad=1)
    return x


def text_of(name):
    return f"{VAIN}network tiny {{ {TINY[name][0]} }}"


def counted(name):
    """The network's module, and its scalar twin after a step with the same weights and image."""
    torch.manual_seed(0)
    module = explorer.build(text_of(name)).double().eval()
    image = torch.randn(1, *module.graph.input, dtype=torch.float64)
    module(image).sum().backward()
    learned = [p for layer in module.modules() for p in _weights(layer)]
    run = Run([p.tolist() for p in learned])
    run.backward(TINY[name][1](run, run.image(image[0].tolist())))
    return module.graph, run, learned


def _weights(layer):
    if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
        yield layer.weight
        if layer.bias is not None:
            yield layer.bias


@pytest.mark.parametrize("name", TINY)
def test_every_multiplication_is_counted(name):
    graph, run, learned = counted(name)
    assert dict(run.made) == {k: v for k, v in training_macs(graph)._asdict().items() if v}
    for scalars, weights in zip(run.learned, learned, strict=True):  # and they do compute the gradients
        if weights.grad is not None:
            found = torch.tensor(each(lambda s: s.grad, scalars), dtype=torch.float64)
            torch.testing.assert_close(found, weights.grad)
        else:
            assert name == "a layer in vain"


UNGROUPED = [
    "resnet50",
    "resnet20 + mssar(1, 2, 4)",
    "resnet20 + se(4)",
    "vgg16",
    "densenet_bc(depth = 16, k = 4)",
    "wrn(depth = 10, k = 2)",
    "cifar_resnet(n = 1, option = A) + wseqconv(k = 4)",
    pytest.param("gunn15", marks=pytest.mark.slow),
    pytest.param("wide-gunn18", marks=pytest.mark.slow),
]
GROUPED = [
    ("resnext50-32x4d", 1.570),
    ("seqresnet(k = 4, r = 1)", 1.055),
    pytest.param("seqresnext24", 1.741, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("net", UNGROUPED)
def test_torch_agrees_where_nothing_is_grouped(net):
    graph = explorer.expand(net)
    assert torch_training_flops(graph) == 2 * training_macs(graph).total


@pytest.mark.parametrize(("net", "factor"), GROUPED)
def test_torch_counts_too_much_where_something_is(net, factor):
    graph = explorer.expand(net)
    ours, theirs = training_macs(graph).total, torch_training_flops(graph)
    assert theirs == 2 * (ours + _counted_again(graph))
    assert theirs / (2 * ours) == pytest.approx(factor, abs=5e-4)


def _counted_again(graph):
    """torch counts the weight gradient of a grouped convolution `groups` times."""
    return sum(
        (node.op.attrs["groups"] - 1) * row_of(node.op).macs for node in flatten(graph)[0] if node.op.kind == "conv"
    )


@settings(max_examples=15, deadline=None)
@given(networks())
def test_torch_agrees_on_any_network_up_to_the_groups(text):
    graph = explorer.expand(text)
    assert torch_training_flops(graph) == 2 * (training_macs(graph).total + _counted_again(graph))


def test_auxiliary_heads_are_part_of_a_step():
    """Their own layers, and the gradients of what only they read. torch agrees."""
    text = "network n {{ input 2x8x8, conv(3x3, 4), relu, {} conv(3x3, 4, /2), gap, linear(3) }}"
    plain = explorer.expand(text.format(""))
    head = explorer.expand(text.format("auxiliary(0.3) { conv(1x1, 2), gap, linear(3) }, "))
    assert torch_training_flops(head) == 2 * training_macs(head).total
    more = 4 * 2 * 64 + 2 * 3
    assert training_macs(head) == tuple(n + more for n in training_macs(plain))
    reads_the_image = explorer.expand("network n { input 2x8x8, auxiliary(1) { conv(1x1, 2), gap, linear(3) }, bn }")
    assert training_macs(reads_the_image) == (2 * 2 * 64 + 6, 6, 2 * 2 * 64 + 6)


def test_nothing_to_learn_costs_nothing_backward():
    graph = explorer.expand("network n { input 3x4x4, relu, gap }")
    assert training_macs(graph) == (0, 0, 0) and torch_training_flops(graph) == 0


def test_three_times_the_forward_pass_but_for_the_stem():
    graph = explorer.expand("resnet50")
    stem = row_of(flatten(graph)[0][0].op).macs
    cost = training_macs(graph)
    assert (cost.backward, cost.total) == (2 * cost.forward - stem, 3 * cost.forward - stem)
    assert cost.forward == explorer.cost("resnet50").macs
