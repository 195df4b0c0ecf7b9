"""The most memory that is in use at any time, against what torch's allocators really give out.

Left out are scalars and statistics of a channel that kernels make for a moment, and, on the CPU, what a convolution
takes for itself.
"""

import pytest
import torch
from allocations import Step, bytes_of, peak_of
from analysis.test_memory_saved import STEPS, VAIN, probe
from catalog.test_facts import NAMED
from hypothesis import HealthCheck, given, settings
from strategies import networks

import explorer
from explorer.analysis.memory import memory
from explorer.nn.module import NetworkModule

SCALARS = 200  # bytes


def check(graph, batch=2, tolerance=0.005):
    torch.manual_seed(0)
    module, image = NetworkModule(graph), torch.randn(batch, *graph.input)
    step = Step(module, image)
    _compare(memory(graph, batch), step.constant(), peak_of(step, module).tensors, tolerance)
    if not module.auxiliaries:
        _check_inference(graph, module.eval(), image, tolerance)


def _check_inference(graph, module, image, tolerance):
    def run():
        with torch.no_grad():
            module(image)

    held = bytes_of([*module.parameters(), *module.buffers(), image])
    _compare(memory(graph, len(image), "infer"), held, peak_of(run, module).tensors, tolerance)


def _compare(predicted, held, measured, tolerance):
    assert predicted.held == held
    assert predicted.peak - held == pytest.approx(measured, rel=tolerance, abs=SCALARS)
    assert predicted.peak == predicted.held + predicted.gradients + predicted.activations + predicted.temporaries


REAL = [
    "resnet20",
    "resnet20 + mssar(1, 2, 4)",
    "wrn-16-8",
    "seqresnet-s2",
    "dsn",
    "highway",
    "sparsenet-40-12",
    "resnet20 + gunn(parts = 3)",
]
REDUCED = ["resnet50", "resnext50-32x4d + se", "densenet121", "fractalnet21"]


@pytest.mark.parametrize("net", REAL)
def test_of_networks_at_their_real_size(net):
    check(explorer.expand(net))


@pytest.mark.parametrize("net", REDUCED)
def test_of_networks_at_a_smaller_size(net):
    check(explorer.expand(net, input=(3, 32, 32)))


@pytest.mark.slow
@pytest.mark.parametrize("net", NAMED)
def test_of_every_network(net):
    graph = explorer.expand(net)
    check(graph if graph.input[1] <= 64 else explorer.expand(net, input=(3, 64, 64)))


@pytest.mark.parametrize("step", STEPS)
def test_of_every_kind(step):
    check(probe(step))
    check(probe(step, "affine(2)"))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks())
def test_of_any_network(text):
    check(explorer.expand(text))


@pytest.mark.parametrize("steps", ["vain", "deeper", "vain, vain, relu", "add { vain | relu, deeper }"])
def test_with_what_nothing_reads(steps):
    check(explorer.expand(f"{VAIN}network n {{ input 4x8x8\n conv(3x3, 4), relu, {steps}, gap, linear(3) }}"))


GPU = ["resnet20", "wrn-16-8", "gunn15", "sunn15", "densenet100", "resnet50", "resnet20 + mssar(1, 2, 4)", "dsn"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("net", GPU)
def test_of_networks_on_a_gpu(net):
    """Within 3% of the caching allocator's own peak, beside workspace that stays allocated after a step."""
    graph = explorer.expand(net)
    module = NetworkModule(graph).cuda()
    step = Step(module, torch.randn(64, *graph.input, device="cuda"))
    torch.cuda.synchronize()
    predicted = memory(graph, 64, device="cuda")
    workspace = torch.cuda.memory_allocated() - predicted.held
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    assert predicted.peak == pytest.approx(torch.cuda.max_memory_allocated() - workspace, rel=0.03)
