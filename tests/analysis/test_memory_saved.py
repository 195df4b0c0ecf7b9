"""What is saved for the backward pass, to the byte, against what torch's autograd keeps of the built module."""

import pytest
import torch
from allocations import saved_bytes
from catalog.test_facts import NAMED
from hypothesis import HealthCheck, given, settings
from strategies import networks

import explorer
from explorer.analysis.memory import memory
from explorer.analysis.saved import CALLS
from explorer.blocks.graph import flatten
from explorer.blocks.ops import PRIMITIVES
from explorer.nn.module import NetworkModule


def test_no_kind_is_forgotten():
    assert set(CALLS) == set(PRIMITIVES)


def check(graph, batch=2, dtype=torch.float32, device="cpu"):
    with torch.device(device):
        module = NetworkModule(graph).to(dtype).train()
        image = torch.randn(batch, *graph.input, dtype=dtype)
    predicted = memory(graph, batch, element=dtype.itemsize)
    assert predicted.saved == saved_bytes(module, image), graph.canonical
    assert predicted.parameters == sum(p.nbytes for p in module.parameters())
    assert predicted.buffers == sum(b.nbytes for b in module.buffers())
    assert predicted.tree()["saved"] == predicted.saved


REAL = ["resnet20", "resnet20 + mssar(1, 2, 4)", "wrn-16-8", "seqresnet-s2", "dsn", "highway", "nin", "all-cnn"]
REDUCED = ["resnet50", "resnext50-32x4d + se", "densenet121", "dpn92", "gunn18"]


@pytest.mark.parametrize("net", REAL)
def test_of_networks_at_their_real_size(net):
    check(explorer.expand(net))


@pytest.mark.parametrize("net", REDUCED)
def test_of_networks_at_a_smaller_size(net):
    check(explorer.expand(net, input=(3, 32, 32)))


@pytest.mark.parametrize("net", ["gunn15", "densenet100", "fractalnet21"])
def test_of_larger_networks_and_batches_without_computing(net):
    check(explorer.expand(net), batch=64, device="meta")


@pytest.mark.slow
@pytest.mark.parametrize("net", NAMED)
def test_of_every_network(net):
    graph = explorer.expand(net)
    check(graph if graph.input[1] <= 64 else explorer.expand(net, input=(3, 64, 64)))
    check(graph, batch=64, device="meta")


STEPS = [
    "relu", "sigmoid", "bn", "maxpool(2)", "maxpool(3x3, /2, pad = 1)", "avgpool(2)", "gap", "regional(2)",
    "regional(3)", "sliding(2)", "sliding(2, shape = diamond)", "regional(2), upsample(entry)",
    "regional(3), upsample(entry)", "regional(1), upsample(entry)", "regional(8), upsample(entry)", "flatten",
    "regional(1), upsample(entry), flatten", "dropout(0.5)", "dropout(0)", "droppath(0.5)", "affine(2, 1)",
    "shuffle(2)", "shuffle(1)", "shift(1)", "pad(6)", "pad(4)", "slice(1, 3)", "slice(0, 4)",
    "slice(0, 2), conv(3x3, 4)", "slice(0, 2), maxpool(2)", "add { it | relu | it | it }", "add { it }",
    "multiply { it | relu }", "multiply { it | it }", "multiply { it | gap, sigmoid | relu }", "mean { it | relu }",
    "mean { relu }", "mean { it | it | regional(1), upsample(entry) }", "shake { it | relu }",
    "shake(even) { it | bn }", "fractaljoin(0.1, 3) { it | relu | bn }", "concat { it | it }", "concat { relu }",
    "regional(1), upsample(entry), dropout(0.5), slice(1, 3)", "regional(1), upsample(entry), concat { it | it }",
    "update(2) { add { part | conv(1x1, out) } }", "update(1) { conv(1x1, out) }",
]  # fmt: skip


def probe(step, before="conv(1x1, 4), bn"):
    """A network around a step. What comes before it learns something or not."""
    after = "linear(3)" if "flatten" in step else "conv(1x1, 4), gap, linear(3)"
    return explorer.expand(f"block probe {{ {step} }}\nnetwork n {{ input 4x16x16\n {before}, probe, {after} }}")


@pytest.mark.parametrize("step", STEPS)
def test_of_every_kind(step):
    for batch in (1, 2):
        for before in ("conv(1x1, 4), bn", "affine(2)"):
            check(probe(step, before), batch)
    check(probe(step), dtype=torch.bfloat16)


def test_every_kind_has_a_step():
    kinds = {node.op.kind for step in STEPS for node in flatten(probe(step))[0]}
    assert kinds == set(PRIMITIVES)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks())
def test_of_any_network(text):
    check(explorer.expand(text))


VAIN = "block vain { conv(3x3, 4), bn, relu, tap(unused), entry }\nblock deeper { vain, it }\n"


@pytest.mark.parametrize("steps", ["vain", "deeper", "vain, vain, relu", "add { vain | relu, deeper }"])
def test_what_nothing_reads_is_not_kept(steps):
    check(explorer.expand(f"{VAIN}network n {{ input 4x8x8\n conv(3x3, 4), relu, {steps}, gap, linear(3) }}"))
