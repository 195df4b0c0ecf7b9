"""From an image file to pixels of the network's size, as torchvision's transforms do it, step by step.

Training: RandomResizedCrop (Szegedy et al. 2015: 8 to 100% of the area, 3:4 to 4:3; ten attempts). Otherwise:
Resize to a short side of 256 and CenterCrop to 224. Bilinear with Pillow's antialiasing. Mirroring is done later.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from explorer.errors import UserError

SHORT_SIDE_SHARE = 256 / 224  # of the network's size
SIXTEEN_BITS = ("PNG", "PPM")  # formats whose mode I, 32 bits in memory, is of 16 bits in the file
AREA, RATIO, ATTEMPTS = (0.08, 1.0), (3 / 4, 4 / 3), 10

Box = tuple[int, int, int, int]  # left, top, right, bottom


def pixels(path: Path, size: int, random: np.random.Generator | None = None) -> NDArray[np.uint8]:
    """A file as pixels [size, size, 3]: a random part, or (None) the centre. UserError naming what is no image."""
    image = decoded(path)
    cut = centred(image, size) if random is None else zoomed(image, size, zoom(image.width, image.height, random))
    return np.asarray(cut)


def decoded(path: Path) -> Image.Image:
    """A file as an image in red, green and blue of 8 bits. UserError naming what is no image."""
    with _opened(path) as image:
        return _coloured(image)


def check_header(path: Path) -> None:
    """UserError naming a file that does not begin as an image does; the rest of it is not read."""
    with _opened(path):
        pass


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image that is not decoded yet. UserError, naming the file, for whatever goes wrong with it."""
    try:
        with Image.open(path) as image:
            yield image
    except UnidentifiedImageError as error:
        raise UserError(f"--data: {path} is not an image") from error
    except Exception as error:  # of a damaged file the decoders raise whatever they stumble over
        raise UserError(f"--data: the image {path} cannot be decoded: {error}") from error


def _coloured(image: Image.Image) -> Image.Image:
    """An image in RGB. Pillow would cut greys of 16 bits off at 255; ValueError where the range is not known."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in SIXTEEN_BITS):
        greys = np.asarray(image).astype(np.int64)
        image = Image.fromarray(((greys + 128) // 257).astype(np.uint8))  # 0 to 65,535, rounded
    if image.mode in ("I", "F"):
        raise ValueError("its greys have 32 bits, and which of them is white is not said; wanted: 8 or 16 bits")
    return image.convert("RGB")


def zoom(width: int, height: int, random: np.random.Generator) -> Box:
    """A random part of an image of this size; its centre, as far as the ratio allows, where no attempt fits."""
    for _ in range(ATTEMPTS):
        area = width * height * random.uniform(*AREA)
        ratio = math.exp(random.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(random.integers(width - w + 1)), int(random.integers(height - h + 1))
            return left, top, left + w, top + h
    w, h = min(width, round(height * RATIO[1])), min(height, round(width / RATIO[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def zoomed(image: Image.Image, size: int, box: Box) -> Image.Image:
    """The part of an image in a box, at size x size."""
    return image.crop(box).resize((size, size), Image.Resampling.BILINEAR)


def centred(image: Image.Image, size: int) -> Image.Image:
    """The central size x size of an image whose short side is resized to 256/224 of that."""
    short = round(size * SHORT_SIDE_SHARE)
    width, height = (short if side == min(image.size) else int(short * side / min(image.size)) for side in image.size)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return resized.crop((left, top, left + size, top + size))
