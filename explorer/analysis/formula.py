"""Closed forms: the walk that counts, on symbols.

D, H, W are the channels, height and width of what a block reads; parameters that are not given become symbols.
"""

import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from math import lcm
from typing import Any

import sympy

from explorer.analysis.ledger import Ledger, ledger_of, row_of, totals_of
from explorer.blocks.graph import Graph, Op
from explorer.catalog.load import load
from explorer.errors import ArchError, UserError
from explorer.grammar import expand as expansion
from explorer.grammar.evaluate import CONSTANTS, WORDS
from explorer.grammar.frame import IMPLICIT
from explorer.grammar.library import Library
from explorer.grammar.parser import parse_expression
from explorer.grammar.syntax import Arg, Block, Call, Expression, File, Name, Network, Param, Step


def symbol(name: str) -> sympy.Symbol:
    """A positive integer."""
    return sympy.Symbol(name, integer=True, positive=True)


def formulas(text: str, size: tuple[int, int, int] | None = None) -> list[str]:
    """The closed form of a block (`mssar(1,2,4)`), a unit, or each stage of a network, as lines of text.

    `size` replaces the symbols D, H, W of a block, or the channels of a network's image.
    Raises UserError where a parameter decides how often something repeats and no number was given.
    """
    name = text.split("(")[0].strip()
    block = Library().find(name) if name.replace("_", "a").isalnum() else None
    if isinstance(block, Block):
        return _block_lines(block, parse_expression(text).call, size)
    return _network_lines(text)


def _block_lines(block: Block, call: Call, size: tuple[int, int, int] | None) -> list[str]:
    given = {arg.name for arg in call.args if arg.name}
    positional = [arg for arg in call.args if arg.name is None]
    missing = [p.name for p in block.params[len(positional) :] if not (p.star or p.default or p.name in given)]
    args = (*call.args, *(Arg(Name(p), name=p) for p in missing))
    step = Step(block.name, args)
    params = [*missing, *free_names(call.args)]
    if block.unit:
        step = Step("aggregate", (Arg(Name("n")), Arg(Name("n"))), branches=((step,),))
        params.append("n")
    network = Network("formula", tuple(Param(p) for p in params), (step,))
    expression = Expression(Call("formula"), source=network.source)
    shape = size or (symbol("D"), symbol("H"), symbol("W"))
    try:
        graph = expansion.expand(
            expression, Library(File((network,))), input=shape, values={p: symbol(p) for p in params}
        )
    except ArchError as error:
        raise _needs_numbers(error, block.name) from None
    return [f"{block.name} on {_product(shape)}", *_ledger_lines(ledger_of(graph.root)), *_assumptions(graph)]


def free_names(args: tuple[Arg, ...]) -> list[str]:
    """Names in the arguments that mean nothing yet: they become symbols too, as d in mssar(1, width = d)."""
    found: dict[str, None] = {}

    def walk(node: Any) -> None:
        if isinstance(node, Name) and node.id not in {*WORDS, *CONSTANTS, *IMPLICIT}:
            found[node.id] = None
        elif is_dataclass(node):
            for field in fields(node):
                walk(getattr(node, field.name))
        elif isinstance(node, tuple):
            for item in node:
                walk(item)

    walk(args)
    return list(found)


def _needs_numbers(error: ArchError, name: str) -> UserError:
    if "one plain integer" in error.message:
        return UserError(f"{error.message}; give it a number, as in: explorer show '{name}(...)' --formula")
    return error


def _network_lines(text: str) -> list[str]:
    expression, library = load(text)
    fixed = expansion.expand(expression, library)
    names = [p.name for p in _root_params(expression, library) if p.name == "classes"]
    shape = (fixed.input[0], symbol("H"), symbol("W"))
    graph = expansion.expand(expression, library, input=shape, values={p: symbol(p) for p in names})
    lines = [f"{graph.canonical} on {_product(shape)}"]
    for entry in graph.root.body:
        node = entry.node
        ledger = {node.kind: row_of(node)} if isinstance(node, Op) else ledger_of(node)
        totals = totals_of(ledger)
        lines.append(f"{entry.name}:  params = {_show(totals.params)}   MACs = {_show(totals.macs)}")
    totals = totals_of(ledger_of(graph.root))
    lines.append(f"total:  params = {_show(totals.params)}   MACs = {_show(totals.macs)}")
    return [*lines, *_assumptions(graph)]


def _root_params(expression: Expression, library: Library) -> tuple[Param, ...]:
    from explorer.grammar.resolve import resolve

    return resolve(expression, library, {}).network.params


def _ledger_lines(ledger: Ledger) -> list[str]:
    totals = totals_of(ledger)

    def total(field: str) -> Any:
        return sum(getattr(row, field) for row in ledger.values())

    return [
        f"  weights      = {_show(total('weights'))}",
        f"  biases       = {_show(total('biases'))}",
        f"  norm params  = {_show(total('norms'))}",
        f"  params       = {_show(totals.params)}",
        f"  MACs         = {_show(totals.macs)}",
        f"  activations  = {_show(totals.activations)}",
    ]


def _assumptions(graph: Graph) -> list[str]:
    conditions = strongest(graph.assumptions)
    return [f"  where {', '.join(conditions)}"] if conditions else []


def strongest(assumptions: Iterable[str]) -> list[str]:
    """Assumptions without those that others imply: of each symbol the least value and the largest divisor."""
    least: dict[str, int] = {}
    divisors: dict[str, int] = {}
    others = []
    for text in assumptions:
        if divides := re.fullmatch(r"(\d+) divides (\w+)", text):
            divisors[divides[2]] = lcm(divisors.get(divides[2], 1), int(divides[1]))
        elif bound := _lower_bound(text):
            name, value = bound
            least[name] = max(least.get(name, 1), value)
        else:
            others.append(text)
    bounds = [f"{name} >= {value}" for name, value in least.items() if value > divisors.get(name, 1)]
    return [*others, *bounds, *(f"{divisor} divides {name}" for name, divisor in divisors.items())]


def _lower_bound(text: str) -> tuple[str, int] | None:
    """The least whole number that H/4 - 2 >= 0 allows; None for what is no bound of a single symbol from below."""
    names = set(re.findall(r"[A-Za-z_]\w*", text))
    left, sign, right = text.partition(" >= ")
    if len(names) != 1 or not sign:
        return None
    name = names.pop()
    known = symbol(name)
    difference = sympy.sympify(f"({left}) - ({right})", locals={name: known})
    slope = sympy.diff(difference, known)
    if not slope.is_number or slope <= 0:
        return None
    return name, int(sympy.ceiling(-difference.subs(known, 0) / slope))


def _product(shape: tuple[Any, ...]) -> str:
    return " x ".join(str(side) for side in shape)


def _show(expr: Any) -> str:
    return str(shorter(sympy.sympify(expr)))


def shorter(value: sympy.Expr) -> sympy.Expr:
    """The shorter of the expanded and the factored form."""
    factored = sympy.factor(value)
    return min(sympy.expand(value), factored, sympy.signsimp(factored), key=lambda form: len(str(form)))
