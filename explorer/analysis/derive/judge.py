"""A claim against what was derived: the difference, and where it vanishes."""

from typing import NamedTuple

import sympy

from explorer.analysis.derive.layers import LAYERS
from explorer.analysis.derive.symbols import named, parse
from explorer.analysis.derive.walk import in_walk
from explorer.analysis.formula import shorter

HOLDS, FAILS = "holds", "fails"


class Judgement(NamedTuple):
    """`difference` is derived minus claimed, None between infinities; `needs` is what the verdict's words end in."""

    difference: sympy.Expr | None
    verdict: str
    needs: sympy.Basic | None = None


def judge(
    claim: sympy.Expr, derived: sympy.Expr, layers: list[str], conditions: tuple[str, ...], about: str | None
) -> Judgement:
    """Compare two expressions in the papers' symbols. `about` is the symbol that grows, where a claim says about."""
    if claim.is_infinite or derived.is_infinite:
        return Judgement(None, HOLDS if claim == derived else FAILS)
    difference = shorter(sympy.simplify(derived - claim))
    if difference == 0:
        return Judgement(difference, HOLDS)
    if about is not None:
        return _approximately(difference, shorter(sympy.limit(derived / claim, named(about), sympy.oo)), about)
    condition = vanishes(difference, layers, conditions)
    return Judgement(difference, FAILS) if condition is None else Judgement(difference, "holds where", condition)


def _approximately(difference: sympy.Expr, ratio: sympy.Expr, about: str) -> Judgement:
    if ratio.is_infinite:
        return Judgement(difference, FAILS)
    if ratio == 1:
        return Judgement(difference, f"holds where {about} is large")
    return Judgement(difference, "holds where 'about' means up to a factor of", ratio)


def vanishes(difference: sympy.Expr, layers: list[str], conditions: tuple[str, ...]) -> sympy.Eq | None:
    """The simplest equation between symbols, possible under the conditions, under which a difference is zero."""
    there = {old: new for name in layers for old, new in in_walk(name).items()}
    back = {named(old): parse(new) for name in layers for old, new in LAYERS[name].paper.items()}
    above, _ = sympy.fraction(sympy.factor(difference.subs(there, simultaneous=True)))
    found = [
        sympy.Eq(shorter(unknown.subs(back)), shorter(root.subs(back, simultaneous=True)), evaluate=False)
        for factor, _ in sympy.factor_list(above)[1]
        for unknown in sorted(factor.free_symbols, key=str)
        for root in sympy.solve(factor, unknown)
        if root.is_rational_function()
    ]
    possible = [equation for equation in found if _possible(equation, conditions)]
    return min(possible, key=lambda equation: (len(str(equation)), str(equation)), default=None)


def _possible(equation: sympy.Eq, conditions: tuple[str, ...]) -> bool:
    relations = [parse(text) for text in conditions if " divides " not in text]
    return all(relation.subs(equation.lhs, equation.rhs) != False for relation in relations)  # noqa: E712
