"""Crop, mirror, hole and normalisation of a whole batch at once, on the device the pixels lie on.

What is random is drawn before, for all images of an epoch, on the CPU: the same on every device, whatever else draws
random numbers, and without a wait between host and device.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from explorer.train.data.parts import Augmentation, Statistics


@dataclass(frozen=True)
class Draws:
    """What happens to each of N images; all fields are int64 [N]."""

    top: Tensor  # of the window in the padded image, 0 to 2 * pad
    left: Tensor
    mirrored: Tensor  # 1: yes
    hole_row: Tensor  # the hole's centre in the window
    hole_column: Tensor

    def part(self, start: int, stop: int) -> "Draws":
        """Those of the images from `start` to `stop`."""
        return Draws(*(getattr(self, name)[start:stop] for name in self.__dataclass_fields__))

    def to(self, device: torch.device) -> "Draws":
        """The same on a device."""
        return Draws(*(getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__))


def draw(count: int, augmentation: Augmentation, height: int, width: int, random: torch.Generator) -> Draws:
    """What happens to `count` images of this size: all from one generator, of the CPU."""
    shifts, ways = 2 * augmentation.pad + 1, 2 if augmentation.mirror else 1
    return Draws(*(torch.randint(below, (count,), generator=random) for below in (shifts, shifts, ways, height, width)))


class Preparation:
    """Makes batches of pixels [N, H, W, C] images [N, C, H, W] in float32 and channels_last."""

    def __init__(self, statistics: Statistics | None, device: torch.device) -> None:
        self.statistics: Tensor | None = None
        if statistics is not None:
            self.statistics = torch.tensor((statistics.mean, statistics.deviation), dtype=torch.float32, device=device)

    def plain(self, pixels: Tensor) -> Tensor:
        """Pixels as they are, normalised."""
        return self._normal(pixels).permute(0, 3, 1, 2)

    def _normal(self, pixels: Tensor) -> Tensor:
        """Pixels [N, H, W, C] as normalised float32: row by row, as a channel alone is too short to be fast."""
        if self.statistics is None:
            return pixels.to(torch.float32)
        mean, deviation = (values.repeat(pixels.shape[2]) for values in self.statistics.unbind())
        return ((pixels.flatten(2) - mean) / deviation).view(pixels.shape)

    def augmented(self, pixels: Tensor, which: Tensor, augmentation: Augmentation, draws: Draws) -> Tensor:
        """The images `which` [N] of all pixels: padded, cut out, mirrored, normalised, with a hole.

        What lies outside of the image, and the hole, are 0 after normalisation: the mean colour.
        """
        _, height, width, channels = pixels.shape
        window_rows, window_columns = (torch.arange(side, device=pixels.device) for side in (height, width))
        rows = draws.top[:, None] - augmentation.pad + window_rows
        from_left = torch.where(draws.mirrored[:, None] > 0, width - 1 - window_columns, window_columns)
        columns = draws.left[:, None] - augmentation.pad + from_left
        there = _inside(rows, height)[:, :, None] & _inside(columns, width)[:, None, :]
        if augmentation.cutout:
            hole_rows = _hole(window_rows, draws.hole_row, augmentation.cutout)
            there &= ~(
                hole_rows[:, :, None] & _hole(window_columns, draws.hole_column, augmentation.cutout)[:, None, :]
            )
        first = (which[:, None] * height + rows.clamp(0, height - 1)) * width  # of each row
        places = first[:, :, None] + columns.clamp(0, width - 1)[:, None, :]
        taken = pixels.reshape(-1, channels).index_select(0, places.flatten())
        images = self._normal(taken.view(len(which), height, width, channels))
        return images.mul_(there[:, :, :, None]).permute(0, 3, 1, 2)


def _inside(places: Tensor, side: int) -> Tensor:
    """Which rows or columns are the image's."""
    return (places >= 0) & (places < side)


def _hole(places: Tensor, centre: Tensor, side: int) -> Tensor:
    """Which rows or columns [N, side] a hole around each centre [N] takes."""
    from_start = places - (centre[:, None] - side // 2)
    return (from_start >= 0) & (from_start < side)
