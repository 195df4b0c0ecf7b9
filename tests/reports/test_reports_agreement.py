"""Kendall's tau-b, its p-value and its interval against SciPy, by hand, and on orders that are known."""

import random
from itertools import combinations

import pytest

from explorer.reports.agreement import LEAST, MOST, agreement, chance_of, interval, swaps
from explorer.reports.statistics import pair_counts, tau_b

scipy_stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("n", [2, 3, 7, 8, 20, 60])
@pytest.mark.parametrize("levels", [3, 1000], ids=["many ties", "few ties"])
def test_tau_b_is_scipys(n, levels):
    chance = random.Random(n * levels)
    x, y = ([chance.randrange(levels) for _ in range(n)] for _ in range(2))
    expected = scipy_stats.kendalltau(x, y).statistic
    assert tau_b(x, y) == (pytest.approx(expected) if expected == expected else None)
    signs = [(x[i] - x[j]) * (y[i] - y[j]) for i, j in combinations(range(n), 2)]
    assert pair_counts(x, y)[:2] == (sum(sign > 0 for sign in signs), sum(sign < 0 for sign in signs))


def test_tau_b_by_hand():
    assert tau_b([1, 2, 3], [1, 2, 3]) == 1 and tau_b([1, 2, 3], [3, 2, 1]) == -1
    assert tau_b([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)
    # one pair tied in x of three, the other two in the same order: (2 - 0) / sqrt(2 * 3)
    assert tau_b([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / 6**0.5)
    assert pair_counts([1, 1, 2], [1, 2, 3]) == (2, 0, 0, 1) and pair_counts([1, 2, 3], [1, 1, 2]) == (2, 0, 1, 0)
    assert tau_b([1, 1, 1], [1, 2, 3]) is None


@pytest.mark.parametrize("n", [3, 5, 6, 8, 15, 40])
def test_p_is_scipys(n):
    chance = random.Random(n)
    x = [chance.random() for _ in range(n)]
    y = [0.6 * value + chance.random() for value in x]
    method = "exact" if n <= 7 else "asymptotic"
    assert chance_of(x, y) == pytest.approx(scipy_stats.kendalltau(x, y, method=method).pvalue)
    tied = [round(3 * value) for value in x]
    if n > 7:
        assert chance_of(tied, y) == pytest.approx(scipy_stats.kendalltau(tied, y, method="asymptotic").pvalue)


def test_p_with_ties_counts_every_permutation():
    # of 24 orders of 1,1,2,2 each third agrees fully with 1,2,3,4's halves, or is opposed to them
    assert chance_of([1, 2, 3, 4], [1, 1, 2, 2]) == pytest.approx(8 / 24)
    assert chance_of([1, 1, 1], [1, 2, 3]) is None


def seeded(levels, noise, seeds=5, start=0):
    """Values by seed around given levels."""
    chance = random.Random(start)
    return [{seed: level + chance.gauss(0, noise) for seed in range(seeds)} for level in levels]


def test_orders_far_apart_agree_whatever_the_seeds():
    levels = [0.1, 0.2, 0.3, 0.4, 0.5]
    found = agreement("abcde", seeded(levels, 0.001), seeded(levels, 0.001, start=1))
    assert (found.tau, found.low, found.high) == (1, 1, 1)
    assert (found.same, found.swapped, found.pairs, found.beyond) == (10, 0, 10, ())
    assert found.p == pytest.approx(2 / 120) and found.seeds == (5, 5)


def test_noise_widens_the_interval_and_names_no_swap():
    found = agreement("abcde", seeded([0.3] * 5, 0.02), seeded([0.3] * 5, 0.02, start=1))
    assert found.low < found.tau < found.high and found.high - found.low > 0.5
    assert found.swapped and not found.beyond


def test_swaps_beyond_the_noise_are_named_the_lower_one_first():
    before, after = seeded([0.2, 0.3, 0.4], 0.0005), seeded([0.3, 0.2, 0.4], 0.0005, start=1)
    found = agreement(["one", "two", "three"], before, after)
    assert found.beyond == (("one", "two"),) and found.tau == pytest.approx(1 / 3)
    assert swaps(after, before) == [(1, 0)]


def test_a_seed_that_moves_all_networks_alike_moves_no_order():
    """The common noise of seeds, ten times the distance of networks, is in both orders and in no difference."""
    shifts = {0: 0.0, 1: 0.1, 2: -0.1, 3: 0.05, 4: -0.02}
    before = [{seed: 0.01 * place + shift for seed, shift in shifts.items()} for place in range(5)]
    assert interval(before, before) == (1, 1)


def test_few_seeds_give_no_interval():
    values = seeded([0.1, 0.2, 0.3], 0.01, seeds=4)
    assert interval(values, values) is None
    found = agreement("abc", [{0: 1.0}, {0: 2.0}, {0: 3.0}], [{0: 1.0, 1: 1.1}, {0: 2.0, 1: 2.1}, {0: 3.0, 1: 3.1}])
    assert (found.tau, found.low, found.high, found.seeds) == (1, None, None, (1, 2))


def test_seeds_that_some_networks_lack_are_drawn_all_the_same():
    before = seeded([0.1, 0.2, 0.3], 0.01, seeds=7)
    del before[0][2], before[0][3], before[1][0]
    low, high = interval(before, seeded([0.1, 0.2, 0.3], 0.01, seeds=7, start=1))
    assert -1 <= low <= high <= 1


def test_only_networks_measured_on_both_sides_count_and_few_have_no_order():
    assert LEAST == 3
    assert agreement("abc", [{0: 1.0}, {}, {0: 2.0}], [{0: 1.0}, {0: 3.0}, {0: 2.0}]) is None
    found = agreement("abcd", [{0: 1.0}, {}, {0: 2.0}, {0: 3.0}], [{0: 1.0}, {0: 3.0}, {0: 2.0}, {0: 4.0}])
    assert found.names == ("a", "c", "d") and found.of == 3


def test_of_many_networks_some_are_drawn_always_the_same():
    values = seeded([0.001 * place for place in range(MOST + 50)], 0.0001, seeds=2)
    names = [str(place) for place in range(MOST + 50)]
    found = agreement(names, values, values)
    assert len(found.names) == MOST and found.of == MOST + 50
    assert found == agreement(names, values, values)
