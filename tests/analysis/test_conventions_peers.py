"""Every tool's convention equals the tool, to the unit, on modules built from our own graphs.

`make test` compares small networks that together have every kind of op; `make test-slow` the catalog.
"""

from copy import deepcopy
from functools import lru_cache

import pytest
import torch
from catalog.test_facts import NAMED
from hypothesis import given, settings
from oracles.peers import TOOLS
from strategies import networks

import explorer
from explorer.analysis.conventions import convention, count
from explorer.blocks.graph import flatten
from explorer.blocks.ops import PRIMITIVES
from explorer.nn.module import NetworkModule

DIFFER_IN_TRAINING = ("fvcore", "calflops")
SMALL = {  # network: input
    "resnet20": (3, 8, 8),
    "cifar_resnet(n = 1, option = A)": (3, 16, 16),
    "resnet18": (3, 32, 32),
    "resnet50": (3, 32, 32),
    "imagenet_resnext(repeats = [1, 1, 1, 1], groups = 32, base_width = 4)": (3, 32, 32),
    "dpn(repeats = [1, 1, 1, 1], inc = [4, 4, 8, 8], r = 8, groups = 4)": (3, 32, 32),
    "pyramidnet(depth = 11, alpha = 6)": (3, 16, 16),
    "wrn(depth = 10, k = 2)": (3, 16, 16),
    "vgg16": (3, 32, 32),
    "densenet_bc(depth = 16, k = 4)": (3, 16, 16),
    "densenet(depth = 10, k = 4)": (3, 12, 12),
    "imagenet_gunn(widths = [8, 8, 12, 12], parts = [2, 2, 3, 2])": (3, 32, 32),
    "seqresnet(k = 8, r = 1, bottleneck = yes)": (3, 8, 8),
    "imagenet_seqresnet(w = 16, N = [0, 0, 0, 1], k = [8, 8, 16, 64], c = [2, 2, 1, 4])": (3, 32, 32),
    "cifar_resnet(n = 1) + se(4)": (3, 16, 16),
    "cifar_resnet(n = 1) + mssar(1, 2, 4)": (3, 16, 16),
    "cifar_resnet(n = 1) + mssar(1, 2, 3)": (3, 20, 17),
    "cifar_resnet(n = 1) + mssar(2, 3, pool = sliding)": (3, 16, 12),
    "cifar_resnet(n = 1) + mssar(3, pool = sliding, shape = diamond)": (3, 13, 10),
    "densenet_bc(depth = 10, k = 4) + mssar(1, 2)": (3, 16, 16),
    "densenet_bc(depth = 10, k = 4) + mssar(1, 3, from = it) on dense2": (3, 16, 16),
    "cifar_resnet(n = 1) + wseqconv(k = 8)": (3, 16, 16),
    "cifar_resnet(n = 1) + seqconv(k = 16) + mssar(2)": (3, 16, 16),
    "imagenet_resnet(repeats = [1, 1, 1, 1]) + gunn(parts = 2)": (3, 32, 32),
    "wrn(depth = 10, k = 1) + sunn(parts = 3, residual = no) + se(8)": (3, 16, 16),
    "pieces": (4, 12, 12),
}
PIECES = """network pieces {
  input 4x12x12
  a: dropout(0.1), conv(3x3, 8, bias = yes), sigmoid, maxpool(3x3, /2, pad = 1), avgpool(2, pad = 1)
  b: mean { conv(1x1, 8) | slice(2, 6), pad(8) }, concat { it | conv(5x5, 4, groups = 4), bn }
  c: update(3) { add { part | conv(3x3, out) } }, multiply { it | gap, linear(12, bias = no) }
  e: shake { it | affine(0.5, 1) }, fractaljoin(0.1, 2) { it | shuffle(3), shift(1) }, droppath(0.2)
  f: auxiliary(0.3) { gap, linear(3) }
  d: regional(3), conv(1x1, 12), upsample(entry), sliding(2), flatten, linear(3)
}
"""
TEXTS = {"pieces": PIECES}


@lru_cache(maxsize=1)
def built(net):
    graph = explorer.expand(TEXTS.get(net, net), input=SMALL.get(net))
    return graph, NetworkModule(graph)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("net", SMALL)
def test_equal_to_the_unit(net, tool):
    graph, module = built(net)
    theirs = TOOLS[tool](deepcopy(module).eval(), torch.zeros(1, *graph.input))
    assert count(convention(tool), graph.root) == theirs


EVALUATE_THEMSELVES = ("thop", "ptflops", "ptflops_aten")
IN_TRAINING = [net for net in SMALL if "diamond" not in net and net != "vgg16"][::3]  # its poolings of ones: one image


@pytest.mark.parametrize(
    ("net", "tool"),
    [(net, tool) for net in IN_TRAINING for tool in TOOLS if tool not in EVALUATE_THEMSELVES]
    + [("pieces", tool) for tool in EVALUATE_THEMSELVES],
)
def test_equal_in_training_mode(net, tool):
    """On two images, as batch norm needs; on one where the tool evaluates, whatever mode the module is in."""
    graph, module = built(net)
    images = 1 if tool in EVALUATE_THEMSELVES else 2
    theirs = TOOLS[tool](deepcopy(module).train(), torch.zeros(images, *graph.input))
    ours = count(convention(f"{tool}_train"), graph.root)
    assert images * ours == theirs
    assert (ours != count(convention(tool), graph.root)) == (tool in DIFFER_IN_TRAINING)


def test_every_kind_of_op_has_been_compared():
    """So no kind can be counted by a tool and forgotten in its table."""
    seen = set()
    for net, size in SMALL.items():
        seen |= {node.op.kind for node in flatten(explorer.expand(TEXTS.get(net, net), input=size))[0]}
    assert seen == set(PRIMITIVES)


FAST = ("torch", "torchinfo", "thop", "ptflops", "calflops")


@settings(max_examples=15, deadline=None)
@given(networks())
def test_equal_on_any_network(text):
    graph = explorer.expand(text)
    module = NetworkModule(graph).eval()
    for tool in FAST:
        assert count(convention(tool), graph.root) == TOOLS[tool](module, torch.zeros(1, *graph.input)), tool


RESNET50 = {
    "torch": 8_178_368_512,
    "thop": 4_133_742_592,
    "ptflops": 4_132_436_968,
    "fvcore": 4_111_512_576,
    "torchinfo": 4_089_238_376,
    "ptflops_aten": 4_089_185_256,
    "calflops": 8_211_108_352,
    "calflops_macs": 4_089_184_256,
}
DENSENET121 = {
    "torch": 5_668_323_328,
    "thop": 2_897_007_104,
    "ptflops": 2_899_843_048,
    "fvcore": 2_865_546_752,
    "torchinfo": 2_834_246_312,
    "ptflops_aten": 2_834_162_664,
    "calflops": 5_716_881_152,
    "calflops_macs": 2_834_161_664,
}
# torchvision's DenseNet ends in functions: thop, which knows modules only, misses its pooling (50,176 elements read,
# 1,024 made), ptflops counts its pooling and its ReLU once and not twice (50,176 elements each).
MODULES_INSTEAD = {"thop": 50_176 + 1_024, "ptflops": 2 * 50_176}
RESNET50_TRAIN = {"fvcore": 4_144_854_528, "calflops": 8_244_450_304}


def test_totals_that_were_measured_elsewhere_on_torchvision_models():
    resnet, densenet = explorer.expand("resnet50").root, explorer.expand("densenet121").root
    assert {tool: count(convention(tool), resnet) for tool in RESNET50} == RESNET50
    assert {tool: count(convention(f"{tool}_train"), resnet) for tool in RESNET50_TRAIN} == RESNET50_TRAIN
    for tool, total in DENSENET121.items():
        assert count(convention(tool), densenet) == total + MODULES_INSTEAD.get(tool, 0), tool


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("net", NAMED)
def test_equal_on_the_whole_catalog(net, tool):
    """At the networks' own image size. On the meta device fvcore fails, and ptflops counts linear layers twice."""
    graph = explorer.expand(net)
    ours = count(convention(tool), graph.root)
    device = "cpu" if tool in ("fvcore", "ptflops", "ptflops_aten") else "meta"
    if device == "cpu" and ours > 20e9:
        pytest.skip("more than 20 GMACs for real")
    with torch.device(device):
        module, image = NetworkModule(graph).eval(), torch.zeros(1, *graph.input)
    assert TOOLS[tool](module, image) == ours
