"""Loss and error of weights on a part of the data, or of several weights that vote."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, nll_loss

Weights = dict[str, Tensor]  # a model's state_dict


@torch.inference_mode()
def evaluate(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], voters: Sequence[Weights] = ()
) -> tuple[float, float]:
    """Mean loss and error of a model in evaluation mode, on batches of images [N, C, H, W] and labels [N].

    `voters`: weights to take in place of its own; several vote by the mean of their probabilities. Each batch is
    read once.
    """
    model.eval()
    losses: list[Tensor] = []
    count = 0
    for images, labels in batches:
        chances = _voted(model, images, voters)
        wrong = (chances.argmax(1) != labels).sum()
        losses.append(torch.stack([nll_loss(chances, labels, reduction="sum"), wrong]))
        count += len(labels)
    loss, error = (torch.stack(losses).double().sum(0) / count).tolist()
    return loss, error


def _voted(model: nn.Module, images: Tensor, voters: Sequence[Weights]) -> Tensor:
    """Logarithms of the classes' probabilities [N, classes]."""
    if not voters:
        return log_softmax(model(images).float(), 1)
    votes = [log_softmax(torch.func.functional_call(model, own, (images,)).float(), 1) for own in voters]
    return torch.stack(votes).logsumexp(0) - math.log(len(votes))


def copied(model: nn.Module) -> Weights:
    """The model's weights and running statistics as they are now, to be kept while it goes on learning."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
