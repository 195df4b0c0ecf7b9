"""The module as people use it: names, training steps, state, precision, memory format, compilers."""

import math
import re

import pytest
import torch
from torch import nn

import explorer

REDUCED = {  # one small network of each family
    "resnet": "cifar_resnet(n = 1, widths = [4, 8, 8])",
    "resnet A": "cifar_resnet(n = 1, widths = [4, 8, 8], option = A)",
    "recalibrated": "cifar_resnet(n = 1, widths = [12, 12, 24]) + mssar(1, 2, 3)",
    "sliding": "cifar_resnet(n = 1, widths = [4, 8, 8]) + mssar(2, pool = sliding, shape = diamond)",
    "wide": "wrn(depth = 10, k = 1, rate = 0.3)",
    "dense": "densenet_bc(depth = 10, k = 4) + mssar(1, 2)",
    "seqconv": "seqresnet(k = 4, r = 1)",
    "seqconv B": "imagenet_seqresnet(w = 16, N = [1, 1, 1, 1], k = [8, 8, 8, 8], c = [2, 1, 1, 1], classes = 5)",
    "gunn": "imagenet_gunn(widths = [8, 12, 16, 16], parts = [2, 3, 4, 4], classes = 5)",
    "stochastic depth": "stochastic_depth(n = 1)",
    "shake": "shakeshake(depth = 8, width = 4)",
    "interleaved": "igcnet(L = 4, M = 2, depth = 8)",
    "highway": "network n { input 3x16x16\n a: conv(3x3, 4), highway_layer * 2, gap, linear(5) }",
    "rewritten": "cifar_resnet(n = 1, widths = [8, 16, 16]) + wseqconv(k = 2) + se(ratio = 2)",
}


def batch(net, n=8):
    channels, height, width = net.graph.input
    return torch.randn(n, channels, min(height, 64), min(width, 64))


def build(text, seed=0, **options):
    torch.manual_seed(seed)
    cost = explorer.cost(text)
    size = tuple(min(side, 64) for side in cost.input)
    return explorer.build(text, input=size, **options)


@pytest.mark.parametrize("text", REDUCED.values(), ids=REDUCED)
def test_a_training_step_moves_every_parameter(text):
    net = build(text)
    before = {name: p.clone() for name, p in net.named_parameters()}
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):  # what stands behind a zero-initialised convolution moves from the second step on
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(batch(net)), torch.arange(8) % 4).backward()
        optimiser.step()
    still = [name for name, p in net.named_parameters() if torch.equal(p, before[name])]
    assert still == []
    assert all(torch.isfinite(p).all() for p in net.parameters())


def test_names_follow_the_scopes():
    names = [name for name, _ in build("cifar_resnet(n = 2, widths = [4, 8, 8]) + mssar(1, 2)").named_parameters()]
    for name in ("conv1.conv.weight", "stage1.basic1.conv2.weight", "stage2.basic1.mssar.K2.bn1.bias",
                 "stage2.basic1.shortcut.conv.weight", "head.linear.bias"):  # fmt: skip
        assert name in names, names


def test_names_that_torch_uses_itself_are_evaded():
    net = explorer.build("network n { input 3x4x4\n train: conv(1x1, 2), bn\n type: conv(1x1, 3) }")
    assert {"train_.conv.weight", "type_.conv.weight"} <= set(net.state_dict())
    assert net.train() is net


@pytest.mark.parametrize("text", REDUCED.values(), ids=REDUCED)
def test_state_goes_from_one_module_to_another(text):
    one, other = build(text, 1).eval(), build(text, 2).eval()
    x = batch(one)
    assert not torch.equal(one(x), other(x))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(x), other(x))


def test_the_same_seed_gives_the_same_weights():
    one, other = build(REDUCED["gunn"], 3), build(REDUCED["gunn"], 3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("text", REDUCED.values(), ids=REDUCED)
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision(text, kind):
    net = build(text).to(kind).eval()
    y = net(batch(net).to(kind))
    assert y.dtype is kind and torch.isfinite(y).all()


@pytest.mark.parametrize("text", REDUCED.values(), ids=REDUCED)
def test_channels_last_computes_the_same(text):
    net = build(text).double().eval()
    x = batch(net).double()
    expected = net(x)
    net = net.to(memory_format=torch.channels_last)
    assert torch.allclose(net(x.to(memory_format=torch.channels_last)), expected, atol=1e-10)


def test_any_batch_and_evaluation_mode_is_deterministic():
    net = build(REDUCED["recalibrated"]).eval()
    x = batch(net, 6)
    assert torch.allclose(net(x)[2:3], net(x[2:3]), atol=1e-5)


# --- initialisation ---


def test_convolutions_start_as_he_et_al_say():
    net = build("network n { input 64x8x8\n a: conv(3x3, 256), bn }")
    std = net.get_parameter("a.conv.weight").std().item()
    assert math.isclose(std, math.sqrt(2 / (9 * 64)), rel_tol=0.02)


def test_seqconv_starts_its_residual_blocks_at_zero():
    net = build("seqresnet(k = 4, r = 1)")
    zero = {name for name, p in net.named_parameters() if p.dim() == 4 and not p.any()}
    assert zero and all(re.search(r"layer2\.group\d+\.conv", name) for name in zero), zero
    assert len(zero) == (16 + 32 + 48) // 4


def test_seqconv_blocks_are_the_identity_at_first():
    text = "network n { input 8x6x6\n a: conv(3x3, 8), tap(raw), bn, relu\n b: seq_block(2) }"
    net, without = build(text, 5).eval(), build(text.replace("b: seq_block(2)", ""), 5).eval()
    without.load_state_dict({k: v for k, v in net.state_dict().items() if k.startswith("a.")})
    x = batch(net)
    assert torch.allclose(net(x), without(x), atol=1e-4)


# --- compilers ---


@pytest.mark.slow
@pytest.mark.parametrize("text", REDUCED.values(), ids=REDUCED)
def test_export(text):
    net = build(text).eval()
    x = batch(net)
    exported = torch.export.export(net, (x,)).module()
    assert torch.allclose(exported(x), net(x), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("text", REDUCED.values(), ids=REDUCED)
def test_compile(text):
    torch.compiler.reset()  # all scopes share one forward; torch limits how often one is compiled
    net = build(text).eval()
    x = batch(net)
    compiled = torch.compile(net, fullgraph=True)
    assert torch.allclose(compiled(x), net(x), atol=1e-4)
