"""A network of ours, built as a module and traced, gives the ledger that the grammar gave."""

from functools import cache

import pytest
import torch
from catalog.test_facts import NAMED
from hypothesis import given, settings
from strategies import networks

import explorer
from explorer.analysis.cost import Cost
from explorer.analysis.foreign import module_cost, trace_of
from explorer.analysis.ledger import row_of
from explorer.blocks.graph import flatten
from explorer.nn.module import NetworkModule, module_paths

# One operation of torch each. The others are realised by several, or by none in evaluation (docs/tracing.md).
KINDS = ("conv", "linear", "bn", "relu", "sigmoid", "maxpool", "gap")
ALIKE = ("concat", "multiply", "pad")  # the same unless one of these kinds is realised by them
REALISED_BY_OTHERS = {"update", "regional", "sliding", "affine", "droppath", "shake", "shift", "fractaljoin", "mean"}
MODIFIED = [
    "resnet20 + mssar(1,2,4)",
    "resnet20 + mssar(2, 3, pool = sliding, shape = diamond)",
    "densenet100 + mssar(1,2,4, from = it) on dense3",
    "resnet50 + wseqconv(k=32) + mssar(1,2,4)",
    "wrn-16-8 + gunn(parts=4)",
    "resnet18 + sunn(parts=7, residual=no) + mssar(1,3)",
]


@cache
def nodes(name):
    return explorer.cost(name).graph.root.nodes


def rows(cost: Cost, paths=None):
    """The row of every layer with parameters, by the name of its module."""
    ops = {f.path: f.op for f in flatten(cost.graph)[0]} if paths is None else paths
    return {path: (op.kind, row_of(op), op.ins, op.out) for path, op in ops.items() if op.kind in KINDS[:3]}


def check(text):
    ours = explorer.cost(text)
    with torch.device("meta"):
        module = NetworkModule(ours.graph)
    traced = module_cost(module, ours.input)
    found = trace_of(traced)
    assert found.unknown == {} and found.notes == ()
    heads = sum(found.unused.values())  # auxiliary ones, which do not run in evaluation
    assert heads == sum(head.params for head in ours.auxiliaries.values())
    assert traced.params - heads == ours.params
    assert (traced.macs, traced.activations, traced.chain) == (ours.macs, ours.activations, ours.chain)
    for kind in KINDS:
        assert traced.ledger.get(kind) == ours.ledger.get(kind), kind
    if not REALISED_BY_OTHERS & set(ours.ledger):
        for kind in ALIKE:
            assert traced.ledger.get(kind) == ours.ledger.get(kind), kind
        assert traced.ledger.get("avgpool") == ours.ledger.get("avgpool")
    assert rows(traced) == rows(ours, module_paths(ours.graph.root))


@pytest.mark.parametrize("name", [n for n in NAMED if nodes(n) < 300])
def test_catalog(name):
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in NAMED if nodes(n) >= 300])
def test_large_networks_of_the_catalog(name):
    check(name)


@pytest.mark.parametrize("text", MODIFIED)
def test_modified_networks(text):
    check(text)


@settings(max_examples=40, deadline=None)
@given(networks())
def test_generated_networks(text):
    check(text)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(networks())
def test_many_generated_networks(text):
    check(text)
