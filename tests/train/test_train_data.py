"""The digits: three parts that share nothing, the same every time, and enlarged as torch would."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from explorer.errors import UserError
from explorer.train.data import SOURCES, Augmentation, Part, load, source
from explorer.train.data.digits import enlarge
from explorer.train.data.sources import archive_folder
from explorer.train.data.splits import stratified


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


def test_the_fingerprint_sees_the_augmentation(digits):
    assert replace(digits, augmentation=Augmentation(mirror=True)).fingerprint != digits.fingerprint


def test_statistics_are_those_of_all_pixels_of_a_channel():
    images = np.random.default_rng(2).integers(0, 256, (1500, 3, 4, 5), np.uint8)
    images[:, 1] //= 3
    found = Part(images, np.zeros(1500, np.int64)).statistics()
    np.testing.assert_allclose(found.mean, images.mean((0, 2, 3)))
    np.testing.assert_allclose(found.deviation, images.std((0, 2, 3)))


def test_images_that_are_normalised_have_no_statistics(digits):
    assert digits.statistics is None


def test_enlarging_is_torchs_bilinear():
    images = np.random.default_rng(1).normal(size=(3, 8, 8))
    wanted = torch.nn.functional.interpolate(torch.from_numpy(images)[:, None], size=32, mode="bilinear")
    np.testing.assert_allclose(enlarge(images, 32), wanted[:, 0].numpy(), atol=1e-12)


def test_stratified_parts_cover_everything_once():
    labels = np.repeat(np.arange(3), [10, 20, 30])
    parts = stratified(labels, (2, 5), np.random.default_rng(0))
    assert [np.bincount(labels[part]).tolist() for part in parts] == [[2, 2, 2], [5, 5, 5], [3, 13, 23]]
    assert sorted(np.concatenate(parts)) == list(range(60))


def test_stratified_parts_may_hold_so_many_of_each_class():
    labels = np.repeat(np.arange(3), [10, 20, 30])
    held_out, rest = stratified(labels, (np.array([1, 0, 3]),), np.random.default_rng(0))
    assert np.bincount(labels[held_out]).tolist() == [1, 0, 3]
    assert np.bincount(labels[rest]).tolist() == [9, 20, 27]


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"--data.*'digit'.*did you mean 'digits'"):
        source("digit")
    with pytest.raises(UserError, match=r"did you mean 'cifar10'"):
        load("cifar-10")
    with pytest.raises(UserError, match=r"known: .*digits"):
        load("x" * 100_000)


def test_everything_about_a_data_set_but_its_images_is_known_before_loading():
    for name, described in SOURCES.items():
        assert described.name == name and described.description and described.evidence
        assert described.shape == (3, 32, 32) and described.classes > 1


def test_archives_lie_where_the_option_or_the_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("EXPLORER_DATA", raising=False)
    assert archive_folder() == tmp_path / ".cache" / "explorer"
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert str(archive_folder()) == "/elsewhere/explorer"
    monkeypatch.setenv("EXPLORER_DATA", "/data")
    assert str(archive_folder()) == "/data"
    assert archive_folder("~/mine") == tmp_path / "mine"
