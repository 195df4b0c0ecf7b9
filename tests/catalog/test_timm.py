"""Networks of the catalog against timm's of the same architecture: parameters and MACs, to the unit.

Needs the extra `timm`. Its models are made on torch's meta device, where nothing is computed.
"""

import importlib.util

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import explorer
from explorer.blocks.graph import flatten

OPERATORS = torch.library.Library("torchvision", "FRAGMENT")


def import_timm():
    """timm, or a skip. On a CPU a torchvision built for CUDA loads no operators; it imports once two are declared."""
    for needed in ("timm", "torchvision"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed", allow_module_level=True)
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in ("nms", "qnms"):
            OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import timm

    return timm


timm = import_timm()
SAME = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "resnet152": "resnet152",
    "imagenet_resnext([2, 2, 2, 2])": "resnet26",
    "imagenet_resnext([3, 4, 6, 3], base_width = 128)": "wide_resnet50_2",
    "resnext50-32x4d": "resnext50_32x4d",
    "resnext101-32x4d": "resnext101_32x4d",
    "imagenet_resnext([3, 4, 23, 3], groups = 64, base_width = 4)": "resnext101_64x4d",
    "resnet50 + se(at = output)": "seresnet50",
    "resnet152 + se(at = output)": "seresnet152",
    "resnext50-32x4d + se(at = output)": "seresnext50_32x4d",
    "se-resnext101-32x4d": "seresnext101_32x4d",
    "resnet18 + se": "legacy_seresnet18",
    "resnet34 + se(at = output)": "legacy_seresnet34",
    "imagenet_resnext([3, 4, 6, 3], strided = first) + se(at = output)": "legacy_seresnet50",
    "densenet121": "densenet121",
    "densenet169": "densenet169",
    "densenet201": "densenet201",
    "imagenet_densenet([6, 12, 36, 24], k = 48)": "densenet161",
    "dpn92": "dpn92",
    "dpn98": "dpn98",
    "dpn([4, 8, 20, 3], inc = [20, 64, 64, 128], r = 200, groups = 50, first = 128)": "dpn107",
    "dpn([4, 8, 28, 3], inc = [16, 32, 32, 128], r = 160, groups = 40, first = 128)": "dpn131",
    "vgg16": "vgg16",
}
ROUNDED = "timm rounds the hidden width of its squeeze-and-excitation, C / 16, to a multiple of 8"
DIFFERENT = {"resnet18 + se": ("seresnet18", ROUNDED), "resnet34 + se": ("seresnet34", ROUNDED)}


def counts(make):
    """Parameters and MACs (convolutions and linear layers) of a timm model for one image of 224 x 224."""
    with torch.device("meta"):
        model = make().eval()
        image = torch.empty(1, 3, 224, 224)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    return sum(parameter.numel() for parameter in model.parameters()), counter.get_total_flops() // 2


def ours(net):
    cost = explorer.cost(net)
    return cost.params, cost.macs


@pytest.mark.parametrize(("net", "name"), SAME.items())
def test_equal_to_timm(net, name):
    assert ours(net) == counts(lambda: timm.create_model(name))


def test_densenet264_is_timms_class_with_its_numbers():
    """timm names no plain DenseNet-264."""
    dense = timm.models.densenet.DenseNet
    assert ours("densenet264") == counts(lambda: dense(growth_rate=32, block_config=(6, 12, 64, 48)))


def rounding_of_hidden_widths(net):
    """What it adds to parameters and MACs: in every gate C -> h -> C each of h has 2C weights and a bias."""
    extra = [
        (op.ins[0][0], timm.layers.make_divisible(op.out[0], 8, round_limit=0.0) - op.out[0])
        for path, op, *_ in flatten(explorer.expand(net))[0]
        if op.kind == "linear" and ".se." in path and op.out[0] < op.ins[0][0]
    ]
    assert any(more for _, more in extra)
    return sum(more * (2 * channels + 1) for channels, more in extra), sum(
        more * 2 * channels for channels, more in extra
    )


@pytest.mark.parametrize("net", DIFFERENT)
def test_differences_from_timm_are_accounted_for(net):
    name, reason = DIFFERENT[net]
    (params, macs), (more_params, more_macs) = ours(net), rounding_of_hidden_widths(net)
    assert (params + more_params, macs + more_macs) == counts(lambda: timm.create_model(name)), reason
