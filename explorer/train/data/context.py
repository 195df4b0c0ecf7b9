"""Generated images whose class depends on *where* patterns stand: to each other, or in the image.

MS-SAR's introduction argues from such cues, as of one thing upon another. Four patterns lie in noise.
`context`: two different ones, the class is which and which of them is the upper: 12 ordered pairs. `context-absolute`:
one, the class is which and whether it lies in the upper or the lower half: 8. Whoever knows the patterns but not
their places is right in half of the cases.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from explorer.train.data.parts import Part

SIZE, SIDE = 32, 8  # of an image and of a pattern, pixels
MARGIN = 5  # `context-absolute`: between a pattern and the border, whose padding would tell the place
GAP = 1  # `context`: rows between the two patterns, at least
PER_CLASS = (200, 50, 200)  # images to train, validate and test
PAPER, INK, NOISE = 64, 128, 40  # grey of the ground, of a pattern above it, standard deviation
PAIRS = tuple((upper, lower) for upper in range(4) for lower in range(4) if upper != lower)
HALVES = tuple((pattern, half) for pattern in range(4) for half in range(2))  # half 0 is the upper
SEED = 0

Place = Callable[[int, np.random.Generator], list[tuple[int, int, int]]]  # of a label: pattern, top, left of each


def relative() -> tuple[Part, Part, Part]:
    """`context`: 2,400, 600 and 2,400 images; any two rows for the two patterns, any columns."""
    return _parts(len(PAIRS), _pair)


def absolute() -> tuple[Part, Part, Part]:
    """`context-absolute`: 1,600, 400 and 1,600 images; any place within a half, off the border."""
    return _parts(len(HALVES), _half)


def patterns() -> NDArray[np.bool_]:
    """The four patterns [4, 8, 8]: rows, columns, squares, a ring."""
    y, x = np.indices((SIDE, SIDE))
    from_border = np.minimum(np.minimum(y, SIDE - 1 - y), np.minimum(x, SIDE - 1 - x))
    return np.stack([y // 2 % 2 == 0, x // 2 % 2 == 0, (y // 2 + x // 2) % 2 == 0, from_border < 2])


def _pair(label: int, random: np.random.Generator) -> list[tuple[int, int, int]]:
    """Pattern, top and left of the two that `label` orders: all pairs of rows are equally likely."""
    free = SIZE - 2 * SIDE - GAP  # rows that belong to none
    first, second = np.sort(random.choice(free + 2, 2, replace=False)) - (0, 1)
    tops = int(first), int(second) + SIDE + GAP
    return [
        (pattern, top, int(random.integers(SIZE - SIDE + 1))) for pattern, top in zip(PAIRS[label], tops, strict=True)
    ]


def _half(label: int, random: np.random.Generator) -> list[tuple[int, int, int]]:
    """Pattern, top and left of the one of `label`."""
    pattern, half = HALVES[label]
    middle = SIZE // 2
    tops = (MARGIN, middle - SIDE) if half == 0 else (middle, SIZE - MARGIN - SIDE)
    top, left = random.integers(tops[0], tops[1] + 1), random.integers(MARGIN, SIZE - MARGIN - SIDE + 1)
    return [(pattern, int(top), int(left))]


def _parts(classes: int, place: Place) -> tuple[Part, Part, Part]:
    """The three parts, each from a generator of its own."""
    train, validation, test = (
        _part(count, classes, place, np.random.default_rng([SEED, number])) for number, count in enumerate(PER_CLASS)
    )
    return train, validation, test


def _part(per_class: int, classes: int, place: Place, random: np.random.Generator) -> Part:
    """Images in three equal channels, `per_class` of each class, in random order."""
    labels = random.permutation(np.repeat(np.arange(classes), per_class))
    drawn = patterns()
    images = np.full((len(labels), SIZE, SIZE), PAPER, np.float64)
    for image, label in zip(images, labels, strict=True):
        for pattern, top, left in place(label, random):
            image[top : top + SIDE, left : left + SIDE] += INK * drawn[pattern]
    noisy = np.clip(np.rint(images + random.normal(0, NOISE, images.shape)), 0, 255).astype(np.uint8)
    return Part(np.repeat(noisy[:, None], 3, axis=1), labels.astype(np.int64))
