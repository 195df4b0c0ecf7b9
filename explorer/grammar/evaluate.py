"""Expressions to values: exact numbers, lists, words, tensors. No Python is ever evaluated."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Protocol

from explorer.blocks.builder import Record, Tensor
from explorer.blocks.quantity import (
    assume,
    divide_exactly,
    floor_divide,
    is_array,
    is_symbolic,
    largest,
    product,
    quotient,
    remainder,
    show,
    smallest,
)
from explorer.blocks.walk import alive, decide, single, undisturbed
from explorer.errors import ArchError, nearest
from explorer.grammar.syntax import Binary, Expr, Field, Function, Index, List, Name, Number, Size, Unary

MAX_LIST = 10_000
MAX_LIST_DEPTH = 4
LARGEST = 10**18  # of a number in an expression
WORDS = frozenset(
    (
        "current",
        "original",
        "all",
        "sparse",
        "aggregate",
        "windowed",
        "regional",
        "sliding",
        "square",
        "diamond",
        "normal",
        "zero",
        "default",
        "glorot",
        "A",
        "B",
        "first",
        "middle",
        "shake",
        "even",
    )
)
CONSTANTS: dict[str, Any] = {"yes": True, "no": False}


class Scope(Protocol):
    """What an expression can see."""

    def lookup(self, name: str) -> Any:
        """The value of a name. Raises KeyError when there is none."""

    def known(self) -> list[str]:
        """Names to suggest."""

    def call(self, function: Function) -> Any:
        """A function that is not in FUNCTIONS. Raises KeyError when there is none."""

    def field(self, value: Any, name: str) -> Any:
        """A named tensor of a record. Raises ArchError when there is none."""


def evaluate(expr: Expr, scope: Scope) -> Any:
    """The value of an expression. Raises ArchError at the place of whatever is wrong in it."""
    return _EVALUATE[type(expr)](expr, scope)


def _name(expr: Name, scope: Scope) -> Any:
    try:
        return scope.lookup(expr.id)
    except KeyError:
        pass
    if expr.id in WORDS:
        return expr.id
    if expr.id in CONSTANTS:
        return CONSTANTS[expr.id]
    known = [*scope.known(), *WORDS, *CONSTANTS]
    raise ArchError(f"unknown name '{expr.id}'; {nearest(expr.id, known)}", at=expr.at)


def _unary(expr: Unary, scope: Scope) -> Any:
    value = evaluate(expr.operand, scope)
    if expr.op == "not":
        return ~value if _is_mixed(value) else not truth(value, "not")
    return -_numeric(value, "-", expr.at)


def _binary(expr: Binary, scope: Scope) -> Any:
    op = expr.op
    left = evaluate(expr.left, scope)
    if op in ("and", "or") and _is_mixed(left):
        return _junction(op, left, expr.right, scope)
    if op == "and":
        return truth(left, "and") and truth(evaluate(expr.right, scope), "and")
    if op == "or":
        return truth(left, "or") or truth(evaluate(expr.right, scope), "or")
    right = evaluate(expr.right, scope)
    if type(left) is int and type(right) is int and op in _INT:
        result = _INT[op](left, right)
        if -LARGEST < result < LARGEST:
            return result
        raise ArchError(f"a number beyond {LARGEST:.0e}", at=expr.at)
    try:
        result = _slow_binary(op, left, right)
        if isinstance(result, Fraction) and max(abs(result.numerator), result.denominator) > LARGEST:
            raise ArchError(f"a number beyond {LARGEST:.0e}")
        return result
    except ArchError as error:
        error.at = expr.at if error.at is None else error.at
        raise


def _slow_binary(op: str, left: Any, right: Any) -> Any:
    if op in ("==", "!="):
        same = _equal(left, right)
        return (same if op == "==" else ~same) if is_array(same) else same is (op == "==")
    _numeric(left, op)
    _numeric(right, op)
    if op == "*" and (is_array(left) or is_array(right)):
        return product(left, right)
    if op in _INT:
        return _exact(_INT[op](left, right))
    if op == "/":
        if is_symbolic(left) or is_symbolic(right):
            return divide_exactly(left, right, lambda: f"{show(right)} does not divide {show(left)}")
        if is_array(left) or is_array(right):
            return quotient(left, right)
        if right == 0:
            raise ArchError("division by zero")
        return _exact(Fraction(left) / Fraction(right))
    if op == "//":
        return floor_divide(left, right)
    if is_symbolic(left) or is_symbolic(right):
        floor_divide(left, right)  # taken to divide, and recorded
        return 0
    return remainder(left, right)


def _is_mixed(value: Any) -> bool:
    """Whether a condition holds in some rows of an array walk only."""
    if not is_array(value) or value.dtype != bool:
        return False
    seen = alive(value)
    return bool(seen.any()) and not bool(seen.all())


def _junction(op: str, left: Any, right: Expr, scope: Scope) -> Any:
    """and, or where the left side holds in some rows only: the right side may settle it for all."""
    value = undisturbed(lambda: evaluate(right, scope), left)
    if not is_array(value):
        return left if truth(value, op) is (op == "and") else op == "or"
    return left & value if op == "and" else left | value


def _equal(left: Any, right: Any) -> Any:
    if is_array(left) or is_array(right):
        rows = left == right
        if isinstance(rows, bool) or _is_mixed(rows):
            return rows
        return bool(alive(rows).all())
    same: bool = bool(left == right)
    if not same and (is_symbolic(left) or is_symbolic(right)):
        assume(f"{left} != {right}")
    return same


def _exact(value: Any) -> Any:
    return value.numerator if isinstance(value, Fraction) and value.denominator == 1 else value


def _numeric(value: Any, op: str, at: int | None = None) -> Any:
    if isinstance(value, bool) or not (isinstance(value, int | Fraction) or is_array(value) or is_symbolic(value)):
        raise ArchError(f"'{op}' needs numbers, not {describe(value)}", at=at)
    return value


def describe(value: Any) -> str:
    """What a value is, for messages."""
    if isinstance(value, str):
        return f"the word '{value}'"
    if isinstance(value, bool | int | Fraction | tuple) or is_array(value) or is_symbolic(value):
        return show(value)
    return "a tensor"


def truth(value: Any, what: str) -> bool:
    """A plain yes or no. Raises ArchError for anything else."""
    if isinstance(value, bool):
        return value
    if is_array(value) and value.dtype == bool:
        return decide(value)
    if is_symbolic(value):
        if value == True or value == False:  # noqa: E712  (sympy's own)
            return bool(value)
        raise ArchError(f"'{value}' cannot be decided for symbols")
    raise ArchError(f"'{what}' needs yes or no, not {describe(value)}")


def _list(expr: List, scope: Scope) -> tuple[Any, ...]:
    values = tuple([evaluate(item, scope) for item in expr.items])
    check_list(values)
    return values


def check_list(values: tuple[Any, ...]) -> None:
    """Raise ArchError for a list that holds tensors, or too many values in all."""
    if _leaves(values, 0) > MAX_LIST:
        raise ArchError(f"a list of more than {MAX_LIST:,} values")


def _leaves(values: tuple[Any, ...], depth: int) -> int:
    if depth > MAX_LIST_DEPTH:
        raise ArchError(f"lists are nested more than {MAX_LIST_DEPTH} deep")
    total = len(values)
    for value in values:
        if isinstance(value, tuple):
            total += _leaves(value, depth + 1)
            if total > MAX_LIST:
                break
        elif isinstance(value, Tensor | Record):
            raise ArchError("a list holds numbers and words, not tensors")
    return total


def _index(expr: Index, scope: Scope) -> Any:
    value, index = evaluate(expr.value, scope), single(evaluate(expr.index, scope))
    if not isinstance(value, tuple) or type(index) is not int:
        raise ArchError("an index needs a list and a whole number: widths[0]", at=expr.at)
    if not -len(value) <= index < len(value):
        raise ArchError(f"index {index} of a list of {len(value)}", at=expr.at)
    return value[index]


def _field(expr: Field, scope: Scope) -> Any:
    return scope.field(evaluate(expr.value, scope), expr.name)


def _function(expr: Function, scope: Scope) -> Any:
    handler = FUNCTIONS.get(expr.name)
    if handler is None:
        try:
            return scope.call(expr)
        except KeyError:
            known = [*FUNCTIONS, "channels", "height", "width", "part"]
            raise ArchError(f"unknown function '{expr.name}'; {nearest(expr.name, known)}", at=expr.at) from None
    args: list[Any] = []
    for arg in expr.args:
        if arg.name is not None or arg.mark == "/":
            raise ArchError(f"{expr.name} takes plain arguments", at=arg.at)
        value = evaluate(arg.value, scope)
        if arg.mark == "*" and not isinstance(value, tuple):
            raise ArchError("only a list can be spread with *", at=arg.at)
        args.extend(value if arg.mark == "*" else (value,))
    try:
        return handler(*args)
    except (TypeError, ValueError, OverflowError):
        raise ArchError(f"{expr.name} cannot take these arguments", at=expr.at) from None


def _range(*bounds: int) -> tuple[int, ...]:
    values = range(*[single(bound) for bound in bounds])
    if len(values) > MAX_LIST:
        raise ArchError(f"a list of more than {MAX_LIST:,} values")
    return tuple(values)


def _numbers(handler: Callable[..., Any], name: str) -> Callable[..., Any]:
    def apply(*values: Any) -> Any:
        flat = values[0] if len(values) == 1 and isinstance(values[0], tuple) else values
        for value in flat:
            _numeric(value, name)
        return handler(*flat)

    return apply


def _floor(value: Any) -> Any:
    if is_array(value):
        return (value // 1).astype("int64")  # fractions of an array come as objects
    if is_symbolic(value):
        return floor_divide(value, 1)
    return value // 1 if isinstance(_numeric(value, "floor"), int | Fraction) else value


def _nth(values: Any, index: Any) -> Any:
    """The entry of a list, or the one value that serves all places."""
    if not isinstance(values, tuple):
        return values
    index = single(index)
    if type(index) is not int or not 0 <= index < len(values):
        raise ArchError(f"there is no value {show(index)} in a list of {len(values)}")
    return values[index]


def _length(value: Any) -> int:
    if not isinstance(value, tuple):
        raise ArchError(f"len needs a list, not {describe(value)}")
    return len(value)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "max": _numbers(largest, "max"),
    "min": _numbers(smallest, "min"),
    "len": _length,
    "floor": _floor,
    "range": _range,
    "nth": _nth,
    "choose": lambda condition, this, that: this if truth(condition, "choose") else that,
}

_INT: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}

_EVALUATE: dict[type, Callable[[Any, Scope], Any]] = {
    Number: lambda expr, scope: expr.value,
    Size: lambda expr, scope: expr.values,
    Name: _name,
    List: _list,
    Unary: _unary,
    Binary: _binary,
    Function: _function,
    Field: _field,
    Index: _index,
}
