"""Sampled design spaces: networks of one text whose numbers are drawn at random, the same ones for the same seed.

A draw is an expression of the grammar over earlier draws and the functions below, so that one number may be a ratio
of another: `w2 = "round(w1 * log(1, 4), 8)"`. Nothing is evaluated as Python.
"""

import math
import operator
import random
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from typing import Any

from explorer.catalog.load import load
from explorer.errors import ArchError, Source, UserError, nearest
from explorer.grammar.evaluate import CONSTANTS, WORDS
from explorer.grammar.parser import parse_expression
from explorer.grammar.printer import print_expr
from explorer.grammar.syntax import Binary, Expr, Function, Name, Number, Unary
from explorer.sweep.ranges import FILE, Family, Ranges, has_ranges, uses

MAX_SAMPLES = 100_000
MAX_DRAWS = 50  # names of one space
MAX_LATTICE = 10_000  # values that a logarithmic draw with a step may take
LARGEST = 10**12
PLACE = "_draw"  # the axis of a space's family that says how-manieth a candidate was drawn
COMPUTE: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}
Values = dict[str, Any]
Draw = Callable[[Values, random.Random], Any]


@dataclass(frozen=True)
class DesignSpace:
    """The first `samples` different networks drawn with `seed` that can exist and fit the limits."""

    name: str
    network: str  # a text with the names of draws in its arguments
    draws: tuple[tuple[str, str], ...]  # in order: a name, and how it is drawn
    samples: int = 100
    seed: int = 0
    where: str | None = None

    def as_config(self) -> dict[str, Any]:
        """Everything that decides what is drawn, as JSON."""
        draws = [list(draw) for draw in self.draws]
        found = {"name": self.name, "network": self.network, "draws": draws, "samples": self.samples}
        return found | {"seed": self.seed, "where": self.where}


def check_space(space: DesignSpace) -> DesignSpace:
    """The space, if something can be drawn from it; else UserError naming it."""
    if not 1 <= space.samples <= MAX_SAMPLES:
        raise UserError(f"space {space.name}: {space.samples} is not a number of samples from 1 to {MAX_SAMPLES:,}")
    if not 0 <= space.seed < 2**32:
        raise UserError(f"space {space.name}: the seed {space.seed} is not an integer from 0 to {2**32 - 1}")
    if has_ranges(space.network):
        raise UserError(f"space {space.name}: its network has a range; draw the number, or sweep it outside the space")
    if not 1 <= len(space.draws) <= MAX_DRAWS:
        raise UserError(f"space {space.name}: {len(space.draws)} names are drawn; it takes 1 to {MAX_DRAWS}")
    family(space, 1)
    return space


def family(space: DesignSpace, draws: int) -> Family:
    """The first so many different candidates of a space, in the order in which they are drawn.

    There are fewer where the space has fewer. Raises UserError for a draw that is none.
    """
    expression, library = load(space.network)
    read = _parsed(space)
    names = [name for name, _ in space.draws if uses(expression, name)]
    for name, _ in space.draws:
        if name not in names and not any(uses(expr, name) for expr, _ in read.values()):
            raise UserError(f"space {space.name}: nothing uses the draw {name}; write it into the network: {name}")
    rows = list(_rows(space, {name: draw for name, (_, draw) in read.items()}, names, draws))
    columns = {name: [row[index] for row in rows] for index, name in enumerate(names)}
    file = FILE.match(space.network)
    axes = {PLACE: range(len(rows)), **columns}
    return Family(expression, library, axes, Ranges(), f"{file[1]}:" if file else "", together=True)


def _rows(space: DesignSpace, draws: dict[str, Draw], names: list[str], wanted: int) -> Iterator[tuple[int, ...]]:
    """Different rows of values, so many; fewer where 1,000 draws and as many as are known bring nothing new."""
    generator, seen, since = random.Random(space.seed), set[tuple[int, ...]](), 0
    while len(seen) < wanted and since <= 1000 + len(seen):
        values: Values = {}
        for name, draw in draws.items():
            values[name] = _checked(space, name, draw, values, generator)
        row = tuple(_whole(space, name, values[name]) for name in names)
        since += 1
        if row not in seen:
            seen.add(row)
            since = 0
            yield row


def _checked(space: DesignSpace, name: str, draw: Draw, values: Values, generator: random.Random) -> Any:
    """The value of a draw. Raises UserError where there is none."""
    try:
        value = draw(values, generator)
        if not abs(value) <= LARGEST:  # so written, nan is one too
            raise ArchError(f"a value beyond {LARGEST:.0e}")
    except ZeroDivisionError:
        raise _error(space, name, ArchError("division by zero")) from None
    except (ArchError, OverflowError) as error:
        raise _error(space, name, error if isinstance(error, ArchError) else ArchError("too large")) from None
    return value


def _whole(space: DesignSpace, name: str, value: Any) -> int:
    if value != int(value):
        about = f"space {space.name}: {name} became {float(value):.6g}, which is no whole number"
        raise UserError(f"{about}; write for example round({dict(space.draws)[name][:80]}, 1)")
    return int(value)


def _error(space: DesignSpace, name: str, error: ArchError, at: int = 0) -> ArchError:
    return error.locate(Source(f"space {space.name}, draw {name}", dict(space.draws)[name]), at)


# --- draws as functions ---


def _parsed(space: DesignSpace) -> dict[str, tuple[Expr, Draw]]:
    """Every draw as a tree and as a function of the earlier ones. Raises UserError for what is no draw."""
    found: dict[str, tuple[Expr, Draw]] = {}
    for name, text in space.draws:
        if not re.fullmatch(r"[A-Za-z_]\w{0,60}", name, re.ASCII) or name in (*WORDS, *CONSTANTS, *FUNCTIONS):
            raise UserError(f"space {space.name}: {name[:80]!r} cannot be the name of a draw; letters and digits can")
        try:
            expr = _expression(text)
            found[name] = expr, _compiled(expr, list(found))
        except ArchError as error:
            raise _error(space, name, error) from None
    return found


def _expression(text: str) -> Expr:
    before = "draw("
    try:
        args = parse_expression(f"{before}{text})").call.args
    except ArchError as error:
        raise ArchError(error.message, at=min(max(0, (error.at or 0) - len(before)), len(text))) from None
    if len(args) != 1 or args[0].name or args[0].mark:
        raise ArchError("a draw is one expression such as uniform(1, 9, 1)", at=0)
    expr: Expr = _moved(args[0].value, -len(before))
    return expr


def _moved(expr: Any, by: int) -> Any:
    """The same tree with its places so many characters further on."""
    if isinstance(expr, tuple):
        return tuple(_moved(item, by) for item in expr)
    if not is_dataclass(expr) or isinstance(expr, type):
        return expr
    changed = {field.name: _moved(getattr(expr, field.name), by) for field in fields(expr) if field.name != "at"}
    return replace(expr, **changed, at=max(0, getattr(expr, "at", 0) + by))


def _compiled(expr: Expr, known: list[str]) -> Draw:
    """A draw as a function of the values drawn before. Raises ArchError for what it may not hold."""
    if isinstance(expr, Number):
        value = expr.value
        return lambda values, generator: value
    if isinstance(expr, Name):
        name = expr.id
        if name not in known:
            raise ArchError(f"'{name}' is not drawn before; {nearest(name, known) or 'nothing is'}", at=expr.at)
        return lambda values, generator: values[name]
    if isinstance(expr, Unary) and expr.op == "-":
        inner = _compiled(expr.operand, known)
        return lambda values, generator: -inner(values, generator)
    if isinstance(expr, Binary) and expr.op in COMPUTE:
        compute, left, right = COMPUTE[expr.op], _compiled(expr.left, known), _compiled(expr.right, known)
        return lambda values, generator: compute(left(values, generator), right(values, generator))
    if isinstance(expr, Function):
        return _function(expr, known)
    raise ArchError(f"'{print_expr(expr)}' is no number", at=expr.at)


def _function(expr: Function, known: list[str]) -> Draw:
    if expr.name not in FUNCTIONS:
        raise ArchError(f"unknown function '{expr.name}'; {nearest(expr.name, FUNCTIONS)}", at=expr.at)
    function, least, most, form = FUNCTIONS[expr.name]
    if not least <= len(expr.args) <= most or any(arg.name or arg.mark for arg in expr.args):
        raise ArchError(f"write {form}", at=expr.at)
    arguments = [_compiled(arg.value, known) for arg in expr.args]

    def draw(values: Values, generator: random.Random) -> Any:
        try:
            return function(generator, *[argument(values, generator) for argument in arguments])
        except ArchError as error:
            error.at = expr.at if error.at is None else error.at
            raise

    return draw


def _uniform(generator: random.Random, low: Any, high: Any, step: Any = None) -> Any:
    if step is None:
        return float(low) + _span(low, high) * generator.random()
    return low + step * int(_places(low, high, step) * generator.random())


def _log_uniform(generator: random.Random, low: Any, high: Any, step: Any = None) -> Any:
    _span(low, high)
    if low <= 0:
        raise ArchError(f"log begins above 0, not at {float(low):.6g}")
    if step is None:
        return float(low) * (high / low) ** generator.random()
    weights = _weights(low, high, step)
    place = bisect_left(weights, weights[-1] * generator.random())
    return low + step * min(place, len(weights) - 1)


@lru_cache(1000)
def _weights(low: Any, high: Any, step: Any) -> list[float]:
    """Running sums of one over each value."""
    if _places(low, high, step) > MAX_LATTICE:
        raise ArchError(f"a step that gives more than {MAX_LATTICE:,} values")
    return list(accumulate(1 / float(low + step * place) for place in range(_places(low, high, step))))


def _span(low: Any, high: Any) -> float:
    if low > high:
        raise ArchError(f"from {float(low):.6g} to {float(high):.6g} there is nothing")
    return float(high) - float(low)


def _places(low: Any, high: Any, step: Any) -> int:
    """How many values there are from `low` to `high`."""
    _span(low, high)
    if step <= 0:
        raise ArchError("a step is above 0")
    return int((high - low) // step) + 1


def _choice(generator: random.Random, *values: Any) -> Any:
    return values[int(len(values) * generator.random())]


def _round(generator: random.Random, value: Any, step: Any) -> Any:
    """The nearest multiple of the step, at least the step itself."""
    if step <= 0:
        raise ArchError("a step is above 0")
    return max(1, math.floor(Fraction(value) / Fraction(step) + Fraction(1, 2))) * step


FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int, str]] = {  # with the least and most numbers it takes
    "uniform": (_uniform, 2, 3, "uniform(low, high) or uniform(low, high, step)"),
    "log": (_log_uniform, 2, 3, "log(low, high) or log(low, high, step)"),
    "choice": (_choice, 1, 100, "choice(8, 16, 32)"),
    "round": (_round, 2, 2, "round(number, step)"),
    "floor": (lambda generator, value: math.floor(value), 1, 1, "floor(number)"),
    "max": (lambda generator, *values: max(values), 1, 100, "max(a, b)"),
    "min": (lambda generator, *values: min(values), 1, 100, "min(a, b)"),
}
