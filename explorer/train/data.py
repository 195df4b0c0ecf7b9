"""Data sets by name. Describing one is free; loading it needs scikit-learn, never the network.

`digits` are scikit-learn's 1,797 handwritten digits (8x8, the UCI test set), made hard on purpose: as they
are, every residual network from 0.8 million multiply-adds up is right on 99%, and nothing can be ranked.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from explorer.errors import UserError, nearest

Images = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Images [N, C, H, W] in float32, normalised by the training part, and their labels [N]."""

    images: Images = field(repr=False)
    labels: Labels = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "Part":
        """The first `count` images, or all there are."""
        return Part(self.images[:count], self.labels[:count])


@dataclass(frozen=True)
class Dataset:
    """A training part, a validation part that guides, and a test part that is read once per trial."""

    name: str
    train: Part
    validation: Part
    test: Part
    classes: int
    shape: tuple[int, int, int]  # channels, height, width
    description: str
    evidence: str  # what a result on it is evidence of, and what not

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of every image and label: two data sets that differ anywhere differ here."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            digest.update(np.ascontiguousarray(part.images).tobytes())
            digest.update(np.ascontiguousarray(part.labels).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Source:
    """What is known of a data set before it is loaded, and how to load its three parts."""

    name: str
    shape: tuple[int, int, int]
    classes: int
    description: str
    evidence: str
    parts: Callable[[], tuple[Part, Part, Part]] = field(repr=False)


def source(name: str) -> Source:
    """The description of the data set `name`; UserError (with the nearest name) where there is none."""
    if name in SOURCES:
        return SOURCES[name]
    raise UserError(f"--data: there is no data set {name[:80]!r}; {nearest(name, SOURCES)}")


@cache
def load(name: str) -> Dataset:
    """The data set `name`, the same images in the same parts every time."""
    found = source(name)
    train, validation, test = found.parts()
    return Dataset(found.name, train, validation, test, found.classes, found.shape, found.description, found.evidence)


# -- digits ------------------------------------------------------------------------------------------

TRAIN_PER_CLASS, VALIDATION_PER_CLASS = 30, 20  # 300 and 200 images; the other 1,297 are the test part
NOISE = 0.25  # standard deviation; pixels lie in [0, 1]
SPLIT_SEED = 0  # of the split and of the noise: all trials see the same images


def _digits() -> tuple[Part, Part, Part]:
    """The hard setting: few training images, noise on all parts, 32x32 in three equal channels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    random = np.random.default_rng(SPLIT_SEED)
    pixels = bunch.images / 16 + random.normal(0, NOISE, bunch.images.shape)
    images = enlarge(pixels, 32)
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


def stratified(labels: Labels, counts: tuple[int, ...], random: np.random.Generator) -> list[Labels]:
    """Indices of parts holding `counts` images of every class, shuffled, and of the rest."""
    order = random.permutation(len(labels))
    ranks = np.empty(len(labels), dtype=np.int64)  # the how-manieth of its class an image is
    for label in np.unique(labels):
        own = order[labels[order] == label]
        ranks[own] = np.arange(len(own))
    part = np.searchsorted(np.cumsum(counts), ranks, side="right")
    return [order[part[order] == index] for index in range(len(counts) + 1)]


SOURCES = {
    "digits": Source(
        name="digits",
        shape=(3, 32, 32),
        classes=10,
        description=(
            "scikit-learn's 1,797 handwritten digits: 8x8 pixels in [0, 1], each with Gaussian noise of "
            "standard deviation 0.25, enlarged to 32x32 (bilinear) in three equal channels; 300 images to "
            "train, 200 to validate, 1,297 to test, the same for every trial"
        ),
        evidence=(
            "Evidence of how these networks learn noisy 8x8 digits from 300 images within this short budget. "
            "Not evidence of how they rank on CIFAR or ImageNet, nor of what they reach when fully trained: "
            "after a hundred steps an error shows under-training more than capacity, and networks with gates "
            "need more steps than plain ones. Read differences only beyond the spread over seeds."
        ),
        parts=_digits,
    )
}
