"""Convolutions that torch's CPU build gets wrong in channels_last are laid out plainly; all others are not."""

import pytest
import torch

import explorer
from explorer.train.layout import lay_out

TINY = "cifar_resnet(n=1, widths=[4,8,16])"


def gradients(side, arranged):
    """All gradients of a small network on images of that side, laid out for training or plainly."""
    torch.manual_seed(0)
    model = explorer.build(TINY, input=(3, side, side), classes=3)
    images = torch.randn(2, 3, side, side)
    if arranged:
        lay_out(model, "cpu", side)
        images = images.contiguous(memory_format=torch.channels_last)
    model(images).square().sum().backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


def test_gradients_on_large_images_are_those_of_the_plain_layout():
    expected, found = gradients(64, arranged=False), gradients(64, arranged=True)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert torch.allclose(gradient, expected[name], rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize(("network", "side", "hooked"), [(TINY, 64, 2), (TINY, 32, 0), ("resnet18", 64, 0)])
def test_only_what_breaks_is_laid_out_plainly(network, side, hooked):
    model = explorer.build(network, input=(3, side, side), classes=3)
    lay_out(model, "cpu", side)
    assert sum(bool(module._forward_pre_hooks) for module in model.modules()) == hooked
    stem = next(module for module in model.modules() if isinstance(module, torch.nn.Conv2d))
    assert stem.weight.is_contiguous(memory_format=torch.channels_last)
