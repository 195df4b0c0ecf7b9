"""How many seeds a difference needs to be seen: the power of the two-sided paired t test.

The power is P(|T'| > t) for T' noncentral t. Given the sample's standard deviation s, in units of the true one, T' is
normal; so P(T' > t) is the mean of Phi(shift - t s) over the distribution of s, the root of chi-square over its degrees
of freedom. The mean is taken by the trapezoidal rule over log s, where the integrand and all its derivatives vanish at
both ends and the rule converges exponentially: errors are below 1e-9 (tested against SciPy).
"""

import math
from functools import lru_cache

from explorer.reports.statistics import LEVEL, t_quantile

POWER = 0.8
MOST = 1000  # seeds; MOST + 1 stands for more
_STEPS, _WIDEST = 400, 0.025  # nodes, at least, and the step between them, at most


def seeds_needed(difference: float | None, std: float | None) -> int | None:
    """The fewest seeds with which a true mean `difference` is found at LEVEL with probability POWER.

    `std` is that of the paired differences. MOST + 1: more than MOST. None where no noise can be estimated.
    """
    if difference is None or std is None or math.isclose(std, 0, abs_tol=1e-12):
        return None
    effect = abs(difference) / std
    if power(effect, MOST) < POWER:
        return MOST + 1
    few, enough = 1, MOST
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if power(effect, middle) >= POWER else (middle, enough)
    return enough


def detectable(std: float, n: int) -> float:
    """The mean difference that `n` >= 2 seeds find at LEVEL with probability POWER, by bisection."""
    low, high = 0.0, 1.0
    while power(high, n) < POWER:
        high *= 2
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, n) >= POWER else (middle, high)
    return high * std


@lru_cache(10_000)
def power(effect: float, n: int) -> float:
    """The probability that `n` >= 2 pairs show a difference of `effect` standard deviations at LEVEL."""
    t, shift = t_quantile(1 - LEVEL / 2, n - 1), abs(effect) * math.sqrt(n)
    nodes = _nodes(n - 1)
    return min(1.0, math.fsum(w * (_phi(shift - t * s) + _phi(-shift - t * s)) for s, w in nodes))


@lru_cache(2_000)
def _nodes(freedom: int) -> tuple[tuple[float, float], ...]:
    """Values of s, the root of chi-square over its degrees of freedom, and their weights."""
    reach = 8 / math.sqrt(2 * freedom)
    low, high = -reach - 20 / freedom, min(reach, 2.5)
    steps = max(_STEPS, math.ceil((high - low) / _WIDEST))
    step = (high - low) / steps
    constant = math.log(2 * step) + freedom / 2 * math.log(freedom / 2) - math.lgamma(freedom / 2)
    places = [low + k * step for k in range(steps + 1)]
    return tuple((math.exp(u), math.exp(constant + freedom * (u - math.exp(2 * u) / 2))) for u in places)


def _phi(z: float) -> float:
    """The normal distribution function."""
    return math.erfc(-z / math.sqrt(2)) / 2
