"""scikit-learn's 1,797 handwritten digits (8x8, the UCI test set), made hard on purpose.

As they are, every residual network from 0.8 million multiply-adds up is right on 99%, and nothing can be ranked.
"""

import numpy as np
from numpy.typing import NDArray

from explorer.train.data.parts import Part
from explorer.train.data.splits import SPLIT_SEED, stratified

TRAIN_PER_CLASS, VALIDATION_PER_CLASS = 30, 20  # 300 and 200 images; the other 1,297 are the test part
NOISE = 0.25  # standard deviation; pixels lie in [0, 1]
SIZE = 32  # of a side, enlarged


def digits() -> tuple[Part, Part, Part]:
    """The hard setting: few training images, noise on all parts, 32x32 in three equal channels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    random = np.random.default_rng(SPLIT_SEED)
    pixels = bunch.images / 16 + random.normal(0, NOISE, bunch.images.shape)
    images = enlarge(pixels, SIZE)
    split = stratified(labels, (TRAIN_PER_CLASS, VALIDATION_PER_CLASS), random)
    mean, deviation = images[split[0]].mean(), images[split[0]].std()
    images = ((images - mean) / deviation).astype(np.float32)
    colour = np.repeat(images[:, None], 3, axis=1)
    train, validation, test = (Part(colour[chosen], labels[chosen]) for chosen in split)
    return train, validation, test


def enlarge(images: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Square images [N, H, H] at size x size, bilinear, pixel centres aligned."""
    height = images.shape[-1]
    centres = (np.arange(size) + 0.5) * height / size - 0.5
    weights = np.stack([np.interp(centres, np.arange(height), one) for one in np.eye(height)], axis=1)
    wide = np.einsum("nhw,jw->nhj", images, weights)
    return np.asarray(np.einsum("ih,nhj->nij", weights, wide))
