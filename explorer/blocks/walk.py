"""What a walk on arrays or symbols learns besides its result: rows that cannot exist, assumptions.

The rows of an array walk share one structure. Where they would take different ways (`decide`, `single`), the walk
ends with Differs, to be made again on each part.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from explorer.errors import ArchError

LARGEST = 2**44  # of an array's counts: 200,000 ops of so much each still add up to less than 2^63
APART = "the rows of this array walk differ in structure; walk them in groups"


class Differs(ArchError):
    """The rows of an array walk need walks of their own: those where `rows` (an array) has equal values go together."""

    def __init__(self, rows: Any, message: str = APART) -> None:
        super().__init__(message)
        self.rows = rows


class TooLarge(ArchError):
    """Where `rows` (a boolean array) is true, a count is beyond what an array walk can hold."""

    def __init__(self, rows: Any) -> None:
        super().__init__(f"a count beyond {LARGEST:.0e} does not fit an array walk; use plain integers")
        self.rows = rows


class NoneLeft(ArchError):
    """No row of an array walk can exist."""


class Refusal(NamedTuple):
    """Rows of an array walk that cannot exist (a mask), and why."""

    message: Callable[[], str]
    rows: Any


@dataclass
class Walk:
    """What a walk on arrays or symbols learns besides its result."""

    valid: Any = True  # boolean mask over the rows of an array walk
    assumptions: dict[str, None] = field(default_factory=dict)  # in order of appearance
    refused: list[Refusal] = field(default_factory=list)  # each row once, with its first reason

    def refuse(self, holds: Any, message: Callable[[], str]) -> None:
        """Mask the rows where a condition does not hold. Raises NoneLeft when none remains."""
        lost = self.valid & ~holds
        if lost.any():
            self.refused.append(Refusal(message, lost))
        self.valid = self.valid & holds
        if not self.valid.any():
            raise NoneLeft(message())


_walk: ContextVar[Walk | None] = ContextVar("walk", default=None)


@contextmanager
def walking(walk: Walk | None = None) -> Iterator[Walk]:
    """Collects the row mask and the assumptions of the walk inside."""
    walk = walk or Walk()
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
        if bool(condition.all()):
            return
        walk = _walk.get()
        if walk is None:
            raise ArchError(message())
        walk.refuse(condition, message)
        return
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


def alive(values: Any) -> Any:
    """The entries of an array that belong to rows which can still exist, flat."""
    walk = _walk.get()
    valid: Any = True if walk is None else walk.valid
    if valid is True:
        return values.reshape(-1)
    import numpy

    if values.ndim == valid.ndim:  # on a grid: the axes on which the values do not depend
        others = tuple(i for i in range(valid.ndim) if values.shape[i] == 1 < valid.shape[i])
        valid = valid.any(axis=others, keepdims=True)
    values, valid = numpy.broadcast_arrays(values, valid)
    return values[valid]


def decide(condition: Any) -> bool:
    """The one truth of a condition. Raises Differs where rows of an array that can still exist differ."""
    if not is_array(condition):
        return bool(condition)
    seen = alive(condition)
    if bool(seen.all()):
        return True
    if bool(seen.any()):
        raise Differs(condition)
    return False


def single(value: Any, message: str = APART) -> Any:
    """The one value of an array as a plain number. Raises Differs where rows that can still exist differ."""
    if not is_array(value):
        return value
    if is_growing(value):
        raise Differs(value.loop.times)
    seen = alive(value)
    if not bool((seen == seen[0]).all()):
        raise Differs(value, message)
    return seen[0].item() if is_array(seen[0]) else seen[0]


def is_growing(value: Any) -> bool:
    """Whether a quantity changes from round to round of a loop (loops.Growing)."""
    return hasattr(value, "loop")


def undisturbed(evaluate: Callable[[], Any], left: Any) -> Any:
    """What `evaluate` gives. Raises Differs(left) if it would mask rows: some of them it does not concern."""
    walk = _walk.get()
    if walk is None:
        return evaluate()
    valid, refused = walk.valid, len(walk.refused)
    try:
        value = evaluate()
    except NoneLeft:
        value = None
    if len(walk.refused) > refused:
        walk.valid = valid
        del walk.refused[refused:]
        raise Differs(left)
    return value
