"""A data set that a tiny network learns in a few steps. Not tests."""

import numpy as np

from explorer.train.data import Dataset, Part

NET = "cifar_resnet(n=1, widths=[4,4,4])"


def stripes(count, seed, classes=2, size=32):
    """Images of one bright half, the upper or the lower."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % classes)
    images = random.normal(0, 0.3, (count, 3, size, size)).astype(np.float32)
    images[:, :, : size // 2] += labels[:, None, None, None] * 2 - 1
    return Part(images, labels.astype(np.int64))


def striped(train=64, size=32, **more):
    parts = stripes(train, 0, size=size), stripes(32, 1, size=size), stripes(48, 2, size=size)
    return Dataset("stripes", *parts, 2, (3, size, size), "stripes", "none", **more)
