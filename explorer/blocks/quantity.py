"""Quantities: Python ints, int64 numpy arrays (one walk costs many networks) or sympy symbols (formulas).

`check` validates all three: an int raises, an array masks rows, a symbol records the assumption.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce
from typing import Any

from explorer.errors import ArchError

Quantity = Any  # int | numpy.ndarray | sympy.Expr: mypy cannot say "closed under arithmetic"
LARGEST = 2**53  # array products beyond this are refused: float64 could not have told an overflow


@dataclass
class Walk:
    """What a walk on arrays or symbols learns besides its result."""

    valid: Any = True  # boolean mask over the rows of an array walk
    assumptions: dict[str, None] = field(default_factory=dict)  # in order of appearance


_walk: ContextVar[Walk | None] = ContextVar("walk", default=None)


@contextmanager
def walking() -> Iterator[Walk]:
    """Collects the row mask and the assumptions of the walk inside."""
    walk = Walk()
    token = _walk.set(walk)
    try:
        yield walk
    finally:
        _walk.reset(token)


def is_array(value: Any) -> bool:
    """Whether a value is a numpy array, without importing numpy."""
    return hasattr(value, "dtype") and hasattr(value, "shape")


def is_symbolic(value: Any) -> bool:
    """Whether a value is a sympy expression, without importing sympy."""
    return hasattr(value, "free_symbols")


def check(condition: Any, message: Callable[[], str]) -> None:
    """Require `condition`: raises ArchError for plain values, masks rows of arrays, records for symbols."""
    if condition is True:
        return
    if is_array(condition) and condition.ndim:
        walk = _walk.get()
        if walk is not None:
            walk.valid = walk.valid & condition
            return
        if bool(condition.all()):
            return
        raise ArchError(message())
    if is_symbolic(condition):
        if condition == True:  # noqa: E712  (sympy's own true)
            return
        if condition != False:  # noqa: E712
            assume(str(condition))
            return
    elif bool(condition):
        return
    raise ArchError(message())


def assume(text: str) -> None:
    """Record what a symbolic walk takes for granted."""
    walk = _walk.get()
    if walk is not None:
        walk.assumptions[text] = None


def product(*factors: Quantity) -> Quantity:
    """The exact product. Raises ArchError where an int64 array would overflow."""
    result = math.prod(factors)
    if type(result) is not int and is_array(result):
        estimate: Any = math.prod(f.astype(float) if is_array(f) else float(f) for f in factors)
        if estimate.max(initial=0.0) > LARGEST:
            raise ArchError(f"a count beyond {LARGEST:.0e} does not fit an array walk; use plain integers")
    return result


def positive(value: Quantity, what: str) -> Quantity:
    """`value` if it is a whole number of at least 1. Raises ArchError naming `what` otherwise."""
    if type(value) is int:
        if value >= 1:
            return value
        raise ArchError(f"{what} must be at least 1, not {value}")
    if isinstance(value, bool) or not (is_array(value) or is_symbolic(value)):
        raise ArchError(f"{what} must be a whole number, not {show(value)}")
    if not (is_symbolic(value) and value.is_positive):  # a positive symbol that is whole is at least 1
        check(value >= 1, lambda: f"{what} must be at least 1")
    return value


def count(value: Any, what: str) -> int:
    """A number of repetitions: a plain int of at least 0. Raises ArchError naming `what` otherwise."""
    if is_symbolic(value) and value.is_Integer:
        value = int(value)
    if type(value) is int and value >= 0:
        return value
    if is_array(value) or is_symbolic(value):
        raise ArchError(f"{what} decides how often something repeats, so it must be one plain integer")
    raise ArchError(f"{what} must be a whole number of at least 0, not {show(value)}")


def divide_exactly(a: Quantity, b: Quantity, message: Callable[[], str]) -> Quantity:
    """a / b where b divides a. Raises ArchError(message()) otherwise."""
    if type(a) is int and type(b) is int:
        if b > 0 and a % b == 0:
            return a // b
        raise ArchError(message())
    if is_symbolic(a) or is_symbolic(b):
        return _symbolic_quotient(a, b)
    check(a % b == 0, message)
    return a // b


def floor_divide(a: Quantity, b: Quantity) -> Quantity:
    """a // b; on symbols b is taken to divide a, and the assumption is recorded."""
    if is_symbolic(a) or is_symbolic(b):
        return _symbolic_quotient(a, b)
    if not is_array(b) and b == 0:
        raise ArchError("division by zero")
    return a // b


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
