"""`--limit`: a condition on a network's cost, in the grammar's own expressions."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, NamedTuple

from explorer.analysis.cost import Cost
from explorer.analysis.times import COMPARISONS, LATENCIES, check_times, duration, time_power
from explorer.analysis.units import Bytes, decimal
from explorer.errors import ArchError, Source, nearest
from explorer.grammar.evaluate import FUNCTIONS, describe, evaluate
from explorer.grammar.parser import parse_condition
from explorer.grammar.printer import print_expr
from explorer.grammar.syntax import Binary, Expr, Function, Name, Unary

OPTION = "--limit"
Quantities = Mapping[str, Callable[[Cost], int | Fraction | None]]
QUANTITIES: Quantities = {
    "params": lambda cost: cost.params,
    "macs": lambda cost: cost.macs,
    "flops": lambda cost: 2 * cost.macs,
    "activations": lambda cost: cost.activations,
    "depth": lambda cost: cost.depth,
    "chain": lambda cost: cost.chain,
    "launches": lambda cost: cost.launches,
    "bytes_moved": lambda cost: cost.bytes_moved,
    "bytes_copied": lambda cost: cost.bytes_copied,
    "intensity": lambda cost: cost.intensity,
    "train_memory": lambda cost: cost.train_memory,
    "infer_memory": lambda cost: cost.infer_memory,
}
IN_BYTES = {  # with what is said of each
    "bytes_moved": "", "bytes_copied": "", "train_memory": ", reference layers", "infer_memory": ", reference layers",
}  # fmt: skip


class Limit(NamedTuple):
    """A condition: parts that must all hold, and their text."""

    text: str
    parts: tuple[Expr, ...]

    @property
    def timed(self) -> "Limit":
        """The parts about latencies, which depend on a device."""
        return Limit(self.text, tuple(part for part in self.parts if _names(part) & {*LATENCIES}))

    @property
    def untimed(self) -> "Limit":
        """The other parts."""
        return Limit(self.text, tuple(part for part in self.parts if not _names(part) & {*LATENCIES}))

    @property
    def latencies(self) -> list[str]:
        """The latencies in it."""
        return sorted({name for part in self.parts for name in _names(part)} & {*LATENCIES})


class _Quantities:
    """What a condition can see of a cost; `origin`: where latencies come from, as it is told."""

    def __init__(self, cost: Cost, quantities: Quantities, origin: str) -> None:
        self.cost, self.quantities, self.origin = cost, quantities, origin

    def lookup(self, name: str) -> Any:
        value = self.quantities[name](self.cost)
        if value is None:
            raise ArchError(f"{name} of {self.cost.canonical[:100]} is not known")
        return value

    def known(self) -> list[str]:
        return list(self.quantities)

    def call(self, function: Function) -> Any:
        raise KeyError(function.name)

    def field(self, value: Any, name: str) -> Any:
        raise ArchError("a quantity has no fields")


def parse_limit(text: str) -> Limit:
    """The limit that a text such as `params <= 25e6 and train_latency <= 200ms` states.

    Raises ArchError with a caret for what is no condition on the quantities above and latencies.
    """
    parts = _conjuncts(parse_condition(text, OPTION))
    with _placed(text, parts[0]):
        for part in parts:
            _check_names(part)
            check_times(part)
    return Limit(text, parts)


@contextmanager
def _placed(text: str, part: Expr) -> Iterator[None]:
    """Gives errors their place in the text, at worst that of the part they are about."""
    try:
        yield
    except ArchError as error:
        raise error.locate(Source(OPTION, text), part.at) from None


def _conjuncts(fact: Expr) -> tuple[Expr, ...]:
    if isinstance(fact, Binary) and fact.op == "and":
        return (*_conjuncts(fact.left), *_conjuncts(fact.right))
    return (fact,)


def _check_names(expr: Expr) -> None:
    """Names and functions are known, also those that an evaluation would pass over."""
    if isinstance(expr, Name) and expr.id not in (*QUANTITIES, *LATENCIES):
        raise ArchError(f"unknown quantity '{expr.id}'; {nearest(expr.id, [*QUANTITIES, *LATENCIES])}", at=expr.at)
    if isinstance(expr, Function) and expr.name not in FUNCTIONS:
        raise ArchError(f"unknown function '{expr.name}'; {nearest(expr.name, FUNCTIONS)}", at=expr.at)
    for inner in _inside(expr):
        _check_names(inner)


def _inside(expr: Expr) -> list[Expr]:
    if isinstance(expr, Binary):
        return [expr.left, expr.right]
    if isinstance(expr, Unary):
        return [expr.operand]
    return [argument.value for argument in expr.args] if isinstance(expr, Function) else []


class Judged(NamedTuple):
    """A part of a limit, judged: a sentence with the values in it."""

    holds: bool
    sentence: str


def judged(limit: Limit, cost: Cost, quantities: Quantities = QUANTITIES, origin: str = "") -> list[Judged]:
    """Whether a cost meets each part of a limit. Raises ArchError for what is no condition.

    `quantities` has the latencies of a device where the limit is about them, `origin` is what they are: predicted for
    h200.
    """
    known = _Quantities(cost, quantities, origin)
    found = []
    for part in limit.parts:
        with _placed(limit.text, part):
            holds = evaluate(part, known)
            if not isinstance(holds, bool):
                message = f"{print_expr(part)} is {describe(holds)}, no condition; write one such as params <= 25e6"
                raise ArchError(message, at=part.at)
            found.append(Judged(holds, _sentence(part, holds, known)))
    return found


def _sentence(part: Expr, holds: bool, quantities: _Quantities) -> str:
    """What is met or broken, the values in it, and by how much one misses its limit."""
    sides = [part.left, part.right] if isinstance(part, Binary) and part.op in COMPARISONS else []
    shown: list[Expr] = [side for side in sides if _names(side)] or [Name(name) for name in sorted(_names(part))]
    values = [f"{print_expr(side)} is {_value(side, evaluate(side, quantities), quantities.origin)}" for side in shown]
    bounds = [evaluate(side, quantities) for side in sides if not _names(side)]
    if len(shown) == len(bounds) == 1 and not holds:
        values += _miss(evaluate(shown[0], quantities), bounds[0])
    verb, without = ("meets", "it always holds") if holds else ("breaks", "it never holds")
    return f"{quantities.cost.canonical} {verb} {print_expr(part)}: {', '.join(values) or without}"


def _value(side: Expr, value: Any, origin: str) -> str:
    """A number; bytes also with a prefix, times with their unit and what they are."""
    if time_power(side) == 1:
        return f"{duration(value)} ({origin})"
    if isinstance(side, Name) and side.id in IN_BYTES and isinstance(value, int):
        return f"{number(value)} ({decimal(Bytes(value))}{IN_BYTES[side.id]})"
    return number(value)


def _miss(value: Any, bound: Any) -> list[str]:
    if isinstance(bound, bool) or not isinstance(bound, int | Fraction) or bound in (0, value):
        return []
    if value >= 10 * bound > 0:
        times = float(value / bound)
        return [f"{times:,.0f} times it" if times >= 100 else f"{times:.3g} times it"]
    return [f"{float(100 * abs(value - bound) / abs(bound)):.3g}% {'above' if value > bound else 'below'} it"]


def _names(expr: Expr) -> set[str]:
    own = {expr.id} if isinstance(expr, Name) else set()
    return own.union(*[_names(inner) for inner in _inside(expr)])


def number(value: Any) -> str:
    """25,557,032; four digits where it is no whole number."""
    return f"{value:,}" if isinstance(value, int) else f"{float(value):,.4g}"
