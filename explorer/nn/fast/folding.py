"""Batch norms folded into the convolutions before them, for inference."""

from copy import deepcopy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from explorer.nn.module import NetworkModule, ScopeModule


def folded(net: NetworkModule) -> NetworkModule:
    """A copy for inference, in evaluation mode, without the batch norms that directly follow a convolution.

    Their scales and shifts are in the convolution's weights and bias; nn.Identity takes their place. What it computes
    is the same up to rounding; its parameters are its own.
    """
    copy = deepcopy(net).eval()
    for scope in copy.modules():
        if isinstance(scope, ScopeModule):
            for conv_name, norm_name in _followed(scope):
                conv, norm = scope._modules[conv_name], scope._modules[norm_name]
                assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
                scope._modules[conv_name], scope._modules[norm_name] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return copy


def _followed(scope: ScopeModule) -> list[tuple[str, str]]:
    """Names of convolutions of a scope and of the batch norms that alone read them."""
    made = {outputs[0]: name for name, _, outputs, _ in scope.plan if isinstance(scope._modules[name], nn.Conv2d)}
    read = [value for _, inputs, _, _ in scope.plan for value in inputs] + list(scope.outputs)
    return [
        (made[inputs[0]], name)
        for name, inputs, _, _ in scope.plan
        if isinstance(scope._modules[name], nn.BatchNorm2d) and inputs[0] in made and read.count(inputs[0]) == 1
    ]
