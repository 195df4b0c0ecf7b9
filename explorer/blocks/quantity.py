"""Quantities: Python ints, int64 numpy arrays (one walk costs many networks) or sympy symbols (formulas).

`check` validates all three: an int raises, an array masks rows, a symbol records the assumption.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from typing import Any

from explorer.blocks.walk import LARGEST, Differs, TooLarge, alive, decide, is_growing, single
from explorer.blocks.walk import assume as assume
from explorer.blocks.walk import check as check
from explorer.blocks.walk import is_array as is_array
from explorer.blocks.walk import is_symbolic as is_symbolic
from explorer.blocks.walk import walking as walking
from explorer.errors import ArchError

Quantity = Any  # int | numpy.ndarray | sympy.Expr: mypy cannot say "closed under arithmetic"


def product(*factors: Quantity) -> Quantity:
    """The exact product. Raises TooLarge where that of arrays would be beyond LARGEST."""
    result = math.prod(factors)
    if type(result) is not int and is_array(result) and math.prod(_bound(f) for f in factors) > LARGEST:
        estimate: Any = math.prod(abs(f).astype(float) if is_array(f) else abs(float(f)) for f in factors)
        if bool(alive(estimate > LARGEST).any()):
            raise TooLarge(estimate > LARGEST)
    return result


def _bound(factor: Quantity) -> float:
    """No smaller than the magnitude of any entry."""
    return float(max(factor.max(), -factor.min())) if is_array(factor) else abs(float(factor))


def positive(value: Quantity, what: str) -> Quantity:
    """`value` if it is a whole number of at least 1. Raises ArchError naming `what` otherwise."""
    if type(value) is int:
        if value >= 1:
            return value
        raise ArchError(f"{what} must be at least 1, not {value}")
    if isinstance(value, bool) or not (is_array(value) or is_symbolic(value)):
        raise ArchError(f"{what} must be a whole number, not {show(value)}")
    if is_array(value):
        value = whole(value, what)
    if not (is_symbolic(value) and value.is_positive):  # a positive symbol that is whole is at least 1
        check(value >= 1, lambda: f"{what} must be at least 1")
    return value


def whole(value: Any, what: str) -> Any:
    """An array as int64; rows with fractions are masked."""
    if value.dtype == object:
        check(value % 1 == 0, lambda: f"{what} must be a whole number")
        return (value // 1).astype("int64")
    return value


def count(value: Any, what: str) -> int:
    """A number of repetitions: a plain int of at least 0. Raises ArchError naming `what` otherwise."""
    if is_symbolic(value) and value.is_Integer:
        value = int(value)
    if type(value) is int and value >= 0:
        return value
    if is_array(value):
        value = whole(value, what)
        check(value >= 0, lambda: f"{what} must be a whole number of at least 0")
        return int(single(value, _REPEATS.format(what)))
    if is_symbolic(value):
        raise ArchError(_REPEATS.format(what))
    raise ArchError(f"{what} must be a whole number of at least 0, not {show(value)}")


_REPEATS = "{} decides how often something repeats, so it must be one plain integer"


def repetitions(value: Any, what: str) -> Quantity:
    """A number of repetitions as `count` has it, or an array of them where the rows differ."""
    try:
        return count(value, what)
    except Differs as differs:
        if is_growing(value):
            raise
        return differs.rows


def same(a: Any, b: Any) -> bool:
    """Whether two quantities are equal, in all rows that can still exist."""
    if a is b:
        return True
    equal = a == b
    return bool(alive(equal).all()) if is_array(equal) else bool(equal)


def divide_exactly(a: Quantity, b: Quantity, message: Callable[[], str]) -> Quantity:
    """a / b where b divides a. Raises ArchError(message()) otherwise."""
    if type(a) is int and type(b) is int:
        if b > 0 and a % b == 0:
            return a // b
        raise ArchError(message())
    if is_symbolic(a) or is_symbolic(b):
        return _symbolic_quotient(a, b)
    if is_array(b):
        check(b > 0, message)
        b = largest(b, 1)  # where it is not, the row is masked
    check(a % b == 0, message)
    return a // b


def quotient(a: Any, b: Any) -> Any:
    """a / b of arrays: int64 where b divides a in all rows, else exact fractions."""
    b = _divisor(b)
    rest = a % b
    if bool((alive(rest) == 0).all()) if is_array(rest) else rest == 0:
        return a // b
    import numpy

    divide = numpy.frompyfunc(lambda x, y: Fraction(x) / Fraction(y), 2, 1)
    return divide(*[x.astype(object) if is_array(x) else x for x in (a, b)])


def _divisor(b: Any) -> Any:
    """A divisor that is not zero; rows where it would be are masked."""
    if is_array(b):
        check(b != 0, lambda: "division by zero")
        return b + (b == 0)
    if b == 0:
        raise ArchError("division by zero")
    return b


def remainder(a: Any, b: Any) -> Any:
    """a % b, for ints and arrays."""
    return a % _divisor(b)


def floor_divide(a: Quantity, b: Quantity) -> Quantity:
    """a // b; on symbols b is taken to divide a, and the assumption is recorded."""
    if is_symbolic(a) or is_symbolic(b):
        return _symbolic_quotient(a, b)
    return a // _divisor(b)


def _symbolic_quotient(a: Quantity, b: Quantity) -> Quantity:
    import sympy

    quotient = sympy.cancel(sympy.sympify(a) / b)
    if not quotient.is_integer:
        above, below = quotient.as_numer_denom()
        assume(f"{below} divides {above}")
    return quotient


def largest(*values: Quantity) -> Quantity:
    """max; on symbols a positive symbolic value is taken to be at least 1, and recorded."""
    if any(is_symbolic(v) for v in values):
        import sympy

        symbolic = [v for v in values if is_symbolic(v) and v.free_symbols]
        if len(symbolic) == 1 and all(v in (0, 1) for v in values if v is not symbolic[0]):
            if symbolic[0].is_positive is not True:
                assume(f"{symbolic[0]} >= 1")
            return symbolic[0]
        return sympy.Max(*values)
    return _extreme("maximum", values) if any(is_array(v) for v in values) else max(values)


def smallest(*values: Quantity) -> Quantity:
    """min, for all three kinds of quantity."""
    if any(is_symbolic(v) for v in values):
        import sympy

        return sympy.Min(*values)
    return _extreme("minimum", values) if any(is_array(v) for v in values) else min(values)


def _extreme(name: str, values: tuple[Quantity, ...]) -> Quantity:
    if any(is_growing(v) for v in values):
        return reduce(lambda a, b: a if decide(a >= b) is (name == "maximum") else b, values)
    import numpy

    return reduce(getattr(numpy, name), values)


def window_count(size: Quantity, kernel: int, stride: int, padding: int, what: str) -> Quantity:
    """Positions of a window along one side: floor((size + 2 padding - kernel) / stride) + 1.

    Raises ArchError when the window is larger than the padded side.
    """
    span = size + (2 * padding - kernel)
    if type(span) is int:
        if span < 0:
            raise ArchError(f"{what}: a window of {kernel} does not fit a side of {size} with padding {padding}")
        return span // stride + 1
    if is_array(size) or kernel - 2 * padding > 1:  # a symbolic side is at least 1
        check(span >= 0, lambda: f"{what}: a window of {kernel} does not fit a side of {size}")
    if stride == 1:
        return span + 1
    if is_symbolic(size):
        return _symbolic_quotient(size, stride) + (2 * padding - kernel) // stride + 1
    return span // stride + 1


def show(value: Any) -> str:
    """A value as messages print it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, tuple):
        return f"[{', '.join(show(v) for v in value[:8])}{', ...' if len(value) > 8 else ''}]"
    if not (isinstance(value, int | str) or is_array(value) or is_symbolic(value)):
        return "a tensor" if value is not None else "nothing"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:25]}...{text[-25:]}"
