"""Memory of substituted layers: what is saved, to the byte, and peaks, against what torch keeps and gives out.

The prediction follows nn/fast line by line: where that changes what it keeps or for how long, these tests fail.
"""

import subprocess
import sys
import time

import pytest
import torch
from allocations import Step, bytes_of, peak_of, saved_bytes
from catalog.test_facts import NAMED
from hypothesis import HealthCheck, given, settings
from strategies import networks
from torch.utils.flop_counter import FlopCounterMode

import explorer
from explorer.analysis.memory import memory
from explorer.analysis.memory_claim import recomputed_macs
from explorer.errors import UserError
from explorer.nn.fast.choose import substitute
from explorer.nn.module import NetworkModule

LAYERS = ("balanced", "lean")
SCALARS = 200  # bytes
STATE = 5056  # bytes of the generator's state, kept for each layer of a fold that draws; not predicted


def check(graph, layers, batch=3, tolerance=0.0005, drawing=0):
    torch.manual_seed(0)
    module, image = NetworkModule(graph, substitute(layers)).train(), torch.randn(batch, *graph.input)
    train, infer = (memory(graph, batch, mode, layers=layers) for mode in ("train", "infer"))
    assert train.saved == train.tree()["saved"] == saved_bytes(module, image)
    step = Step(module, image)
    assert train.held == step.constant()
    slack = SCALARS + 2 * drawing * STATE
    assert train.peak - train.held == pytest.approx(peak_of(step, module).tensors, rel=tolerance, abs=slack)
    module.eval()

    def run():
        with torch.no_grad():
            module(image)

    assert infer.peak - infer.held == pytest.approx(peak_of(run, module).tensors, rel=tolerance, abs=SCALARS)
    assert infer.held == bytes_of([*module.parameters(), *module.buffers(), image])


def around(steps, channels, size=16):
    """A network whose peak is in these steps."""
    text = f"input 3x{size}x{size}\n a: conv(3x3, {channels})\n steps: {steps}\n head: conv(1x1, 3), gap, linear(3)"
    return explorer.expand(f"network t {{ {text} }}")


UNITS = {
    "plain": "conv(1x1, out)",
    "projected": "add { part | project | bottleneck_update(2) }",
    "both": "add { conv(1x1, out), bn | conv(3x3, out, bias = yes) }",
    "whole view": "add { part | bn, relu, conv(3x3, out) }",
    "grouped": "add { part | conv(1x1, 2 * out), bn, conv(3x3, out, groups = out) }",
    "gated": "multiply { part | gap, linear(out), sigmoid }",
    "unread": "add { part | it, conv(1x1, out) | part, relu }",
    "pooled": "add { part | conv(1x1, out), maxpool(3x3, /1, pad = 1), sliding(2) }",
    "nested": "add { part | aggregate(2 * out, out) { group }, conv(1x1, out) }",
}
FOLDS = [
    *[(f"update(8) {{ {unit} }}", 16) for unit in UNITS.values()],
    *[(f"update(8, original) {{ {UNITS[unit]} }}", 16) for unit in ("plain", "both")],
    ("update(1) { add { part | project | bottleneck_update(2) } }", 6),
    ("update(3) { conv(3x3, out) }", 8),
    ("update(4) { add { part | project | bottleneck_update(2) } }", 64),  # maps smaller than weights
    ("aggregate(10, 2) { group(yes) }", 6),
    ("aggregate(32, 4) { conv(3x3, out), tap(raw), bn, relu }", 6),
    ("windowed(4, 2) { group }", 6),
    ("windowed(18, 6) { conv(3x3, out), tap(raw), bn, relu }", 6),
    ("windowed(10, 2) { group(yes, 2) }", 6),
    ("grow(5) { dense_layer(4) }", 6),
    ("slice(0, 6), update(3) { conv(1x1, out), bn }", 9),
]


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize(("steps", "channels"), FOLDS)
def test_of_folds(steps, channels, layers):
    check(around(steps, channels, size=8 if channels == 64 else 16), layers)


@pytest.mark.parametrize("layers", LAYERS)
def test_of_layers_that_draw(layers):
    check(around("aggregate(10, 2) { conv(3x3, out), dropout(0.4), bn }", 6), layers, drawing=5)


@pytest.mark.parametrize("scales", ["1", "4", "1, 2, 4", "4, 2, 1", "1, 3", "2, 3, 6", "1, 5, 7"])
def test_of_recalibration(scales):
    check(around(f"mssar({scales})", 8), "balanced")


@pytest.mark.parametrize("shape", ["square", "diamond"])
def test_of_sliding_means(shape):
    check(around(f"sliding(5, shape = {shape})", 8), "balanced")
    check(around(f"mssar(1, 2, 3, pool = sliding, shape = {shape})", 8), "balanced")


@pytest.mark.parametrize(("net", "layers"), [
    ("seqresnet-s2", "lean"), ("densenet-40-12", "lean"), ("resnet20 + mssar(1, 2, 4)", "balanced"),
])  # fmt: skip
def test_of_networks(net, layers):
    check(explorer.expand(net), layers, batch=2)


@pytest.mark.slow
@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("net", NAMED)
def test_of_every_network(net, layers):
    graph = explorer.expand(net)
    check(graph if graph.input[1] <= 64 else explorer.expand(net, input=(3, 64, 64)), layers, batch=2, drawing=50)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks())
def test_of_any_network(text):
    check(explorer.expand(text), "lean", batch=2, tolerance=0.005, drawing=10)


@pytest.mark.parametrize("after", ["two(8), conv(1x1, 4)", "add { it | two(4), conv(1x1, 4) }", "two(8), entry"])
def test_with_outputs_that_nothing_reads(after):
    """One of a fold's outputs, or both, have no gradient."""
    blocks = "block two(w) { aggregate(w, 2) { conv(3x3, out), tap(raw), bn, relu }, tap(raw) }\n"
    net = "network t { input 3x8x8\n conv(3x3, 4), last, gap, linear(3) }"
    for layers in LAYERS:
        check(explorer.expand(f"{blocks}block last {{ {after} }}\n{net}"), layers)


def test_recomputed_macs_are_what_a_step_does_more():
    graph = explorer.expand(
        "network t { input 3x8x8\n conv(3x3, 8), update(4) { conv(3x3, out), bn }, gap, linear(3) }"
    )
    done = {}
    for layers in ("reference", *LAYERS):
        torch.manual_seed(0)
        with FlopCounterMode(display=False) as counter:
            NetworkModule(graph, substitute(layers))(torch.randn(2, 3, 8, 8)).sum().backward()
        done[layers] = counter.get_total_flops() // 2 // 2  # a multiply-add, an image
    for layers in LAYERS:
        assert done[layers] - done["reference"] == recomputed_macs(graph.root, layers)
    assert recomputed_macs(graph.root, "lean") == 8 * 8 * 9 * 64 > recomputed_macs(graph.root, "balanced") == 0


def test_the_peak_is_placed():
    lean = memory(around("update(8) { add { part | project | bottleneck_update(2) } }", 16), 3, layers="balanced")
    assert (lean.where, lean.phase, lean.layers) == ("steps", "backward", "balanced")
    assert lean.as_dict()["layers"] == "balanced"


def test_kept_outputs_belong_to_their_convolutions():
    tree = memory(explorer.expand("gunn15"), 2, layers="balanced").tree()

    def ops(node):
        return [node] if not node["children"] else [op for child in node["children"] for op in ops(child)]

    stage = next(child for child in tree["children"] if child["name"] == "conv2")
    segment = next(child for child in stage["children"][0]["children"] if child["name"] == "segment1")
    saving = {op["name"] for op in ops(segment) if op["saved"]}
    assert saving == {op["name"] for op in ops(segment) if op["name"].startswith("conv")}


def test_order_of_the_modes():
    for net in ("gunn15", "gunn18", "seqresnet-k8-r4-n1"):
        graph = explorer.expand(net)
        reference, balanced, lean = (memory(graph, 64, layers=layers) for layers in ("reference", *LAYERS))
        assert reference.saved > balanced.saved > lean.saved
        assert reference.peak > balanced.peak > lean.peak
        assert reference.held == balanced.held == lean.held


def test_without_substitutes_all_is_the_reference():
    graph = explorer.expand("resnet20")
    assert {memory(graph, 2, layers=layers).peak for layers in ("reference", *LAYERS)} == {memory(graph, 2).peak}


def test_other_words_are_refused():
    with pytest.raises(UserError, match="balanced or lean, not 'balance'; did you mean 'balanced'"):
        memory(explorer.expand("resnet20"), layers="balance")


def test_needs_no_torch():
    code = (
        "import sys, explorer; from explorer.analysis.memory import memory;"
        "[memory(explorer.expand(n), layers=m) for n in ('gunn15', 'resnet20 + se') for m in ('balanced', 'lean')];"
        "print([m for m in ('torch', 'numpy', 'sympy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("net", ["wide-gunn18", "densenet264", "seqresnet-b-k32-r12-n3"])
def test_takes_less_than_50_ms(net, layers):
    def once():
        graph = explorer.expand(net)
        start = time.process_time()
        memory(graph, 64, layers=layers)
        return 1e3 * (time.process_time() - start)

    assert min(once() for _ in range(3)) < 50


GPU = ["gunn15", "sunn15", "seqresnet-k8-r4-n1", "densenet100", "resnet20 + mssar(1, 2, 4)"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("net", GPU)
def test_of_networks_on_a_gpu(net, layers):
    """Within 3% of the caching allocator's own peak, beside workspace that stays allocated after a step."""
    graph = explorer.expand(net)
    module = NetworkModule(graph, substitute(layers)).cuda()
    step = Step(module, torch.randn(64, *graph.input, device="cuda"))
    torch.cuda.synchronize()
    predicted = memory(graph, 64, device="cuda", layers=layers)
    workspace = torch.cuda.memory_allocated() - predicted.held
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    assert predicted.peak == pytest.approx(torch.cuda.max_memory_allocated() - workspace, rel=0.03)
