"""Cutting labelled images into parts: the same every time, every class in proportion."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]

SPLIT_SEED = 0  # all trials see the same parts


def stratified(labels: Labels, counts: Sequence[int | Labels], random: np.random.Generator) -> list[Labels]:
    """Indices of parts holding `counts` images of every class (an array: of each), shuffled, and of the rest."""
    order = random.permutation(len(labels))
    ranks = np.empty(len(labels), dtype=np.int64)  # the how-manieth of its class an image is
    classes = int(labels.max()) + 1
    for label in range(classes):
        own = order[labels[order] == label]
        ranks[own] = np.arange(len(own))
    ends = np.cumsum([np.broadcast_to(count, classes) for count in counts], axis=0)  # of each part, by class
    part = (ranks >= ends[:, labels]).sum(axis=0)
    return [order[part[order] == index] for index in range(len(counts) + 1)]
