"""The three parts of a data set on the way into one training: batches of images and labels on its device."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from explorer.train.budget import steps_per_epoch
from explorer.train.data.augment import Preparation, draw
from explorer.train.data.parts import Augmentation, Dataset, Files, Part, Statistics

Batches = Iterator[tuple[Tensor, Tensor]]  # images [N, C, H, W] in float32, channels_last; labels [N]


class Feed(Protocol):
    """One part, to be read any number of times."""

    def __len__(self) -> int:
        """The number of images."""

    def shuffled(self, batch: int, augmentation: Augmentation, seed: int, epoch: int, first: int = 0) -> Batches:
        """All images once, augmented, in an order that only seed and epoch (from 0) decide.

        A last batch of a single image is left out (budget.steps_per_epoch), as are those before the batch `first`.
        """

    def in_order(self, batch: int) -> Batches:
        """All images as they are."""


class Feeds:
    """What one trial reads: training and validation part as often as it likes, the test part once."""

    def __init__(self, data: Dataset, device: str, validation_images: int) -> None:
        """Put the training part, and the first images of the validation part, on the device."""
        self._data, self._device = data, torch.device(device)
        self.train = self._feed(data.train)
        self.guide = self._feed(data.validation.first(validation_images))
        self._test_was_read = False

    def glance(self, images: int) -> Tensor:
        """The first `images` of the validation part, [N, C, H, W]."""
        return next(self._feed(self._data.validation.first(images)).in_order(images))[0]

    def seen(self, images: int) -> Feed:
        """The training part again, or the first `images` of files, of which there may be millions."""
        part = self._data.train
        return self._feed(part.first(images)) if isinstance(part, Files) else self.train

    def validation(self) -> Feed:
        """The whole validation part."""
        return self._feed(self._data.validation)

    def test(self) -> Feed:
        """The test part, for the final numbers: asking twice is a mistake in the program, and raises."""
        if self._test_was_read:
            raise RuntimeError("the test part is read once per trial")
        self._test_was_read = True
        return self._feed(self._data.test)

    def _feed(self, part: Part | Files) -> Feed:
        """How a part comes to the device: as a whole, or file by file."""
        statistics = self._data.statistics
        if isinstance(part, Part):
            return Resident(part, statistics, self._device)
        from explorer.train.data.streamed import Streamed  # imports Pillow

        return Streamed(part, self._data.shape[1], statistics, self._device)


class Resident:
    """A part that lies on the device as a whole, as it is stored: uint8 or float32, [N, H, W, C]."""

    def __init__(self, part: Part, statistics: Statistics | None, device: torch.device) -> None:
        pixels = np.ascontiguousarray(part.images.transpose(0, 2, 3, 1))
        self.pixels, self.labels = torch.from_numpy(pixels).to(device), torch.from_numpy(part.labels).to(device)
        self.prepare = Preparation(statistics, device)

    def __len__(self) -> int:
        return len(self.labels)

    def shuffled(self, batch: int, augmentation: Augmentation, seed: int, epoch: int, first: int = 0) -> Batches:
        """See `Feed`."""
        random = generator(seed, epoch)
        device, (count, height, width, _) = self.pixels.device, self.pixels.shape
        order = torch.randperm(count, generator=random).to(device)
        draws = draw(count, augmentation, height, width, random).to(device) if augmentation else None
        for start in range(first * batch, steps_per_epoch(count, batch) * batch, batch):
            which = order[start : start + batch]
            images = (
                self.prepare.augmented(self.pixels, which, augmentation, draws.part(start, start + batch))
                if draws
                else self.prepare.plain(self.pixels[which])
            )
            yield images, self.labels[which]

    def in_order(self, batch: int) -> Batches:
        """See `Feed`."""
        for pixels, labels in zip(torch.split(self.pixels, batch), torch.split(self.labels, batch), strict=True):
            yield self.prepare.plain(pixels), labels


def generator(seed: int, epoch: int) -> torch.Generator:
    """The source of chance of one epoch: knowing its number is enough to go on from there."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))
