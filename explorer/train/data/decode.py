"""From an image file to pixels of the network's size, as torchvision's transforms do it, step by step.

Training: RandomResizedCrop (Szegedy et al. 2015: 8 to 100% of the area, 3:4 to 4:3; ten attempts). Otherwise:
Resize to a short side of 256 and CenterCrop to 224. Bilinear with Pillow's antialiasing. Mirroring is done later.
"""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from explorer.errors import UserError

SHORT_SIDE_SHARE = 256 / 224  # of the network's size
AREA, RATIO, ATTEMPTS = (0.08, 1.0), (3 / 4, 4 / 3), 10

Box = tuple[int, int, int, int]  # left, top, right, bottom


def pixels(path: Path, size: int, random: np.random.Generator | None = None) -> NDArray[np.uint8]:
    """A file as pixels [size, size, 3]: a random part, or (None) the centre. UserError naming what is no image."""
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except UnidentifiedImageError as error:
        raise UserError(f"--data: {path} is not an image") from error
    except Exception as error:  # of a damaged file the decoders raise whatever they stumble over
        raise UserError(f"--data: the image {path} cannot be decoded: {error}") from error
    cut = centred(image, size) if random is None else zoomed(image, size, zoom(image.width, image.height, random))
    return np.asarray(cut)


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
