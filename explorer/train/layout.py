"""How a network's tensors lie in memory while it trains: channels_last, but where that would break."""

import torch
from torch import Tensor, nn

SAFE_SIDE = 32  # of images whose maps are too small for the fault below
FEW = 16  # input channels


def lay_out(model: nn.Module, device: str, side: int) -> None:
    """Move a model to a device, in channels_last; `side` is the images' longest, in pixels.

    torch 2.13.0's CPU build (oneDNN, AVX-512) writes beyond its memory in the backward pass of 1x1 convolutions with a
    stride, fewer than 16 input channels and large maps in channels_last: these get plain maps instead.
    Not what substitutes of `nn.fast` repeat in the backward pass without these hooks: a fold of such convolutions.
    """
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device == "cpu" and side > SAFE_SIDE:
        for conv in filter(_breaks, model.modules()):
            assert isinstance(conv, nn.Conv2d)
            conv.weight.data = conv.weight.data.clone(memory_format=torch.contiguous_format)
            conv.register_forward_pre_hook(_plain)


def _breaks(module: nn.Module) -> bool:
    """Whether it is a convolution of that kind."""
    conv = module if isinstance(module, nn.Conv2d) else None
    return conv is not None and conv.kernel_size == (1, 1) and max(conv.stride) > 1 and conv.in_channels < FEW


def _plain(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (inputs[0].contiguous(),)
