"""The rows of `explorer audit --formulas`."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import sympy

from explorer.analysis.derive.formulas import FORMULAS, Formula
from explorer.analysis.derive.judge import Judgement, judge
from explorer.analysis.derive.symbols import REMAINDERS, SYMBOLS, latex, named, parse
from explorer.analysis.derive.walk import QUANTITIES, closed, conditions, in_paper
from explorer.analysis.formula import shorter
from explorer.errors import UserError, nearest

POINTS = 50  # at which every closed form is compared with torch
EVERYWHERE = "all whole numbers from 1"

Uses = dict[str, list[str]]  # quantities by layer


@dataclass(frozen=True)
class Row:
    """One formula: expressions as text that sympy reads, in the symbols of `symbols`, and in LaTeX."""

    paper: str
    where: str
    stated: str
    name: str
    claim: str
    derived: str
    difference: str
    verdict: str
    range: str
    fitted: str
    verified: str
    example: str
    symbols: str
    claim_latex: str
    derived_latex: str
    difference_latex: str
    verdict_latex: str
    range_latex: str

    @property
    def agrees(self) -> bool:
        """Whether torch counted at all points what was derived; also where nothing was verified."""
        return not self.verified or self.verified.startswith(f"{POINTS} of {POINTS} ")

    def as_dict(self) -> dict[str, str]:
        """The JSON of one row."""
        return asdict(self)


def papers() -> list[str]:
    """The papers that have formulas."""
    return list(dict.fromkeys(formula.paper for formula in FORMULAS))


def rows(paper: str | None = None, verify: bool = True) -> list[Row]:
    """The formulas of one paper, or of all, derived and judged. Raises UserError for an unknown paper.

    verify: compare each layer's closed forms with built ones at 50 points.
    """
    if paper is not None and paper not in papers():
        raise UserError(f"no paper '{paper[:40]}'; {nearest(paper, papers())}; papers: {', '.join(papers())}")
    chosen = [formula for formula in FORMULAS if paper in (None, formula.paper)]
    return [row_of(formula, verify) for formula in chosen]


@cache
def derived(formula: Formula) -> tuple[sympy.Expr, sympy.Expr, Judgement, Uses]:
    """Claim, derived expression, judgement, and the quantities of layers that both were read from."""
    uses: Uses = {}
    claim = parse(formula.claim, _functions(uses))
    found = shorter(parse(formula.derived, _functions(uses)))
    given = tuple(dict.fromkeys(text for name in uses for text in conditions(name)))
    return claim, found, judge(claim.doit(), found, list(uses), given, formula.about), uses


def _functions(uses: Uses) -> dict[str, Callable[[Any], sympy.Expr]]:
    """weights(x), macs(x), ... of layers, which are noted in `uses`."""

    def function(quantity: str) -> Callable[[Any], sympy.Expr]:
        def read(layer: Any) -> sympy.Expr:
            noted = uses.setdefault(str(layer), [])
            if quantity not in noted:
                noted.append(quantity)
            return in_paper(str(layer), closed(str(layer), quantity).expression)

        return read

    return {quantity: function(quantity) for quantity in QUANTITIES}


@cache
def row_of(formula: Formula, verify: bool) -> Row:
    """One formula, derived and judged; verified as in `rows`."""
    claim, found, judged, uses = derived(formula)
    verdict, difference = text_of_verdict(judged), judged.difference
    given = _range(uses)
    used = {name for part in (claim, found, difference, judged.needs) if part is not None for name in _free(part)}
    return Row(
        paper=formula.paper,
        where=formula.where,
        stated=formula.stated,
        name=formula.name,
        claim=str(claim),
        derived=str(found),
        difference="" if difference is None else str(difference),
        verdict=verdict,
        range="; ".join(given) or EVERYWHERE,
        fitted="; ".join(_fits(uses)),
        verified=_verified(formula.paper, uses) if verify else "",
        example=_example(formula, claim, found),
        symbols="; ".join(f"{name} = {SYMBOLS[name].meaning}" for name in SYMBOLS if name in used),
        claim_latex=latex(claim),
        derived_latex=latex(found),
        difference_latex="" if difference is None else latex(difference),
        verdict_latex=judged.verdict if judged.needs is None else f"{judged.verdict} ${latex(judged.needs)}$",
        range_latex="; ".join(f"${latex_of_condition(text)}$" for text in given) or EVERYWHERE,
    )


def text_of_verdict(judged: Judgement) -> str:
    """holds, fails, holds where P = 1, ..."""
    needs = judged.needs
    if needs is None:
        return judged.verdict
    return f"{judged.verdict} {needs.lhs} = {needs.rhs}" if isinstance(needs, sympy.Eq) else f"{judged.verdict} {needs}"


def _range(uses: Uses) -> list[str]:
    found = dict.fromkeys(text for name in uses for text in conditions(name))
    return [text for text in found if text.split()[0] not in REMAINDERS]  # a remainder is small by its nature


def latex_of_condition(text: str) -> str:
    """k divides C, or a relation, in LaTeX."""
    parts = text.split(" divides ")
    return r" \mid ".join(latex(parse(part)) for part in parts)


def _free(expression: sympy.Basic) -> set[str]:
    return {str(symbol) for symbol in expression.free_symbols}


def _fits(uses: Uses) -> list[str]:
    fits = [
        fit for name, quantities in uses.items() for quantity in quantities for fit in closed(name, quantity).fitted
    ]
    return list(dict.fromkeys(fits))


def _verified(paper: str, uses: Uses) -> str:
    from explorer.analysis.derive.check import HOW, check

    needed = needed_of(paper)
    found = [
        check(name, needed[name], POINTS)[quantity] for name, quantities in uses.items() for quantity in quantities
    ]
    how = dict.fromkeys(HOW[quantity] for quantities in uses.values() for quantity in quantities)
    worst = min(found, key=lambda checked: checked.agreed / checked.points)
    text = f"{worst.agreed} of {worst.points} points: {', '.join(how)}"
    return text if worst.first is None else f"{text}; {worst.first}"


@cache
def needed_of(paper: str) -> dict[str, tuple[str, ...]]:
    """The quantities that a paper's formulas read from each layer, so that it is built once at each point."""
    needed: dict[str, dict[str, None]] = {}
    for formula in FORMULAS:
        if formula.paper == paper:
            for name, quantities in derived(formula)[3].items():
                needed.setdefault(name, {}).update(dict.fromkeys(quantities))
    return {name: tuple(quantities) for name, quantities in needed.items()}


def _example(formula: Formula, claim: sympy.Expr, found: sympy.Expr) -> str:
    if not formula.example:
        return ""
    pairs = (part.split(" = ") for part in formula.example.split(", "))
    at = {named(name): int(value) for name, value in pairs}
    return f"{formula.example}: {_number(found.subs(at))}, claimed {_number(claim.doit().subs(at))}"


def _number(value: sympy.Expr) -> str:
    return str(value) if not value.is_Rational or value.is_Integer else f"{float(value):.4g}"
