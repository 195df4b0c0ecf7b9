"""Closed forms of layers: the walk on symbols, and exact fits over the counts that decide what repeats."""

import re
from collections.abc import Callable
from functools import cache
from itertools import combinations
from typing import Any, NamedTuple

import sympy

from explorer.analysis.derive.chains import graph_of_chain
from explorer.analysis.derive.layers import LAYERS, Layer
from explorer.analysis.derive.pooling import partial_sum_additions
from explorer.analysis.derive.symbols import named, names_in, parse
from explorer.analysis.formula import shorter, symbol
from explorer.analysis.ledger import Ledger, ledger_of
from explorer.blocks.graph import Graph, flatten

MOST = 6  # the highest degree that is tried
FURTHER = 2  # counts at which a fit has to hold besides those it was made from
LOWEST = 2  # powers of 1/count that are tried
DISTINCT = (11, 7, 5)  # counts that no other number in a walk's assumptions equals


def _total(*fields: str, kinds: tuple[str, ...] | None = None) -> Callable[[Graph], Any]:
    def total(graph: Graph) -> Any:
        ledger: Ledger = ledger_of(graph.root)
        rows = [row for kind, row in ledger.items() if kinds is None or kind in kinds]
        return sum(getattr(row, name) for row in rows for name in fields)

    return total


def _partial(graph: Graph) -> Any:
    ops = [flat.op for flat in flatten(graph)[0] if flat.op.kind == "sliding"]
    return sum(op.ins[0][0] * partial_sum_additions(*op.ins[0][1:], op.attrs["radius"]) for op in ops)


QUANTITIES: dict[str, Callable[[Graph], Any]] = {
    "weights": _total("weights"),
    "norms": _total("norms"),
    "params": _total("weights", "biases", "norms"),
    "macs": _total("macs"),
    "pooled": _total("windows", kinds=("regional", "sliding")),  # elements that the means are taken over
    "partial": _partial,  # additions of footnote 3
}


class Closed(NamedTuple):
    """A quantity of a layer in the symbols of its walk, and the counts it was fitted on and then checked at."""

    expression: sympy.Expr
    fitted: tuple[str, ...]


def symbols_of(layer: Layer) -> list[str]:
    """The symbols a walk is made on, those that are counted included."""
    names = names_in(" ".join((layer.text, layer.input, layer.modifier, *layer.counts)))
    return [name for name in names if not (name == "K" and layer.scales)]


def graph_of(layer: Layer, values: dict[str, Any]) -> Graph:
    """The layer's graph at numbers or symbols; K is a tuple where the layer has several scales."""
    channels, height, width = (_side(side)(**values) for side in layer.input.split(" x "))
    return graph_of_chain(layer.text, (channels, height, width), values, layer.modifier)


@cache
def _side(text: str) -> Callable[..., Any]:
    """A side of the input as a function of the symbols: of numbers a number, of symbols an expression."""
    names = names_in(text)
    function = sympy.lambdify([named(name) for name in names], parse(text), "math")
    return lambda **values: function(*[values[name] for name in names])


@cache
def walked(name: str, counts: tuple[int, ...]) -> Graph:
    """A layer walked on symbols, with its counts as plain numbers."""
    layer = LAYERS[name]
    values: dict[str, Any] = {symbol: named(symbol) for symbol in symbols_of(layer)}
    values.update(zip(layer.counts, counts, strict=True))
    if layer.scales:
        values["K"] = tuple(symbol(f"K{i + 1}") for i in range(values[layer.scales]))
    return graph_of(layer, values)


@cache
def closed(name: str, quantity: str) -> Closed:
    """A quantity of a layer as one expression, its counts included."""
    layer = LAYERS[name]
    fitted: list[str] = []

    def fit(fixed: tuple[int, ...]) -> sympy.Expr:
        if len(fixed) == len(layer.counts):
            return _sample(name, quantity, fixed)
        counted = layer.counts[len(fixed)]
        found, used = _fit(lambda value: fit((*fixed, value)), named(counted), layer.first.get(counted, 1))
        if not any(said.startswith(f"{counted} = ") for said in fitted):
            fitted.append(f"{counted} = {used[0]} to {used[-1]}")
        return found

    return Closed(shorter(fit(())), tuple(fitted))


def _sample(name: str, quantity: str, counts: tuple[int, ...]) -> sympy.Expr:
    layer = LAYERS[name]
    value = sympy.sympify(QUANTITIES[quantity](walked(name, counts)))
    value = value.replace(sympy.floor, lambda inside: inside)  # what is divided is assumed, and listed, to divide
    if layer.scales:
        value = _power_sums(value, counts[layer.counts.index(layer.scales)])
    return sympy.expand(value)


def _power_sums(value: sympy.Expr, scales: int) -> sympy.Expr:
    """The same in sums of powers of the scales. Raises ArithmeticError where the scales do not just add up."""
    each = [symbol(f"K{i + 1}") for i in range(scales)]
    terms: dict[tuple[int, ...], sympy.Expr] = dict(sympy.Poly(value, *each).terms())
    result = terms.pop((0,) * scales, sympy.Integer(0))
    for power in {sum(powers) for powers in terms if max(powers) == sum(powers)}:
        alike = [terms.pop(tuple(power * (i == j) for j in range(scales)), None) for i in range(scales)]
        if any(factor != alike[0] for factor in alike):
            raise ArithmeticError(f"{value} treats its scales differently")
        result += alike[0] * named(f"sumK{power}")
    if terms:
        raise ArithmeticError(f"{value} has products of scales")
    return result


def _fit(at: Callable[[int], sympy.Expr], count_: sympy.Symbol, first: int) -> tuple[sympy.Expr, list[int]]:
    """The polynomial in a count and its inverse that goes through `at`, of the lowest degree that does."""
    at = cache(at)
    for degree in range(MOST + 1):
        made = list(range(first, first + degree + 1))
        checked = [made[-1] + 1 + further for further in range(FURTHER)]
        for inverse in range(LOWEST + 1):
            through = _lagrange([(x, at(x) * x**inverse) for x in made], count_)
            if all(sympy.expand(through.subs(count_, x) - at(x) * x**inverse) == 0 for x in checked):
                return sympy.expand(through / count_**inverse), made + checked
    raise ArithmeticError(f"no closed form in {count_} up to degree {MOST}")


def _lagrange(points: list[tuple[int, sympy.Expr]], x: sympy.Symbol) -> sympy.Expr:
    total = sympy.Integer(0)
    for at, value in points:
        others = [other for other, _ in points if other != at]
        total += value * sympy.prod([sympy.Rational(1, at - other) * (x - other) for other in others])
    return sympy.expand(total)


@cache
def in_paper(name: str, expression: sympy.Expr) -> sympy.Expr:
    """An expression of a walk in the symbols of the paper."""
    new = {named(old): parse(new) for old, new in LAYERS[name].paper.items()}
    return shorter(expression.subs(new, simultaneous=True))


@cache
def in_walk(name: str) -> dict[sympy.Symbol, sympy.Expr]:
    """The paper's symbols in those of the walk: C is g*k where g is C/k."""
    layer = LAYERS[name]
    equations = [parse(new) - named(old) for old, new in layer.paper.items()]
    walk = {named(symbol) for symbol in symbols_of(layer)}
    unknown = sorted({found for equation in equations for found in equation.free_symbols} - walk, key=str)
    return dict(sympy.solve(equations, unknown, dict=True)[0]) if equations else {}


@cache
def conditions(name: str) -> tuple[str, ...]:
    """What the walk of a layer took for granted, and what its symbols do, in the symbols of the paper."""
    layer = LAYERS[name]
    counted = list(zip(layer.counts, DISTINCT, strict=False))
    numbers = {
        str(sum(value for _, value in some)): f"({' + '.join(name for name, _ in some)})"
        for size in range(1, len(counted) + 1)
        for some in combinations(counted, size)
    }
    found = dict.fromkeys(layer.given)
    for text in walked(name, DISTINCT[: len(layer.counts)]).assumptions:
        text = re.sub(r"\bK\d+\b", "K", re.sub(r"\b\d+\b", lambda number: numbers.get(number[0], number[0]), text))
        parts = re.split(r"( divides | <= | >= | < | > )", text)
        parts[::2] = [str(in_paper(name, parse(part))) for part in parts[::2]]
        found["".join(parts)] = None
    return tuple(found)
