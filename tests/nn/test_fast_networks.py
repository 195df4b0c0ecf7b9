"""Whole networks: training goes as with the reference."""

import pytest
import torch
from fast_support import LEAN, assert_same, image, network, pair, substitutes, trained

REDUCED = {  # text, image
    "gunn15": ("gunn15", (3, 8, 8)),
    "sunn15": ("sunn15", (3, 8, 8)),
    "nores": ("gunn15-nores", (3, 8, 8)),
    "gunn18": ("imagenet_gunn(widths = [12, 20, 24, 30], parts = [3, 5, 6, 7], classes = 10)", (3, 64, 64)),
    "seqresnet": ("seqresnet(k = 4, r = 2)", (3, 16, 16)),
    "seqresnet dense": ("seqresnet(k = 4, r = 1, fold = aggregate)", (3, 16, 16)),
    "seqresnet B": ("seqresnet(k = 8, r = 2, bottleneck = yes)", (3, 16, 16)),
    "seqresnext": (
        "imagenet_seqresnet(w = 16, N = [1, 1, 1, 1], k = [8, 8, 8, 8], c = [2, 1, 2, 1], classes = 10)",
        (3, 64, 64),
    ),
    "mssar": ("resnet20 + mssar(1, 2, 4)", (3, 32, 32)),
    "sliding": ("cifar_resnet(n = 1) + mssar(1, 2, pool = sliding)", (3, 32, 32)),
    "dense": ("densenet_bc(depth = 10, k = 4) + mssar(1, 2)", (3, 16, 16)),
    "gunn rewrite": ("cifar_resnet(n = 1, widths = [8, 16, 16]) + gunn(parts = 3) + mssar(1, 2)", (3, 16, 16)),
    "sunn rewrite": ("cifar_resnet(n = 1, widths = [8, 16, 16]) + sunn(parts = 4, residual = no)", (3, 16, 16)),
    "seqconv rewrite": ("cifar_resnet(n = 1, widths = [8, 16, 16]) + seqconv(k = 4) + se(ratio = 2)", (3, 16, 16)),
    "wseqconv rewrite": ("wrn(depth = 10, k = 1) + wseqconv(k = 4)", (3, 16, 16)),
}
EACH = [(name, layers) for name in REDUCED for layers in LEAN]
FEW = EACH[::4] + EACH[3::4]  # each network in one of the modes


def check(name, layers):
    text, size = REDUCED[name]
    nets = pair(text, layers, input=size)
    assert substitutes(nets[1]) or name == "sliding"
    labels = torch.arange(6) % 10
    assert_same(*[trained(net.train(), image(net, 6), labels) for net in reversed(nets)], tolerance=1e-6)


@pytest.mark.parametrize(("name", "layers"), FEW)
def test_three_steps_of_sgd(name, layers):
    check(name, layers)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layers"), [case for case in EACH if case not in FEW])
def test_three_steps_of_sgd_in_the_other_mode(name, layers):
    check(name, layers)


def test_joins_that_share_a_draw_are_left_to_the_reference():
    """Their draw belongs to the mini-batch, and a backward pass may come after the next one's."""
    unit = "fractaljoin(0.15, 2) { conv(3x3, out) | conv(1x1, out) }"
    net = network(
        f"network n {{ input 4x5x5\n a: update(2) {{ {unit} }}\n b: update(2) {{ conv(3x3, out) }} }}", "lean"
    )
    assert [layer.fast[-1].parameters(layer) is not None for layer in substitutes(net)] == [True]
