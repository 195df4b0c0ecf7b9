"""What is looked at while a network is trained: before the first step, and after each epoch.

An observer is given the network in evaluation mode and a fixed batch of validation images. It draws no random numbers
and changes nothing: a training that is observed gives the same weights as one that is not.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from explorer.nn.module import NetworkModule
from explorer.train.observe.channel_pairs import channel_pairs
from explorer.train.observe.group_weights import group_weights

Observer = Callable[[NetworkModule, Tensor], Any]  # images [N, C, H, W], normalised, on the device; gives plain JSON

OBSERVERS: Mapping[str, Observer] = {  # execution.OBSERVABLE has their names
    "channel-pairs": channel_pairs,
    "group-weights": group_weights,
}


@torch.inference_mode()
def observed(module: NetworkModule, images: Tensor, names: Iterable[str]) -> dict[str, Any]:
    """What the observers of these names see of a network, whose mode is left as it was."""
    training = module.training
    module.eval()
    try:
        return {name: OBSERVERS[name](module, images) for name in names}
    finally:
        module.train(training)
