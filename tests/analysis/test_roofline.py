"""Latency from the graph: checked against counts made elsewhere, on devices where only one thing takes time."""

import math
import time

import pytest
from hypothesis import given, settings
from strategies import networks

import explorer
from explorer.analysis.clock import setting_of
from explorer.analysis.device import parse_device
from explorer.analysis.kernels import RUNS, forward_works
from explorer.analysis.ledger import Row
from explorer.analysis.roofline import latency
from explorer.analysis.training import training_macs
from explorer.blocks.graph import flatten
from explorer.blocks.ops import PRIMITIVES
from explorer.errors import UserError

FREE = 1e300  # a second; what is free takes no time
TOY = """
name = "toy"
recognise = "Toy"
source = "made up"
[memory]
bytes = 1e9
bandwidth = {bandwidth}
[peak]
fp32 = {peak}
[achieved]
forward = 1
input_gradient = 1
weight_gradient = 1
matmul = 1
bandwidth = 1
reorder = 1
[shape]
summands = 0
channels = 0
outputs = 0
lanes = 1
group_lanes = 0
overlaps = {overlaps}
reorders = []
[launch]
forward_s = {forward}
backward_s = {backward}
kernel_s = 0
ahead = {ahead}
fused_updates = false
"""


def toy(bandwidth=FREE, peak=FREE, forward=0, backward=0, overlaps="true", ahead="true"):
    return parse_device(TOY.format(**locals()), "toy.toml")


def test_no_op_is_forgotten():
    assert set(RUNS) == set(PRIMITIVES)


@pytest.mark.parametrize("name", ["vgg16", "densenet100", "gunn15", "wrn-16-8", "igc-l450m2", "dsn"])
def test_flops_are_those_of_the_training_count(name):
    """Where nothing but FLOPs takes time: 2 FLOPs for each multiply-add of the forward pass and of both gradients."""
    graph, batch = explorer.expand(name), 3
    step = latency(graph, toy(peak=1.0), batch)
    assert step.total == pytest.approx(2 * batch * training_macs(graph).total, rel=1e-12)
    inference = latency(graph, toy(peak=1.0), batch, "infer")
    assert inference.total == pytest.approx(2 * batch * training_macs(graph.main).forward, rel=1e-12)


@pytest.mark.parametrize("name", ["all-cnn", "nin", "resnet20", "resnet50", "densenet100", "seqresnet-s1", "gunn15"])
def test_bytes_are_those_of_the_traffic(name):
    """Where nothing but bytes takes time, an inference takes what traffic.py counts.

    Left out here: batch norm's four numbers a channel. Linear layers pack their weights, three times the bytes.
    """
    cost = explorer.cost(name, batch=8)
    none = Row()
    conv, bn, linear, gap = (cost.ledger.get(kind, none) for kind in ("conv", "bn", "linear", "gap"))
    packed = 2 * linear.weights - linear.biases - conv.biases
    left_out = 2 * bn.norms + 8 * gap.outputs  # what gap writes is too little to count
    found = latency(cost.graph, toy(bandwidth=1.0), 8, "infer").total
    assert found == pytest.approx(cost.bytes_moved + 4 * (packed - left_out), rel=1e-9)


def test_what_stands_between_an_image_and_the_first_parameter_has_no_gradient():
    device = toy(peak=1.0)
    first = explorer.expand("network a { input 3x8x8\n c: conv(3x3, 4) }")
    later = explorer.expand("network a { input 3x8x8\n b: bn, c: conv(3x3, 4) }")
    assert latency(later, device).total == pytest.approx(1.5 * latency(first, device).total)


def test_gradients_that_meet_are_added():
    """A residual connection: beside the addition, its gradient and the branch's are summed: 3 maps read and written."""
    device = toy(bandwidth=1.0)
    head = "network a { input 4x8x8\n c: conv(3x3, 4), "
    plain = explorer.expand(head + "relu }")
    residual = explorer.expand(head + "add { it | relu } }")
    one_map = 4 * 4 * 8 * 8
    extra = latency(residual, device, 1).total - latency(plain, device, 1).total
    assert extra == pytest.approx(3 * one_map + 3 * one_map)


def test_the_update_reads_and_writes_parameters():
    device = toy(bandwidth=1.0)
    few, many = (explorer.expand(f"network a {{ input 16x1x1\n l: linear({n}, bias = no) }}") for n in (1, 2))
    assert latency(many, device).by_op[0] - latency(few, device).by_op[0] > 8 * 4 * 16


def test_host_and_device():
    """Ahead, the longer of the two counts; else both do."""
    graph = explorer.expand("resnet20")
    host = latency(graph, toy(forward=1e-3, backward=2e-3))
    device = latency(graph, toy(peak=1e12))
    for both, total in (
        (toy(peak=1e12, forward=1e-3, backward=2e-3), max(host.total, device.total)),
        (toy(peak=1e12, forward=1e-3, backward=2e-3, ahead="false"), host.total + device.total),
        (toy(peak=1e3, forward=1e-3, backward=2e-3), 1e9 * device.total),
    ):
        found = latency(graph, both)
        assert found.total == pytest.approx(total)
        assert sum(found.by_op) + found.loss == pytest.approx(total)
    assert host.bound == "launch" and device.bound == "compute"
    assert latency(graph, toy(bandwidth=1.0)).bound == "memory"


def test_compute_and_memory_overlap_or_add_up():
    graph = explorer.expand("network a { input 8x16x16\n c: conv(3x3, 8) }")
    compute, memory = (latency(graph, device, 1, "infer").total for device in (toy(peak=1e6), toy(bandwidth=1e6)))
    together = latency(graph, toy(peak=1e6, bandwidth=1e6), 1, "infer").total
    apart = latency(graph, toy(peak=1e6, bandwidth=1e6, overlaps="false"), 1, "infer").total
    assert together == pytest.approx(max(compute, memory)) and apart == pytest.approx(compute + memory)


def names(node):
    return [node["name"], [names(child) for child in node["children"]]]


@pytest.mark.parametrize("name", ["gunn15", "densenet121", "dsn"])
def test_tree(name):
    graph = explorer.expand(name)
    inference, step = (latency(graph, "h200", 2, mode) for mode in ("infer", "train"))
    assert names(inference.tree()) == names(explorer.cost(name).tree())
    assert names(inference.tree(1)) == names(explorer.cost(name).tree(1))
    assert inference.tree()["latency_ms"] == pytest.approx(inference.latency_ms)
    assert step.tree(1)["latency_ms"] + 1e3 * step.loss == pytest.approx(step.latency_ms)
    heads = [flatten(graph._replace(root=head.scope))[0] for head in graph.auxiliaries]
    assert len(inference.by_op) == len(inference.bounds) == len(flatten(graph)[0])
    assert len(step.by_op) == len(flatten(graph)[0]) + sum(map(len, heads))


@settings(max_examples=25, deadline=None)
@given(text=networks())
def test_any_network(text):
    """Finite, positive, longer in training, no shorter for more images or on a slower device."""
    graph = explorer.expand(text)
    for device in ("epyc-1-thread", "t4", "h200"):
        inference, step, larger = (
            latency(graph, device, batch, mode).total for batch, mode in ((2, "infer"), (2, "train"), (4, "train"))
        )
        assert 0 <= inference <= step <= larger * (1 + 1e-9) and math.isfinite(larger)
    assert latency(graph, "t4", 64).total >= latency(graph, "h200", 64).total


@pytest.mark.parametrize("device", ["a100-80gb", "v100", "t4", "rtx3090"])
def test_a_step_takes_about_three_times_an_inference(device):
    """As every large network does on every GPU: weight gradients have few outputs and still fill the device."""
    for name in ("resnet50", "gunn15"):
        step, inference = (latency(explorer.expand(name), device, 64, mode).total for mode in ("train", "infer"))
        assert 2.5 * inference < step < 6 * inference, name


def test_half_precision_moves_half():
    graph = explorer.expand("densenet121")
    single, half = (latency(graph, "a100-80gb", 64, dtype=dtype) for dtype in ("fp32", "bf16"))
    assert half.total < single.total < 2.5 * half.total


def test_channels_last_saves_the_rearranging():
    graph = explorer.expand("resnet50")
    assert latency(graph, "h200", 64, channels_last=True).total < latency(graph, "h200", 64).total


def test_slices_are_copied_before_they_are_read():
    at = setting_of(toy(), 2, "infer", "fp32")
    conv = explorer.expand("network a { input 4x8x8\n c: conv(3x3, 4) }").root.body[0].node.body[0].node
    packing = forward_works(conv, at, strided=True)[0]
    assert packing.hot == 2 * 2 * 4 * 4 * 8 * 8 and len(forward_works(conv, at)) == 1


@pytest.mark.parametrize(("more", "wrong"), [
    ({"mode": "test"}, "unknown mode 'test'"),
    ({"dtype": "fp8"}, "unknown dtype 'fp8'"),
    ({"batch": 0}, "batch is a whole number"),
    ({"device": "h20"}, "no device is called"),
    ({"device": "epyc-1-thread", "dtype": "bf16"}, "no peak rate for bf16; known: fp32"),
])  # fmt: skip
def test_bad_input(more, wrong):
    with pytest.raises(UserError, match=wrong):
        latency(**{"graph": explorer.expand("resnet20"), "device": "h200", **more})


def test_only_plain_integers():
    import numpy as np

    graph = explorer.expand("resnet20", values={"classes": np.array([2, 3])})
    with pytest.raises(UserError, match="plain integers"):
        latency(graph, "h200")


def test_a_prediction_takes_milliseconds():
    """The slowest of the catalog: many ops, and many different ones."""
    for name in ("resnet1202", "densenet190", "gunn24", "densenet264"):
        graph = explorer.expand(name)
        start = time.process_time()
        latency(graph, "h200", 64)
        assert time.process_time() - start < 0.05, name
