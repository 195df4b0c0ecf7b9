"""A folder of images, `root/train/CLASS/*.jpg` and `root/val/CLASS/*.jpg` (ImageNet's layout), for 224x224 networks.

Where `root/test` is there too, the three folders are the three parts. Where it is not, `val` is the test part, as in
every paper that reports errors on ImageNet's 50,000 validation images, and a tenth of the training images of each
class, at least one and at most 50, is held out to validate.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import UserError, nearest
from explorer.train.data.parts import Augmentation, Files, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".webp")  # in any case; other files are no images
SHAPE = (3, 224, 224)
HELD_OUT, HELD_OUT_MOST = 10, 50  # one in ten of a class's training images, one at least, and no more than these
NAMED = 3  # classes in a message
LAYOUT = "wanted: train/CLASS/IMAGE.jpg and val/CLASS/IMAGE.jpg (and test/CLASS/IMAGE.jpg, if there is one)"


def image_folder(root: Path) -> Source:
    """The description of an image folder, from the names of its folders; UserError where it has another layout."""
    folders = _folders(root)
    if "train" not in folders or not folders & {"val", "test"}:
        raise UserError(f"--data: {root} holds {_some(folders) or 'no folders'}; {LAYOUT}")
    classes = tuple(sorted(_folders(root / "train")))
    if len(classes) < 2:
        raise UserError(f"--data: {root / 'train'} holds {_some(classes) or 'no folders'}, not two classes; {LAYOUT}")
    split = (
        "training, validation and test part are its folders train, val and test"
        if {"val", "test"} <= folders
        else f"the test part is its folder {_test(folders)}; a tenth of the training images of each class, at least "
        f"one and at most {HELD_OUT_MOST}, is held out to validate"
    )
    return Source(
        name=root.resolve().name,
        shape=SHAPE,
        classes=len(classes),
        description=(
            f"a folder of images in {len(classes)} classes; {split}; pixels normalised by ImageNet's means and "
            "deviations; a training image is a random part (8 to 100% of the area, 3:4 to 4:3) resized to 224x224 and "
            "mirrored at random, any other the central 224x224 after resizing the short side to 256"
        ),
        evidence=(
            "Evidence of how these networks rank on these images within this budget. At a short budget an error shows "
            "how fast a network learns more than what it reaches. Read differences only beyond the spread over seeds."
        ),
        parts=partial(_parts, root, classes, folders),
        augmentation=Augmentation(zoom=True, mirror=True),
    )


def _parts(root: Path, classes: tuple[str, ...], folders: set[str], _: Path) -> tuple[Files, Files, Files]:
    """The three parts, in random order: the first images of any are a fair sample of it."""
    import numpy as np

    from explorer.train.data.splits import SPLIT_SEED, stratified

    random = np.random.default_rng(SPLIT_SEED)
    train, test = (_shuffled(_files(root, part, classes), random) for part in ("train", _test(folders)))
    if {"val", "test"} <= folders:
        return train, _shuffled(_files(root, "val", classes), random), test
    own = np.bincount(train.labels)
    if alone := [name for name, count in zip(classes, own, strict=True) if count == 1]:
        raise UserError(
            f"--data: {root / 'train'} holds a single image of {_some(alone)}, and one of each class is held out to "
            "validate: wanted are two, or the folders val and test beside train"
        )
    held_out, rest = stratified(train.labels, (np.clip(own // HELD_OUT, 1, HELD_OUT_MOST),), random)
    return _chosen(train, rest), replace(_chosen(train, held_out), left_out={}), test


def _test(folders: set[str]) -> str:
    """Which folder is the test part."""
    return "test" if "test" in folders else "val"


def _files(root: Path, part: str, classes: tuple[str, ...]) -> Files:
    """All images of a part, by class and name; UserError for other classes than in training, or an empty one."""
    import numpy as np

    there = _folders(root / part)
    if there != set(classes):
        raise UserError(
            f"--data: {root / part} does not have the classes of {root / 'train'}: {_apart(there, classes)}"
        )
    paths: list[bytes] = []
    sizes, counts = [], []
    left_out: Counter[str] = Counter()
    for name in classes:
        found = _images(root / part / name, left_out)
        paths += [os.fsencode(os.path.join(part, name, file)) for file, _ in found]
        sizes += [size for _, size in found]
        counts.append(len(found))
    labels = np.repeat(np.arange(len(classes)), counts)
    return Files(root, np.array(paths), np.array(sizes, np.int64), labels, left_out)


def _images(folder: Path, left_out: Counter[str]) -> list[tuple[str, int]]:
    """Names and sizes in bytes of the images in a class's folder, sorted; UserError where there is none.

    The endings of other files are counted in `left_out`; hidden files are not.
    """
    found = []
    with _explained(folder), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or not entry.is_file():
                continue
            if entry.name.lower().endswith(EXTENSIONS):
                found.append((entry.name, entry.stat().st_size))
            else:
                left_out[os.path.splitext(entry.name)[1].lower()] += 1
    if not found:
        raise UserError(f"--data: {folder} holds no image ({', '.join(EXTENSIONS)})")
    return sorted(found)


def _folders(folder: Path) -> set[str]:
    """Names of the folders in a folder, hidden ones left out."""
    with _explained(folder), os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")}


def _shuffled(part: Files, random: "np.random.Generator") -> Files:
    """The same files in random order."""
    return _chosen(part, random.permutation(len(part)))


def _chosen(part: Files, indices: "NDArray[np.int64]") -> Files:
    """The files that indices point at."""
    return replace(part, paths=part.paths[indices], sizes=part.sizes[indices], labels=part.labels[indices])


def _apart(there: set[str], wanted: tuple[str, ...]) -> str:
    """What two sets of class names do not share, in words."""
    missing, more = sorted(set(wanted) - there), sorted(there - set(wanted))
    close = f" ({nearest(more[0], missing)})" if len(more) == 1 and missing else ""
    return " and ".join(
        [
            f"{what} {_some(names)}{hint}"
            for what, names, hint in (("lacks", missing, ""), ("has", more, close))
            if names
        ]
    )


def _some(names: Collection[str]) -> str:
    """The first few names."""
    return ", ".join(sorted(names)[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn what the system says of a folder into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"--data: cannot read the folder {error.filename or folder}: {error.strerror}") from error
