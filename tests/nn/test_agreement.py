"""The module agrees with the ledger, as counted by torch, fvcore and torchinfo: exact integers."""

import logging

import pytest
import torch
import torchinfo
from catalog.test_facts import NAMED
from fvcore.nn import FlopCountAnalysis
from hypothesis import given, settings
from strategies import networks
from torch.utils.flop_counter import FlopCounterMode

import explorer
from explorer.blocks.graph import flatten
from explorer.nn.module import NetworkModule, module_paths

logging.getLogger("fvcore").setLevel(logging.ERROR)
HEAVY_FOR_FVCORE = 12_000_000_000  # it runs the network for real
MODIFIED = [
    "resnet20 + mssar(1,2,4)",
    "resnet20 + mssar(2, 3, pool = sliding, shape = diamond)",
    "densenet100 + mssar(1,2,4, from = it) on dense3",
    "resnet50 + wseqconv(k=32) + mssar(1,2,4)",
    "resnext50-32x4d + wseqconv(k=32, c=8) + se(at = output)",
    "resnet56 + seqconv(k=8)",
    "wrn-16-8 + gunn(parts=4)",
    "resnet18 + sunn(parts=7, residual=no) + mssar(1,3)",
]


def on_meta(graph):
    with torch.device("meta"):
        return NetworkModule(graph.main).eval(), torch.empty(2, *graph.input)


def torch_macs(net, image):
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        net(image)
    return counter.get_total_flops() / 2 / len(image)


def fvcore_macs(graph):
    with torch.no_grad():
        counted = FlopCountAnalysis(NetworkModule(graph.main).eval(), torch.zeros(1, *graph.input))
        by_kind = counted.unsupported_ops_warnings(False).uncalled_modules_warnings(False).by_operator()
    return by_kind.get("conv", 0) + by_kind.get("linear", 0)


def check_shapes(net, image, graph):
    """torchinfo's output shape of every leaf is the graph's."""
    result = torchinfo.summary(net, input_data=image, device="meta", verbose=0)
    ops = module_paths(graph.root)
    by_module = {id(module): path for path, module in net.named_modules()}
    seen = 0
    for layer in result.summary_list:
        op = ops.get(by_module.get(id(layer.module), ""))
        if op is not None and layer.output_size:
            shape = tuple(layer.output_size[1:])
            assert shape == (op.out[:1] if op.kind == "linear" else op.out), by_module[id(layer.module)]
            seen += 1
    assert seen == len(ops) == len(flatten(graph)[0])


def check(text, with_fvcore=True):
    cost = explorer.cost(text)
    net, image = on_meta(cost.graph)
    assert sum(p.numel() for p in net.parameters()) == cost.params
    assert torch_macs(net, image) == cost.macs
    check_shapes(net, image, cost.graph)
    if with_fvcore:
        assert fvcore_macs(cost.graph) == cost.macs


SMALL = [name for name in NAMED if explorer.cost(name).macs < 700_000_000]
LARGE = [name for name in NAMED if name not in SMALL]


@pytest.mark.parametrize("name", SMALL)
def test_catalog(name):
    check(name)


@pytest.mark.parametrize("name", LARGE)
def test_large_catalog_networks_without_running_them(name):
    check(name, with_fvcore=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_large_catalog_networks(name):
    check(name)


@pytest.mark.parametrize("text", MODIFIED)
def test_modified_networks(text):
    check(text, with_fvcore=explorer.cost(text).macs < 500_000_000)


@settings(max_examples=200, deadline=None)
@given(networks())
def test_generated_networks(text):
    check(text)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(networks())
def test_many_generated_networks(text):
    check(text)
