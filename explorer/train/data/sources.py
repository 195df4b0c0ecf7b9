"""Which data sets there are: known by name before anything is loaded, or a folder of images."""

import os
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from explorer.errors import UserError, nearest
from explorer.train.data import archives
from explorer.train.data.folder import image_folder
from explorer.train.data.parts import Augmentation, Dataset, Parts, Source

VARIABLE = "EXPLORER_DATA"  # names the folder of archives where --data-dir does not
SHIFTED = Augmentation(pad=4, mirror=True)  # CIFAR's, of all the papers


def source(name: str) -> Source:
    """The data set `name`, or the image folder at this path; UserError (with the nearest name) where there is none."""
    if name in SOURCES:
        return SOURCES[name]
    if os.sep in name or os.path.isdir(name):
        return image_folder(Path(name).expanduser())
    raise UserError(f"--data: there is no data set {name[:80]!r} and no such folder; {nearest(name, SOURCES)}")


@cache
def load(name: str, folder: str | Path | None = None) -> Dataset:
    """The data set that `source` describes, the same every time; archives lie in `archive_folder(folder)`."""
    found = source(name)
    train, validation, test = found.parts(archive_folder(folder))
    loaded = Dataset(
        found.name,
        train,
        validation,
        test,
        found.classes,
        found.shape,
        found.description,
        found.evidence,
        found.augmentation,
        origin=(
            name if name in SOURCES else str(Path(name).expanduser().absolute()),
            None if folder is None else str(Path(folder).expanduser().absolute()),
        ),
    )
    return replace(loaded, description=f"{found.description}; {loaded.notice}") if loaded.notice else loaded


def archive_folder(folder: str | Path | None = None) -> Path:
    """Where archives lie: the given folder, or what EXPLORER_DATA names, or ~/.cache/explorer."""
    chosen = folder or os.environ.get(VARIABLE) or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "explorer")
    return Path(chosen).expanduser()


def _digits(_: Path) -> Parts:
    from explorer.train.data.digits import digits

    return digits()


def _relative(_: Path) -> Parts:
    from explorer.train.data.context import relative

    return relative()


def _absolute(_: Path) -> Parts:
    from explorer.train.data.context import absolute

    return absolute()


_CAPABILITY = (
    "A capability test, made so that place decides: evidence of whether these networks, at this budget, use where "
    "patterns stand. Not evidence that what wins here ranks higher on photographs."
)
_CIFAR = (
    "{count} 32x32 colour photographs in {classes} classes: 45,000 to train, 5,000 of the published training images, "
    "the same number of each class, to validate, the published 10,000 to test; pixels normalised by the training "
    "images' means and deviations; each training image shifted by up to 4 pixels and mirrored at random"
)
_SHORT = (
    "Evidence of how these networks rank on {name} within this budget. At a short budget an error shows how fast a "
    "network learns more than what it reaches; the papers train for 160 to 300 epochs. Read differences only beyond "
    "the spread over seeds."
)

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
            "Evidence of how these networks learn noisy 8x8 digits from 300 images within this budget. "
            "Not evidence of how they rank on CIFAR or ImageNet, nor of what they reach when fully trained: "
            "at a short budget an error shows under-training more than capacity, and networks with gates need more "
            "steps than plain ones. Read differences only beyond the spread over seeds."
        ),
        parts=_digits,
    ),
    "context": Source(
        name="context",
        shape=(3, 32, 32),
        classes=12,
        description=(
            "generated 32x32 images of two different 8x8 patterns out of four, one above the other, in noise; the "
            "class is the ordered pair (upper, lower); 2,400 images to train, 600 to validate, 2,400 to test; who "
            "knows the two but not their order is right in half of the cases"
        ),
        evidence=_CAPABILITY,
        parts=_relative,
    ),
    "context-absolute": Source(
        name="context-absolute",
        shape=(3, 32, 32),
        classes=8,
        description=(
            "generated 32x32 images of one of four 8x8 patterns, five pixels or more off the border, in noise; the "
            "class is the pattern and the half, upper or lower, it lies in; 1,600 images to train, 400 to validate, "
            "1,600 to test; who knows the pattern but not its place is right in half of the cases"
        ),
        evidence=_CAPABILITY,
        parts=_absolute,
    ),
    "cifar10": Source(
        name="cifar10",
        shape=archives.SHAPE,
        classes=10,
        description=_CIFAR.format(count="CIFAR-10: 60,000", classes=10),
        evidence=_SHORT.format(name="CIFAR-10"),
        parts=partial(archives.parts, archives.CIFAR10),
        augmentation=SHIFTED,
        archive=archives.CIFAR10,
    ),
    "cifar100": Source(
        name="cifar100",
        shape=archives.SHAPE,
        classes=100,
        description=_CIFAR.format(count="CIFAR-100: 60,000", classes=100),
        evidence=_SHORT.format(name="CIFAR-100"),
        parts=partial(archives.parts, archives.CIFAR100),
        augmentation=SHIFTED,
        archive=archives.CIFAR100,
    ),
}
