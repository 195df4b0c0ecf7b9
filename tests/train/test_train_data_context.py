"""The generated sets: balanced, the same every time, and only place tells what the patterns leave open."""

import numpy as np
import pytest

from explorer.train.data import load
from explorer.train.data.context import HALVES, INK, MARGIN, PAIRS, PAPER, SIDE, SIZE, patterns

NAMES = ("context", "context-absolute")


@pytest.fixture(scope="module", params=NAMES)
def data(request):
    return load(request.param)


def test_sizes_types_and_balance(data):
    for part, per_class in zip((data.train, data.validation, data.test), (200, 50, 200), strict=True):
        assert part.images.shape == (per_class * data.classes, 3, 32, 32)
        assert part.images.dtype == np.uint8
        assert np.bincount(part.labels).tolist() == [per_class] * data.classes
    assert len(set(data.train.labels[:64])) > data.classes / 2
    assert not data.augmentation  # shifting an image would change its class


def test_the_description_counts_rightly(data):
    for part in (data.train, data.validation, data.test):
        assert f"{len(part):,} to " in data.description or f"{len(part):,} images to " in data.description


def test_the_same_images_every_time_and_none_twice(data):
    again = load.__wrapped__(data.name)
    assert again is not data and again.fingerprint == data.fingerprint
    images = np.concatenate([part.images.reshape(len(part), -1) for part in (data.train, data.validation, data.test)])
    assert len(np.unique(images, axis=0)) == len(images)


def found(image):
    """Pattern, top and left of every pattern in an image: where the image differs least from it."""
    ink = (image[0].astype(float) - PAPER) / INK
    fits = []
    for number, pattern in enumerate(patterns()):
        windows = np.lib.stride_tricks.sliding_window_view(ink, (SIDE, SIDE))
        apart = ((windows - pattern) ** 2).mean((2, 3))
        top, left = np.unravel_index(apart.argmin(), apart.shape)
        fits.append((float(apart.min()), number, int(top), int(left)))
    return [fit[1:] for fit in sorted(fits)]


def test_the_upper_and_the_lower_pattern_are_the_class():
    data = load("context")
    for image, label in zip(data.test.images[:150], data.test.labels[:150], strict=True):
        one, other = sorted(found(image)[:2], key=lambda place: place[1])
        assert (one[0], other[0]) == PAIRS[label]
        assert other[1] > one[1] + SIDE  # a row apart, at least


def test_the_half_of_the_pattern_is_the_class():
    data = load("context-absolute")
    for image, label in zip(data.test.images[:150], data.test.labels[:150], strict=True):
        pattern, top, left = found(image)[0]
        assert (pattern, int(top >= SIZE // 2)) == HALVES[label]
        assert top + SIDE <= SIZE // 2 or top >= SIZE // 2
        assert min(top, left) >= MARGIN and max(top, left) <= SIZE - SIDE - MARGIN


@pytest.mark.parametrize("name", NAMES)
def test_who_sees_no_places_is_right_in_half_of_the_cases(name):
    """For every class there is one with the same patterns and, place apart, the same pixels on average."""
    train = load(name).train
    classes = PAIRS if name == "context" else HALVES
    twin = {label: (lower, upper) for label, (upper, lower) in enumerate(PAIRS)}
    if name == "context-absolute":
        twin = {label: (pattern, 1 - half) for label, (pattern, half) in enumerate(HALVES)}
    sums = train.images.astype(float).sum((1, 2, 3))
    means = np.array([sums[train.labels == label].mean() for label in range(len(classes))])
    error = sums.std() / np.sqrt(200)
    for label, other in twin.items():
        assert abs(means[label] - means[classes.index(other)]) < 5 * error


def test_all_places_occur():
    tops = [{top for _, top, _ in [found(image)[0]]} for image in load("context-absolute").train.images[:600]]
    lows = {top for one in tops for top in one}
    assert lows == {*range(MARGIN, 16 - SIDE + 1), *range(16, SIZE - MARGIN - SIDE + 1)}


def test_patterns_are_told_apart_by_many_pixels():
    drawn = patterns().reshape(4, -1)
    assert min((one != other).sum() for i, one in enumerate(drawn) for other in drawn[:i]) >= 16
