"""Student's t, paired differences and Holm's correction against SciPy and worked examples."""

import math

import pytest

from explorer.reports.statistics import holm, paired, sample, t_quantile, two_sided_p

scipy_stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 8, 9, 29, 120])
def test_t_distribution_equals_scipys(freedom):
    for t in (0.0, 0.3, 1.0, 2.5, 12.0):
        assert two_sided_p(t, freedom) == pytest.approx(2 * scipy_stats.t.sf(t, freedom), abs=1e-12)
        assert two_sided_p(-t, freedom) == two_sided_p(t, freedom)
    for probability in (0.6, 0.95, 0.975, 0.9999):
        expected = scipy_stats.t.ppf(probability, freedom)
        assert t_quantile(probability, freedom) == pytest.approx(expected, rel=1e-6)


def test_paired_difference_equals_scipys_paired_t_test():
    before, after = {0: 0.30, 1: 0.34, 2: 0.28, 3: 0.33}, {0: 0.27, 1: 0.33, 2: 0.27, 3: 0.29}
    found = paired(after, before)
    expected = scipy_stats.ttest_rel(list(after.values()), list(before.values()))
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.mean == pytest.approx(-0.0225) and found.n == 4


def test_only_seeds_that_both_have_are_paired():
    found = paired({0: 0.5, 1: 0.4, 7: 0.9}, {1: 0.3, 0: 0.3, 5: 0.1})
    assert found.by_seed == ((0, pytest.approx(0.2)), (1, pytest.approx(0.1)))


@pytest.mark.parametrize(
    ("values", "reference"),
    [({0: 0.4}, {0: 0.3}), ({}, {0: 0.3}), ({0: 0.4, 1: 0.5}, {0: 0.3, 1: 0.4})],
    ids=["one seed", "no seed", "the same difference under every seed"],
)
def test_without_a_spread_there_is_no_interval_and_no_p(values, reference):
    found = paired(values, reference)
    assert (found.low, found.high, found.p) == (None, None, None)


def test_sample_says_what_is_undefined():
    assert sample([]).mean is None
    assert (sample([0.2]).mean, sample([0.2]).std) == (0.2, None)
    assert sample([0.1, 0.3]).std == pytest.approx(math.sqrt(0.02))


def test_holm_follows_the_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []
