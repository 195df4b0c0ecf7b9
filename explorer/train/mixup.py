"""Mixup (Zhang and others 2017): training on mixtures of two images and of their labels."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


class Targets:
    """What the scores of a batch are compared with: a label for each image, or two with their shares."""

    def __init__(self, labels: Tensor, others: Tensor | None = None, share: float = 1.0) -> None:
        self.labels, self.others, self.share = labels, others, share

    def loss(self, scores: Tensor) -> Tensor:
        """Mean cross-entropy of [N, classes]."""
        loss = cross_entropy(scores, self.labels)
        if self.others is None:
            return loss
        return self.share * loss + (1 - self.share) * cross_entropy(scores, self.others)

    def wrong(self, scores: Tensor) -> Tensor:
        """How many of the N best scores are wrong, each label counting by its share."""
        best = scores.argmax(1)
        wrong = (best != self.labels).sum()
        if self.others is None:
            return wrong
        return self.share * wrong + (1 - self.share) * (best != self.others).sum()


def mixed(images: Tensor, labels: Tensor, alpha: float) -> tuple[Tensor, Targets]:
    """Images [N, C, H, W] mixed with the batch in another order; the share is drawn from Beta(alpha, alpha).

    Draws from torch's global generators. With alpha 0 the batch stays what it is.
    """
    if not alpha:
        return images, Targets(labels)
    share = float(torch.distributions.Beta(alpha, alpha).sample())  # type: ignore[no-untyped-call]
    order = torch.randperm(len(labels), device=labels.device)
    return torch.lerp(images[order], images, share), Targets(labels, labels[order], share)
