"""What a data set is: three parts, held in memory or read from files, and how its training images are varied."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from explorer.train.data.archives import Archive


READ = 200 * 10**6  # bytes of a part in files that are read before training: do they decode, have they changed


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each channel's pixels, these counted from 0 to 255."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


IMAGENET = Statistics((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # 0.485, 0.229 and so on, times 255


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training image, drawn anew each time it is seen. Margin and hole are the mean colour."""

    pad: int = 0  # pixels on each side, out of which a window of the image's size is cut
    mirror: bool = False  # left and right change places in half of the cases
    cutout: int = 0  # side in pixels of a square hole (Cutout: its centre anywhere in the image)
    zoom: bool = False  # of files: 8 to 100% of the area, 3:4 to 4:3, at any place, resized (Inception)

    def __bool__(self) -> bool:
        """Whether anything happens at all."""
        return self != Augmentation()


@dataclass(frozen=True)
class Part:
    """Images [N, C, H, W] in memory, and their labels [N].

    uint8 are pixels as they are, to be normalised by the training part; float32 are normalised already.
    """

    images: "NDArray[np.uint8] | NDArray[np.float32]" = field(repr=False)
    labels: "NDArray[np.int64]" = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "Part":
        """The first `count` images, or all there are."""
        return Part(self.images[:count], self.labels[:count])

    def statistics(self) -> Statistics | None:
        """Of each channel of uint8 images; None for those that are normalised already."""
        import numpy as np

        if self.images.dtype != np.uint8:
            return None
        values, counts = np.arange(256), np.zeros((self.images.shape[1], 256))
        for start in range(0, len(self), 1024):  # counting takes eight bytes a pixel
            for count, channel in zip(counts, self.images[start : start + 1024].swapaxes(0, 1), strict=True):
                count += np.bincount(channel.ravel(), minlength=256)
        shares = counts / counts.sum(1, keepdims=True)
        mean = shares @ values
        deviation = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(1))
        return Statistics(tuple(mean.tolist()), tuple(deviation.tolist()))

    def content(self) -> "Iterator[NDArray[Any]]":
        """All that makes up the part, for its fingerprint."""
        yield from (self.images, self.labels)


@dataclass(frozen=True)
class Files:
    """Image files below a folder, and their labels [N]; `paths` [N] are relative, as bytes, `sizes` [N] in bytes."""

    root: Path
    paths: "NDArray[np.bytes_]" = field(repr=False)
    sizes: "NDArray[np.int64]" = field(repr=False)
    labels: "NDArray[np.int64]" = field(repr=False)
    left_out: Mapping[str, int] = field(default_factory=dict, repr=False)  # how many other files end in what

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "Files":
        """The first `count` files, or all there are."""
        return replace(self, paths=self.paths[:count], sizes=self.sizes[:count], labels=self.labels[:count])

    @property
    def small(self) -> bool:
        """Whether the files are read as a whole before training."""
        return int(self.sizes.sum()) <= READ

    def file(self, path: bytes) -> Path:
        """Where one of `paths` lies."""
        return self.root / os.fsdecode(path)

    def statistics(self) -> Statistics:
        """ImageNet's, as is customary for all photographs."""
        return IMAGENET

    def content(self) -> "Iterator[NDArray[Any]]":
        """Names, sizes and labels; and of at most READ bytes the files themselves. To read more may take minutes."""
        import numpy as np

        yield from (self.paths, self.sizes, self.labels)
        if self.small:
            digests = [hashlib.sha256(self._bytes(path)).digest() for path in self.paths]
            yield np.frombuffer(b"".join(digests), np.uint8)

    def _bytes(self, path: bytes) -> bytes:
        """What a file holds. UserError where it cannot be read."""
        file = self.file(path)
        try:
            return file.read_bytes()
        except OSError as error:
            raise UserError(f"--data: cannot read {file}: {error.strerror}") from error


Parts = tuple[Part | Files, Part | Files, Part | Files]  # training, validation, test


@dataclass(frozen=True)
class Source:
    """What is known of a data set before it is loaded, and how to load its three parts."""

    name: str
    shape: tuple[int, int, int]  # channels, height, width
    classes: int
    description: str
    evidence: str  # what a result on it is evidence of, and what not
    parts: Callable[[Path], Parts] = field(repr=False)  # of the folder of archives
    augmentation: Augmentation = Augmentation()  # the customary one for this data
    archive: "Archive | None" = None  # which has to be in that folder


@dataclass(frozen=True)
class Dataset:
    """A training part, a validation part that guides, and a test part that is read once per trial."""

    name: str
    train: Part | Files
    validation: Part | Files
    test: Part | Files
    classes: int
    shape: tuple[int, int, int]
    description: str
    evidence: str
    augmentation: Augmentation = Augmentation()
    origin: tuple[str, str | None] | None = None  # what `load` was asked for, so that another process can

    @cached_property
    def statistics(self) -> Statistics | None:
        """What images of all parts are normalised by: the training part's pixels; None where they are already."""
        return self.train.statistics()

    @property
    def notice(self) -> str | None:
        """How many other files lie beside the images in the classes' folders; None where there are none."""
        parts = (self.train, self.validation, self.test)
        others = sum((Counter(part.left_out) for part in parts if isinstance(part, Files)), Counter[str]())
        if not others:
            return None
        kinds = ", ".join(f"{count:,} {ending or 'without an ending'}" for ending, count in sorted(others.items()))
        return f"files left out because they are not read as images: {kinds}"

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of every image and label and of the augmentation: data sets that differ anywhere differ here.

        Of large parts in files (see `Files.content`) the names and sizes stand for the images.
        """
        import numpy as np

        digest = hashlib.sha256(repr(self.augmentation).encode() if self.augmentation else b"")
        for part in (self.train, self.validation, self.test):
            for array in part.content():
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
