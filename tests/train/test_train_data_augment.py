"""Augmentation of whole batches against one image at a time; and the feeds that a training reads."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.train.data import Augmentation, Dataset, Part, Statistics
from explorer.train.data.augment import Draws, Preparation, draw
from explorer.train.data.feeds import Feeds, Resident, generator

CPU = torch.device("cpu")
STANDARD = Augmentation(pad=4, mirror=True, cutout=16)
VARIED = Augmentation(pad=1, mirror=True, cutout=2)  # leaves something of a small image


def reference(image, statistics, augmentation, top, left, mirrored, hole_row, hole_column):
    """One image [C, H, W], step by step: normalise, pad with zeros, cut out, mirror, make the hole."""
    _, height, width = image.shape
    normal = (image - np.array(statistics.mean)[:, None, None]) / np.array(statistics.deviation)[:, None, None]
    padded = np.pad(normal, ((0, 0), (augmentation.pad,) * 2, (augmentation.pad,) * 2))
    cut = padded[:, top : top + height, left : left + width].copy()
    if mirrored:
        cut = cut[:, :, ::-1].copy()
    for row in range(height):
        for column in range(width):
            first_row, first_column = (at - augmentation.cutout // 2 for at in (hole_row, hole_column))
            in_rows = first_row <= row < first_row + augmentation.cutout
            if in_rows and first_column <= column < first_column + augmentation.cutout:
                cut[:, row, column] = 0
    return cut


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 5), st.booleans(), st.integers(0, 9), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32))
def test_a_batch_is_what_one_image_after_the_other_would_be(pad, mirror, cutout, height, width, seed):
    chance = np.random.default_rng(seed)
    images = chance.integers(0, 256, (7, 3, height, width), np.uint8)
    statistics = Statistics((120.0, 110.5, 100.0), (60.0, 50.0, 40.25))
    augmentation = Augmentation(pad, mirror, cutout)
    which = torch.from_numpy(chance.integers(0, 7, 5))
    draws = draw(5, augmentation, height, width, torch.Generator().manual_seed(seed))
    pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
    made = Preparation(statistics, CPU).augmented(pixels, which, augmentation, draws)
    assert made.dtype == torch.float32 and made.shape == (5, 3, height, width)
    fields = zip(*(getattr(draws, name).tolist() for name in Draws.__dataclass_fields__), strict=True)
    wanted = [
        reference(images[index].astype(float), statistics, augmentation, *own)
        for index, own in zip(which.tolist(), fields, strict=True)
    ]
    np.testing.assert_allclose(made.numpy(), np.stack(wanted), atol=1e-5)


def test_normalised_images_pass_bit_by_bit():
    images = np.random.default_rng(0).normal(size=(4, 3, 5, 6)).astype(np.float32)
    pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
    prepare = Preparation(None, CPU)
    assert np.array_equal(prepare.plain(pixels).numpy(), images)
    draws = Draws(*(torch.zeros(4, dtype=torch.int64) for _ in range(5)))
    assert np.array_equal(prepare.augmented(pixels, torch.arange(4), Augmentation(), draws).numpy(), images)


def test_images_come_in_channels_last():
    part = Part(np.zeros((8, 3, 6, 6), np.uint8), np.zeros(8, np.int64))
    feed = Resident(part, Statistics((0.0,) * 3, (1.0,) * 3), CPU)
    for images, _ in (*feed.in_order(4), *feed.shuffled(4, STANDARD, 0, 0), *feed.shuffled(4, Augmentation(), 0, 0)):
        assert images.is_contiguous(memory_format=torch.channels_last)


def test_draws_cover_their_ranges_evenly():
    draws = draw(9_000, STANDARD, 32, 30, torch.Generator().manual_seed(1))
    for name, values in (("top", 9), ("left", 9), ("mirrored", 2), ("hole_row", 32), ("hole_column", 30)):
        counts = torch.bincount(getattr(draws, name))
        assert len(counts) == values
        assert (counts - 9_000 / values).abs().max() < 5 * (9_000 / values) ** 0.5


def test_without_a_mirror_nothing_is_mirrored():
    assert draw(100, Augmentation(pad=4), 32, 32, torch.Generator()).mirrored.sum() == 0


# -- feeds -------------------------------------------------------------------------------------------


def numbered(count, size=6):
    """Images whose every pixel tells their number."""
    images = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, size, size), np.uint8)
    return Part(images, np.arange(count) % 3)


@pytest.fixture
def feed():
    return Resident(numbered(50), Statistics((0.0,) * 3, (1.0,) * 3), CPU)


def read(batches):
    """All images and labels of some batches."""
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def test_in_order_gives_all_images_as_they_are(feed):
    images, labels = read(feed.in_order(7))
    assert images[:, 0, 0, 0].tolist() == list(range(50))
    assert labels.tolist() == [number % 3 for number in range(50)]


def test_shuffled_gives_every_image_once_with_its_label(feed):
    for augmentation in (Augmentation(), Augmentation(mirror=True)):
        images, labels = read(feed.shuffled(8, augmentation, 0, 0))
        numbers = images[:, 0, 0, 0].to(torch.int64)
        assert sorted(numbers.tolist()) == list(range(50)) != numbers.tolist()
        assert torch.equal(labels, numbers % 3)


def test_a_last_batch_of_one_image_is_left_out(feed):
    assert [len(labels) for _, labels in feed.shuffled(49, Augmentation(), 0, 0)] == [49]
    assert [len(labels) for _, labels in feed.shuffled(48, STANDARD, 0, 0)] == [48, 2]


def test_only_seed_and_epoch_decide(feed):
    first = read(feed.shuffled(8, VARIED, 3, 5))
    torch.manual_seed(99), np.random.seed(99), random.seed(99)
    torch.rand(10)
    before = torch.get_rng_state()
    again = read(feed.shuffled(8, VARIED, 3, 5))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(torch.get_rng_state(), before)
    rest = read(feed.shuffled(8, VARIED, 3, 5, first=2))  # after two batches that were seen already
    assert torch.equal(rest[0], first[0][16:]) and torch.equal(rest[1], first[1][16:])
    other_batches = read(feed.shuffled(50, VARIED, 3, 5))
    assert all(torch.equal(a, b) for a, b in zip(first, other_batches, strict=True))
    for seed, epoch in ((3, 6), (4, 5), (5, 3)):
        assert not torch.equal(read(feed.shuffled(8, VARIED, seed, epoch))[0], first[0])


def test_the_order_does_not_depend_on_the_augmentation(feed):
    plain, mirrored = (read(feed.shuffled(8, Augmentation(mirror=m), 1, 0))[1] for m in (False, True))
    assert torch.equal(plain, mirrored)


def test_every_epoch_and_seed_has_a_generator_of_its_own():
    states = {generator(seed, epoch).initial_seed() for seed in range(30) for epoch in range(30)}
    assert len(states) == 900


@pytest.fixture
def data():
    return Dataset("numbered", numbered(50), numbered(30), numbered(20), 3, (3, 6, 6), "", "")


def test_all_parts_are_normalised_by_the_training_part(data):
    feeds = Feeds(data, "cpu", 10)
    mean, deviation = np.arange(50).mean(), np.arange(50).std()
    for feed, count in ((feeds.train, 50), (feeds.guide, 10), (feeds.validation(), 30), (feeds.test(), 20)):
        images, _ = read(feed.in_order(16))
        assert len(images) == len(feed) == count
        np.testing.assert_allclose(images[:, 0, 0, 0], (np.arange(count) - mean) / deviation, rtol=1e-5)


def test_the_test_part_is_given_once(data):
    feeds = Feeds(data, "cpu", 10)
    feeds.test()
    with pytest.raises(RuntimeError, match="once per trial"):
        feeds.test()


def test_images_in_memory_are_seen_again_without_a_copy(data):
    feeds = Feeds(data, "cpu", 10)
    assert feeds.seen(20) is feeds.train


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_makes_the_same_batches(data):
    here, there = (read(Feeds(data, device, 10).train.shuffled(8, VARIED, 0, 0)) for device in ("cpu", "cuda"))
    torch.testing.assert_close(there[0].cpu(), here[0])
    assert torch.equal(there[1].cpu(), here[1])
