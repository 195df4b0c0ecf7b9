"""The digits: three parts that share nothing, the same every time, and enlarged as torch would."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from explorer.errors import UserError
from explorer.train.data import Part, enlarge, load, source, stratified


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def test_sizes_types_and_shapes(digits):
    assert [len(part) for part in (digits.train, digits.validation, digits.test)] == [300, 200, 1297]
    for part in (digits.train, digits.validation, digits.test):
        assert part.images.shape == (len(part), *digits.shape) == (len(part), 3, 32, 32)
        assert part.images.dtype == np.float32
        assert part.labels.dtype == np.int64
        assert set(part.labels) == set(range(digits.classes))


def test_training_and_validation_are_balanced(digits):
    assert np.bincount(digits.train.labels).tolist() == [30] * 10
    assert np.bincount(digits.validation.labels).tolist() == [20] * 10


def test_classes_are_mixed_within_a_part(digits):
    assert len(set(digits.train.labels[:64])) == 10


def test_no_image_is_in_two_parts(digits):
    parts = [digits.train, digits.validation, digits.test]
    images = np.concatenate([part.images.reshape(len(part), -1) for part in parts])
    assert len(np.unique(images, axis=0)) == 1797


def test_normalised_by_the_training_part(digits):
    assert digits.train.images.mean() == pytest.approx(0, abs=1e-5)
    assert digits.train.images.std() == pytest.approx(1, abs=1e-5)


def test_every_part_is_noisy(digits):
    """A digit's corner is always white paper, so what varies there is noise: 0.25 of 16 grey levels."""
    from sklearn.datasets import load_digits

    clean = load_digits().images / 16
    noisy_deviation = np.sqrt(clean.var() + 0.25**2)  # what the images were divided by, before bilinear smoothing
    for part in (digits.train, digits.validation, digits.test):
        corner = part.images[:, 0, 0, 0]  # bilinear with clamped ends: the corner is one original pixel
        assert 0.8 < corner.std() / (0.25 / noisy_deviation) < 1.4


def test_loading_again_gives_the_same_images(digits):
    load.cache_clear()
    again = load("digits")
    assert again is not digits
    assert again.fingerprint == digits.fingerprint
    assert np.array_equal(again.test.images, digits.test.images)


def test_the_fingerprint_sees_one_pixel_and_one_label(digits):
    images, labels = digits.test.images.copy(), digits.test.labels.copy()
    images[-1, 0, 0, 0] += 1
    labels[-1] = (labels[-1] + 1) % 10
    changed = [Part(images, digits.test.labels), Part(digits.test.images, labels)]
    prints = {replace(digits, test=part).fingerprint for part in changed}
    assert len(prints | {digits.fingerprint}) == 3


def test_enlarging_is_torchs_bilinear():
    images = np.random.default_rng(1).normal(size=(3, 8, 8))
    wanted = torch.nn.functional.interpolate(torch.from_numpy(images)[:, None], size=32, mode="bilinear")
    np.testing.assert_allclose(enlarge(images, 32), wanted[:, 0].numpy(), atol=1e-12)


def test_stratified_parts_cover_everything_once():
    labels = np.repeat(np.arange(3), [10, 20, 30])
    parts = stratified(labels, (2, 5), np.random.default_rng(0))
    assert [np.bincount(labels[part]).tolist() for part in parts] == [[2, 2, 2], [5, 5, 5], [3, 13, 23]]
    assert sorted(np.concatenate(parts)) == list(range(60))


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"--data.*'digit'.*did you mean 'digits'"):
        source("digit")
    with pytest.raises(UserError, match=r"known: .*digits"):
        load("x" * 100_000)
