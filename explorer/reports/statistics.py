"""Means, spreads and paired differences over few seeds, with Student's t and Holm's correction; Kendall's tau-b.

The t distribution is written out (Abramowitz and Stegun 26.7.3 and 26.7.4, exact for whole degrees of
freedom), because SciPy is not among the requirements and takes a second to import.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

LEVEL = 0.05  # of every test; intervals hold with 1 - LEVEL


@dataclass(frozen=True)
class Sample:
    """Mean, standard deviation over seeds (n - 1 in the denominator) and n; None where undefined."""

    mean: float | None
    std: float | None
    n: int


def sample(values: Sequence[float]) -> Sample:
    """Summarise measured values."""
    if not values:
        return Sample(None, None, 0)
    mean = math.fsum(values) / len(values)
    squares = math.fsum([(value - mean) ** 2 for value in values])
    return Sample(mean, math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else None, len(values))


@dataclass(frozen=True)
class Difference:
    """A paired difference over the seeds both have: mean, its t interval and two-sided p.

    `low`, `high` and `p` are None where no noise can be estimated: fewer than two seeds, or differences
    that are equal under every seed.
    """

    by_seed: tuple[tuple[int, float], ...]
    mean: float | None
    std: float | None
    low: float | None
    high: float | None
    p: float | None

    @property
    def n(self) -> int:
        """Number of pairs."""
        return len(self.by_seed)


def paired(values: Mapping[int, float], reference: Mapping[int, float]) -> Difference:
    """`values` minus `reference`, both by seed, over the seeds they share."""
    pairs = tuple((seed, values[seed] - reference[seed]) for seed in sorted(values.keys() & reference.keys()))
    found = sample([difference for _, difference in pairs])
    if found.mean is None or found.std is None or math.isclose(found.std, 0, abs_tol=1e-12):
        return Difference(pairs, found.mean, found.std, None, None, None)
    error = found.std / math.sqrt(found.n)
    reach = t_quantile(1 - LEVEL / 2, found.n - 1) * error
    p = two_sided_p(found.mean / error, found.n - 1)
    return Difference(pairs, found.mean, found.std, found.mean - reach, found.mean + reach, p)


def two_sided_p(t: float, freedom: int) -> float:
    """The probability that |T| >= |t| for Student's T with `freedom` >= 1 degrees of freedom."""
    theta = math.atan(abs(t) / math.sqrt(freedom))
    cosine, sine = math.cos(theta), math.sin(theta)
    odd = freedom % 2
    term = total = cosine if odd else 1.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    inside = sine * total if freedom > 1 else 0.0
    if odd:
        inside = 2 / math.pi * (theta + inside)
    return min(1.0, max(0.0, 1 - inside))


@lru_cache(10_000)
def t_quantile(probability: float, freedom: int) -> float:
    """The t below which Student's T lies with `probability` in [0.5, 1), by bisection."""
    tail = 2 * (1 - probability)
    low, high = 0.0, 1.0
    while two_sided_p(high, freedom) > tail:
        high *= 2
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided_p(middle, freedom) > tail else (low, middle)
    return (low + high) / 2


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given: all claims at LEVEL hold together."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def tau_b(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Kendall's tau-b: agreement in order, -1 to 1, corrected for ties; None where all values of a side are equal."""
    concordant, discordant, only_x, only_y = pair_counts(x, y)
    untied = concordant + discordant
    both = (untied + only_x) * (untied + only_y)
    return (concordant - discordant) / math.sqrt(both) if both else None


def pair_counts(x: Sequence[float], y: Sequence[float]) -> tuple[int, int, int, int]:
    """Pairs in the same order, in opposite order, tied in y alone (ordered in x only), and tied in x alone."""
    import numpy  # in Python itself a bootstrap would take seconds

    across, up = numpy.sign(numpy.subtract.outer(x, x)), numpy.sign(numpy.subtract.outer(y, y))
    both = across * up
    product, square = int(both.sum()) // 2, int(numpy.abs(both).sum()) // 2
    ordered_x, ordered_y = int(numpy.abs(across).sum()) // 2, int(numpy.abs(up).sum()) // 2
    return (square + product) // 2, (square - product) // 2, ordered_x - square, ordered_y - square
