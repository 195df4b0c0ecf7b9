"""The power of the paired t test against SciPy's noncentral t, and the seeds that follow from it."""

import math

import pytest

from explorer.reports.power import MOST, POWER, detectable, power, seeds_needed

scipy_stats = pytest.importorskip("scipy.stats")


def reference(effect, n):
    """The power from SciPy's noncentral t."""
    t, shift = scipy_stats.t.ppf(0.975, n - 1), effect * math.sqrt(n)
    below = scipy_stats.nct.cdf(-t, n - 1, shift) if shift < 8 else 0.0  # there it is nothing, for SciPy no number
    return scipy_stats.nct.sf(t, n - 1, shift) + below


@pytest.mark.parametrize("n", [2, 3, 4, 5, 10, 30, 200, 1000])
def test_power_is_that_of_the_noncentral_t(n):
    for effect in (0, 0.01, 0.1, 0.5, 1, 2, 5):
        assert power(effect, n) == pytest.approx(reference(effect, n), abs=2e-9)
    assert power(0, n) == pytest.approx(0.05, abs=1e-9)


def test_an_effect_far_beyond_the_noise_is_as_exact():
    assert power(20, 2) == pytest.approx(reference(20, 2), abs=2e-9)


@pytest.mark.parametrize(("effect", "known"), [(0.5, 34), (0.8, 15), (0.2, 199), (1.0, 10)])
def test_seeds_are_those_of_the_textbooks(effect, known):
    """Cohen's small, medium and large effects, as G*Power gives them for the paired t test."""
    assert seeds_needed(effect, 1.0) == seeds_needed(-3 * effect, 3.0) == known
    assert reference(effect, known) >= POWER > reference(effect, known - 1)


def test_the_fewest_seeds_are_two_and_the_most_have_a_cap():
    assert seeds_needed(1.0, 1e-3) == 2
    assert seeds_needed(0.001, 1.0) == seeds_needed(0.0, 1.0) == MOST + 1


@pytest.mark.parametrize(("difference", "std"), [(None, 0.1), (0.1, None), (0.1, 0.0)])
def test_without_a_noise_no_number_of_seeds_is_given(difference, std):
    assert seeds_needed(difference, std) is None


def test_what_can_be_detected_is_the_inverse():
    for n in (2, 3, 10):
        assert power(detectable(1.0, n), n) == pytest.approx(POWER, abs=1e-5)
    assert detectable(0.02, 5) == pytest.approx(0.02 * detectable(1.0, 5))
