"""How far two ways of measuring put the same networks in the same order: two budgets, or validation and test images.

Kendall's tau-b of the means over seeds. Its interval comes from resampling the seeds (1,000 draws, reproducible), the
same draw for all networks and both sides, because the noise of a seed is common to them; it says how far the noise of
seeds moves tau, not how other networks would be ordered, and lies low, since a mean of drawn seeds is noisier still.
The p-value is for no agreement at all, over the permutations of the networks: all of them up to seven networks, above
these the normal approximation with its correction for ties.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from random import Random
from typing import Any

from explorer.reports.statistics import LEVEL, holm, pair_counts, paired, tau_b

LEAST = 3  # networks that have an order worth a word
MOST = 100  # networks; of more so many are drawn at random
DRAWS = 1000
SEEDS = 5  # fewer give too few different draws for a range
EXACT = 7  # networks whose permutations are all looked at

BySeed = Mapping[int, float]


@dataclass(frozen=True)
class Agreement:
    """The order of networks in two measurements. `low`, `high`: None where there are too few seeds."""

    names: tuple[str, ...]
    before: tuple[BySeed, ...]
    after: tuple[BySeed, ...]
    of: int  # networks there were
    tau: float | None
    low: float | None
    high: float | None
    p: float | None
    same: int  # pairs in the same order
    swapped: int
    beyond: tuple[tuple[str, str], ...]  # swapped in both measurements beyond the noise: before, the first was lower

    @property
    def pairs(self) -> int:
        """All pairs, tied ones too."""
        return math.comb(len(self.names), 2)

    @property
    def seeds(self) -> tuple[int, int]:
        """The fewest and the most seeds of a mean."""
        numbers = [len(values) for values in (*self.before, *self.after)]
        return min(numbers), max(numbers)


def agreement(names: Sequence[str], before: Sequence[BySeed], after: Sequence[BySeed]) -> Agreement | None:
    """Compare two orders of the networks, from values by seed; None of fewer than LEAST that have both."""
    there = [index for index in range(len(names)) if before[index] and after[index]]
    if len(there) < LEAST:
        return None
    kept = sorted(Random(0).sample(there, MOST)) if len(there) > MOST else there
    words = tuple(names[index] for index in kept)
    first, second = (tuple(side[index] for index in kept) for side in (before, after))
    x, y = _means(first), _means(second)
    same, swapped, _, _ = pair_counts(x, y)
    low, high = interval(first, second) or (None, None)
    beyond = tuple((words[i], words[j]) for i, j in swaps(first, second))
    tau, p = tau_b(x, y), chance_of(x, y)
    return Agreement(words, first, second, len(there), tau, low, high, p, same, swapped, beyond)


def _means(values: Sequence[BySeed]) -> list[float]:
    return [math.fsum(own.values()) / len(own) for own in values]


def interval(before: Sequence[BySeed], after: Sequence[BySeed]) -> tuple[float, float] | None:
    """Between which values tau-b lies in 95% of the draws of seeds; None for less than SEEDS of any network."""
    import numpy

    if min(len(values) for values in (*before, *after)) < SEEDS:
        return None
    seeds = sorted({seed for values in (*before, *after) for seed in values})
    counts = numpy.random.default_rng(0).multinomial(len(seeds), [1 / len(seeds)] * len(seeds), DRAWS)
    x, y = (_resampled(numpy, values, seeds, counts) for values in (before, after))
    taus = [tau for a, b in zip(x, y, strict=True) if (tau := tau_b(a, b)) is not None]
    if not taus:
        return None
    low, high = numpy.quantile(taus, [LEVEL / 2, 1 - LEVEL / 2])
    return float(low), float(high)


def _resampled(numpy: Any, values: Sequence[BySeed], seeds: Sequence[int], counts: Any) -> Any:
    """Means [draw, network] over the seeds drawn; of a network that has none of them its own mean."""
    there = numpy.array([[seed in own for seed in seeds] for own in values], dtype=float)
    known = numpy.array([[own.get(seed, 0.0) for seed in seeds] for own in values])
    drawn = counts @ there.T
    return numpy.where(drawn > 0, counts @ known.T / numpy.maximum(drawn, 1), numpy.array(_means(values)))


def swaps(before: Sequence[BySeed], after: Sequence[BySeed]) -> list[tuple[int, int]]:
    """Pairs whose order changes, beyond the noise in both measurements; the one that was lower before comes first.

    The p-value of a swap is the larger of the two paired tests'; Holm's correction is for all pairs of networks.
    """
    found, p_values = [], []
    for i, j in combinations(range(len(before)), 2):
        first, second = paired(before[i], before[j]), paired(after[i], after[j])
        swap = (first.mean or 0) * (second.mean or 0) < 0
        p_values.append(max(first.p, second.p) if swap and first.p is not None and second.p is not None else 1.0)
        found.append((i, j) if (first.mean or 0) < 0 else (j, i))
    return [pair for pair, p in zip(found, holm(p_values), strict=True) if p < LEVEL]


def chance_of(x: Sequence[float], y: Sequence[float]) -> float | None:
    """The two-sided p-value of tau-b if every order of the networks were as likely; None where tau-b is undefined."""
    tau = tau_b(x, y)
    if tau is None:
        return None
    if len(x) <= EXACT:
        taus = [tau_b(x, order) or 0.0 for order in permutations(y)]
        return sum(abs(other) >= abs(tau) - 1e-12 for other in taus) / len(taus)
    same, swapped, _, _ = pair_counts(x, y)
    return math.erfc(abs(same - swapped) / math.sqrt(2 * _variance(x, y)))


def _variance(x: Sequence[float], y: Sequence[float]) -> float:
    """Of the pairs in the same order less those in the opposite one (Kendall 1970, with ties)."""
    n = len(x)
    groups = [list(Counter(values).values()) for values in (x, y)]
    full = n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for own in groups for t in own)
    twos, threes = ([sum(math.perm(t, k) for t in own) for own in groups] for k in (2, 3))
    return full / 18 + math.prod(twos) / (2 * n * (n - 1)) + math.prod(threes) / (9 * n * (n - 1) * (n - 2))
