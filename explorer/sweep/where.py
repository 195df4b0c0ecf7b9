"""`--where`: limits on candidates, `params <= 25e6 and macs <= 4e9`; which hold, and how near the others come.

Conditions of the grammar over quantities and parameters, computed on columns of integers: exactly, and no Python.
"""

import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.analysis.limits import QUANTITIES
from explorer.analysis.times import LATENCIES, check_times
from explorer.errors import ArchError, Source, nearest
from explorer.grammar.parser import parse_condition
from explorer.grammar.printer import print_expr
from explorer.grammar.syntax import Binary, Expr, Function, Index, Name, Number, Unary

Column = NDArray[Any]
Columns = Mapping[str, Any]  # by name: a column, a number, or a tuple of these

OPTION = "--where"
KNOWN = tuple(QUANTITIES)
VECTORISED = ("params", "macs", "flops", "activations", "depth", "chain")  # the others: each network by itself
OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
COMPUTE = {"+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv, "%": operator.mod}
EXTREMES = {"max": np.maximum, "min": np.minimum}
FUNCTIONS = (*EXTREMES, "floor")
LARGE = re.compile(r"(?<![\d.])\d{5,}")
SAFE = 2**62  # integers beyond this are no longer kept in columns of int64
MISSED = 1 + 1e-9  # of a limit that is met, but must not be


@dataclass(frozen=True)
class Where:
    """A condition as the parts that must all hold. Comparisons are never negated in it."""

    text: str
    parts: tuple[Expr, ...]
    known: tuple[str, ...] = KNOWN  # quantities, apart from the networks' parameters

    def holds(self, columns: Columns, rows: int) -> list[Column]:
        """For each part, in which rows it holds. Raises ArchError with the place of what cannot be computed."""
        return [self._located(_holds, part, columns, rows) for part in self.parts]

    def excess(self, columns: Columns, rows: int) -> Column:
        """For each row by what factor it misses the limits; 1 where it meets them."""
        return reduce(np.maximum, [self._located(_excess, part, columns, rows) for part in self.parts])

    def shares(self, columns: Columns, rows: int) -> Column:
        """[rows, limits]: the part of each of the limits in `budgets` that is used; 0 where it is exceeded."""
        shares = [self._located(_share, limit, columns, rows) for limit in self._ranking] or [np.ones(rows)]
        return np.stack([np.where(share <= 1, share, 0) for share in shares], 1)

    @cached_property
    def _ranking(self) -> list[Binary]:
        """The upper limits on quantities; where there are none, all limits on them."""
        limits = [limit for part in self.parts for limit in _limits(part) if _names(limit) & {*self.known}]
        return [limit for limit in limits if _names(_sides(limit)[0]) & {*self.known}] or limits

    @property
    def budgets(self) -> list[str]:
        """What is limited, for each limit that ranks candidates."""
        known = {*self.known}
        return [print_expr(next(side for side in _sides(limit) if _names(side) & known)) for limit in self._ranking]

    @property
    def texts(self) -> list[str]:
        """Each part as text, large numbers with thousands separators."""
        return [LARGE.sub(lambda found: f"{int(found[0]):,}", print_expr(part)) for part in self.parts]

    @property
    def names(self) -> set[str]:
        """All names in it."""
        return set().union(*map(_names, self.parts))

    @cached_property
    def costly(self) -> list[str]:
        """The quantities in it that are computed for each network by itself."""
        return sorted(self.names & ({*self.known} - {*VECTORISED}))

    @cached_property
    def vectorised(self) -> "Where":
        """The parts without such quantities."""
        return replace(self, parts=tuple(part for part in self.parts if not _names(part) & {*self.costly}))

    @cached_property
    def walked(self) -> "Where":
        """The other parts."""
        return replace(self, parts=tuple(part for part in self.parts if _names(part) & {*self.costly}))

    def _located(self, function: Any, part: Expr, columns: Columns, rows: int) -> Column:
        try:
            return np.broadcast_to(function(part, columns), (rows,))
        except ArchError as error:
            raise error.locate(Source(OPTION, self.text), part.at) from None


def parse_where(text: str, known: Sequence[str] = KNOWN) -> Where:
    """The limits that a text states, on quantities and parameters. Raises ArchError, with a caret, for no condition.

    `known` has latencies where there is a device to predict them for.
    """
    try:
        condition = parse_condition(text, OPTION)
        check_times(condition)
        parts = tuple(dict.fromkeys(_conjuncts(_condition(condition, True))))
        for part in parts:
            _check_device(part, known)
        return Where(text, parts, tuple(known))
    except ArchError as error:
        raise error.locate(Source(OPTION, text), 0) from None


def _check_device(part: Expr, known: Sequence[str]) -> None:
    for name in sorted(_names(part) & {*LATENCIES} - {*known}):
        raise ArchError(f"{name} is predicted for a device; name one: --on a100-40gb, --on FILE.toml", at=part.at)


def _condition(expr: Expr, wanted: bool) -> Expr:
    """The expression, or its opposite, with `not` worked into the comparisons."""
    if isinstance(expr, Unary) and expr.op == "not":
        return _condition(expr.operand, not wanted)
    if isinstance(expr, Binary) and expr.op in ("and", "or"):
        op = expr.op if wanted else {"and": "or", "or": "and"}[expr.op]
        return Binary(op, _condition(expr.left, wanted), _condition(expr.right, wanted), expr.at)
    if isinstance(expr, Binary) and expr.op in COMPARE:
        for side in (expr.left, expr.right):
            if isinstance(side, Binary) and side.op in (*COMPARE, "and", "or"):
                raise ArchError("compare numbers: write a <= b and b <= c", at=side.at)
        return expr if wanted else Binary(OPPOSITE[expr.op], expr.left, expr.right, expr.at)
    raise ArchError(f"'{print_expr(expr)}' is no condition; write one such as params <= 25e6", at=expr.at)


def _conjuncts(expr: Expr) -> Iterator[Expr]:
    if isinstance(expr, Binary) and expr.op == "and":
        yield from _conjuncts(expr.left)
        yield from _conjuncts(expr.right)
    else:
        yield expr


def _limits(expr: Expr) -> Iterator[Binary]:
    """The comparisons in a condition that set a limit."""
    assert isinstance(expr, Binary)
    if expr.op in ("and", "or"):
        yield from _limits(expr.left)
        yield from _limits(expr.right)
    elif expr.op not in ("==", "!="):
        yield expr


def _sides(limit: Binary) -> tuple[Expr, Expr]:
    """What is to be the smaller, and what the larger."""
    return (limit.left, limit.right) if limit.op in ("<", "<=") else (limit.right, limit.left)


def _names(expr: Expr) -> set[str]:
    if isinstance(expr, Name):
        return {expr.id}
    if isinstance(expr, Binary):
        return _names(expr.left) | _names(expr.right)
    if isinstance(expr, Unary):
        return _names(expr.operand)
    if isinstance(expr, Index):
        return _names(expr.value) | _names(expr.index)
    return {name for arg in expr.args for name in _names(arg.value)} if isinstance(expr, Function) else set()


# --- conditions ---


def _holds(expr: Binary, columns: Columns) -> Any:
    if expr.op in ("and", "or"):
        left, right = _holds(expr.left, columns), _holds(expr.right, columns)  # type: ignore[arg-type]
        return left & right if expr.op == "and" else left | right
    return COMPARE[expr.op](_number(expr.left, columns), _number(expr.right, columns))


def _excess(expr: Binary, columns: Columns) -> Any:
    if expr.op in ("and", "or"):
        combine = np.maximum if expr.op == "and" else np.minimum
        return combine(_excess(expr.left, columns), _excess(expr.right, columns))  # type: ignore[arg-type]
    holds = _holds(expr, columns)
    if expr.op in ("==", "!="):
        left, right = (np.asarray(_number(side, columns), float) for side in (expr.left, expr.right))
        return np.where(holds, 1.0, np.maximum(MISSED, 1 + abs(left - right) / np.maximum(abs(right), 1)))
    return np.where(holds, 1.0, np.maximum(MISSED, _share(expr, columns)))


def _share(limit: Binary, columns: Columns) -> Any:
    """The smaller side as a part of the larger."""
    small, large = (np.asarray(_number(side, columns), float) for side in _sides(limit))
    with np.errstate(all="ignore"):
        return np.where(large > 0, small / large, np.where(small > large, np.inf, 1.0))


# --- numbers: integers in columns of int64, what does not fit them or is a fraction as Python's objects ---


def _number(expr: Expr, columns: Columns) -> Any:
    if isinstance(expr, Number):
        return expr.value
    if isinstance(expr, Name | Index):
        value = _value(expr, columns)
        if isinstance(value, bool) or not isinstance(value, int | Fraction | np.ndarray):
            raise ArchError(f"{print_expr(expr)} is no number", at=expr.at)
        return value
    if isinstance(expr, Unary) and expr.op == "-":
        return _arithmetic("-", 0, _number(expr.operand, columns), expr.at)
    if isinstance(expr, Binary) and expr.op in (*COMPUTE, "/"):
        return _arithmetic(expr.op, _number(expr.left, columns), _number(expr.right, columns), expr.at)
    if isinstance(expr, Function):
        return _function(expr, columns)
    if isinstance(expr, Unary):
        raise ArchError(f"'{print_expr(expr)}' is no number; 'not' binds tightly: write not (a <= b)", at=expr.at)
    raise ArchError(f"'{print_expr(expr)}' is no number", at=expr.at)


def _function(expr: Function, columns: Columns) -> Any:
    if expr.name not in FUNCTIONS:
        raise ArchError(f"unknown function '{expr.name}'; {nearest(expr.name, FUNCTIONS)}", at=expr.at)
    if not expr.args or any(arg.name or arg.mark for arg in expr.args):
        raise ArchError(f"{expr.name} takes numbers", at=expr.at)
    numbers = [_number(arg.value, columns) for arg in expr.args]
    if expr.name in EXTREMES:
        return reduce(EXTREMES[expr.name], numbers)
    if len(numbers) > 1:
        raise ArchError(f"{expr.name} takes one number", at=expr.at)
    return _arithmetic("//", numbers[0], 1, expr.at)


def _value(expr: Expr, columns: Columns) -> Any:
    """A column, or a value of a list."""
    if isinstance(expr, Index):
        values, index = _value(expr.value, columns), _number(expr.index, columns)
        if not isinstance(values, tuple) or not isinstance(index, int) or not 0 <= index < len(values):
            raise ArchError(f"there is no {print_expr(expr)}", at=expr.at)
        return values[index]
    if not isinstance(expr, Name):
        raise ArchError(f"'{print_expr(expr)}' is no list", at=expr.at)
    try:
        return columns[expr.id]
    except KeyError:
        known = [*KNOWN, *columns]
        raise ArchError(f"unknown name '{expr.id}'; {nearest(expr.id, known)}", at=expr.at) from None


def _arithmetic(op: str, a: Any, b: Any, at: int) -> Any:
    if op in ("/", "//", "%") and not np.all(b):
        raise ArchError("division by zero", at=at)
    if op == "/":
        return _exact(a) / _as_fractions(b)
    largest = _magnitude(a) * _magnitude(b) if op == "*" else _magnitude(a) + _magnitude(b)
    if largest >= SAFE:
        a, b = _exact(a), _exact(b)
    return COMPUTE[op](a, b)


def _magnitude(value: Any) -> Any:
    return (
        max(abs(int(value.max(initial=0))), abs(int(value.min(initial=0))))
        if isinstance(value, np.ndarray)
        else abs(value)
    )


def _exact(value: Any) -> Any:
    return value.astype(object) if isinstance(value, np.ndarray) else value


def _as_fractions(value: Any) -> Any:
    return np.frompyfunc(Fraction, 1, 1)(_exact(value))
