"""Loops of array walks: a scope that is run several times in a row, how often may differ from row to row.

What a round reads may grow from round to round. Its counts are then polynomials in the round's number, and their
sum over all rounds is a closed form: exact, whatever the number of rounds.
"""

from collections.abc import Callable
from functools import reduce
from itertools import zip_longest
from operator import and_, ge, le
from typing import Any

from explorer.blocks.quantity import Quantity, product
from explorer.blocks.walk import Differs, alive


class Loop:
    """How often a scope is run. Its outputs go round into the ports `carried`, the first of them first."""

    __slots__ = ("carried", "original", "times")

    def __init__(self, times: Quantity, original: bool = False) -> None:
        self.times = times  # at least 1
        self.carried: tuple[int, ...] = ()
        self.original = original  # segments of a GUNN layer, for `depth` those of its SUNN twin: all read its input


class Uneven(Differs):
    """The rounds of a loop differ by more than a polynomial tells: they have to be walked one by one."""

    def __init__(self, loop: Loop) -> None:
        super().__init__(loop.times)
        self.loop = loop


class Growing:
    """A quantity of a round of a loop: terms[0] + terms[1] i + terms[2] i^2 + ..., i = 0, 1, ... the round's number.

    It behaves as an array. Raises Uneven for what such a polynomial cannot say, or is true in some rounds only.
    """

    __slots__ = ("loop", "terms")
    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # numpy leaves array + Growing to Growing
    dtype = "growing"
    shape = ()

    def __init__(self, loop: Loop, *terms: Quantity) -> None:
        self.loop = loop
        self.terms = terms

    def __add__(self, other: Any) -> "Growing":
        pairs = zip_longest(self.terms, self._terms_of(other), fillvalue=0)
        return Growing(self.loop, *[a + b for a, b in pairs])

    def __mul__(self, other: Any) -> "Growing":
        terms: list[Quantity] = [0] * (len(self.terms) + len(self._terms_of(other)) - 1)
        for i, a in enumerate(self.terms):
            for j, b in enumerate(self._terms_of(other)):
                terms[i + j] = terms[i + j] + a * b
        return Growing(self.loop, *terms)

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> "Growing":
        return self * -1

    def __sub__(self, other: Any) -> "Growing":
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> "Growing":
        return (-self).__add__(other)

    def __floordiv__(self, divisor: Any) -> "Growing":
        return Growing(self.loop, *[term // divisor for term in self._divided(divisor)])

    def __mod__(self, divisor: Any) -> Quantity:
        return self._divided(divisor)[0] % divisor

    def _divided(self, divisor: Any) -> tuple[Quantity, ...]:
        """The terms, if the quotient grows as evenly as they do."""
        self._terms_of(divisor)
        if isinstance(divisor, Growing) or not all(_all_alive(term % divisor == 0) for term in self.terms[1:]):
            raise Uneven(self.loop)
        return self.terms

    def _terms_of(self, other: Any) -> tuple[Quantity, ...]:
        """The other operand's terms. Raises Uneven for what no such polynomial can hold."""
        if isinstance(other, Growing):
            if other.loop is not self.loop:
                raise Uneven(self.loop)
            return other.terms
        if not (isinstance(other, int) or getattr(getattr(other, "dtype", None), "kind", "") in ("i", "b")):
            raise Uneven(self.loop)
        return (other,)

    # --- comparisons: one truth for all rounds ---

    def _ends(self) -> tuple[Quantity, Quantity]:
        """The values in the first and the last round, between which all others lie."""
        first, *higher = self.terms
        rises, falls = (reduce(and_, [sign(term, 0) for term in higher], True) for sign in (ge, le))
        if not _all_alive(rises | falls):
            raise Uneven(self.loop)
        i = self.loop.times - 1
        return first, first + sum(term * i**power for power, term in enumerate(higher, 1))

    def _everywhere(self, holds: Callable[[Quantity], Any]) -> Any:
        first, last = (holds(end) for end in self._ends())
        if not _all_alive(first == last):
            raise Uneven(self.loop)
        return first

    def __ge__(self, other: Any) -> Any:
        return (self - other)._everywhere(lambda x: x >= 0)

    def __gt__(self, other: Any) -> Any:
        return (self - other)._everywhere(lambda x: x > 0)

    def __le__(self, other: Any) -> Any:
        return (self - other)._everywhere(lambda x: x <= 0)

    def __lt__(self, other: Any) -> Any:
        return (self - other)._everywhere(lambda x: x < 0)

    def __eq__(self, other: Any) -> Any:
        if not hasattr(other, "dtype") and not isinstance(other, int):
            return NotImplemented
        difference = self - other
        if all(_all_alive(term == 0) for term in difference.terms):
            return True
        first, last = difference._ends()
        if not _all_alive((first * last > 0) | ((first == 0) & (last == 0))):
            raise Uneven(self.loop)
        return first == 0

    def __ne__(self, other: Any) -> Any:
        same = self.__eq__(other)
        return same if same is NotImplemented else (not same if isinstance(same, bool) else ~same)

    # --- magnitudes, as arrays have them ---

    def __abs__(self) -> "Growing":
        return Growing(self.loop, *[abs(term) for term in self.terms])

    def astype(self, kind: type) -> Any:
        """An array no smaller than the value in any round, if no term is negative."""
        total: Any = 0.0
        for power, term in enumerate(self.terms):
            total = total + kind(1) * term * (kind(1) * self.loop.times) ** power
        return total

    def max(self) -> float:
        """No smaller than any value."""
        total = abs(self).astype(float)
        return float(total.max()) if hasattr(total, "max") else float(total)

    def min(self) -> float:
        """No larger than any value."""
        return -self.max()

    # --- sums ---

    def total(self) -> Quantity:
        """The sum over all rounds."""
        n = self.loop.times
        if len(self.terms) > 4:
            raise Uneven(self.loop)
        result: Quantity = 0
        for term, power_sum in zip(self.terms, (_ones, _firsts, _squares, _cubes), strict=False):
            if not (isinstance(term, int) and term == 0):
                result = result + product(term, power_sum(n))
        return result


def total_of(value: Quantity, loop: Loop) -> Quantity:
    """A count of one round, summed over all rounds of a loop."""
    if isinstance(value, Growing) and value.loop is loop:
        return value.total()
    return value if isinstance(value, int) and value == 0 else product(value, loop.times)


def check_even(value: Quantity) -> None:
    """Raise Uneven for what changes from round to round."""
    if isinstance(value, Growing):
        raise Uneven(value.loop)


def _all_alive(condition: Any) -> bool:
    """Whether a condition holds in all rows that can still exist."""
    return bool(alive(condition).all()) if hasattr(condition, "dtype") else bool(condition)


# --- sums of powers of i = 0 .. n - 1 ---


def _ones(n: Quantity) -> Quantity:
    return n


def _firsts(n: Quantity) -> Quantity:
    return product(n, n - 1) // 2


def _squares(n: Quantity) -> Quantity:
    return product(n - 1, n, 2 * n - 1) // 6


def _cubes(n: Quantity) -> Quantity:
    return product(_firsts(n), _firsts(n))
