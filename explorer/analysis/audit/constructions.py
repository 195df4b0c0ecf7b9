"""Other constructions of a printed network: what its table may have meant by the same name."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from explorer.analysis.audit.measure import cost
from explorer.errors import UserError
from explorer.grammar.library import Library
from explorer.grammar.parser import parse_expression
from explorer.grammar.printer import print_expression
from explorer.grammar.resolve import resolve
from explorer.grammar.syntax import Arg, Expression, Name, Number

Change = Callable[[Expression], Expression | None]  # None: the network has nothing of the kind


CLASSES = "the classes"


class Option(NamedTuple):
    """One way of building a network that its paper may have meant."""

    about: str  # two options about the same thing exclude each other
    says: str
    change: Change
    choices: int = 1  # that were free
    modifier: bool = False  # about what is added to a network


def _given(name: str, value: Name | Number) -> Change:
    """The network with one parameter set."""

    def change(net: Expression) -> Expression | None:
        if any(arg.name == name for arg in net.call.args):
            return None
        return replace(net, call=replace(net.call, args=(*net.call.args, Arg(value, name))))

    return change


def _first(net: Expression) -> Expression | None:
    """A DenseNet whose first convolution has twice the growth rate's channels."""
    k = resolve(net, Library(), {}).names.get("k")
    k = k[0] if isinstance(k, tuple) else k
    return _given("first", Number(2 * k))(net) if isinstance(k, int) else None


def _modified(modifier: str, **values: Callable[[int], Name | Number]) -> Change:
    """The network with its modifiers of one name given further arguments; values may depend on how many scales."""

    def change(net: Expression) -> Expression | None:
        found = [m for m in net.modifiers if m.call.name == modifier]
        if not found or any(arg.name in values for m in found for arg in m.call.args):
            return None
        changed = []
        for m in net.modifiers:
            if m in found:
                scales = sum(arg.name is None for arg in m.call.args)
                added = tuple(Arg(make(scales), name) for name, make in values.items())
                m = replace(m, call=replace(m.call, args=(*m.call.args, *added)))
            changed.append(m)
        return replace(net, modifiers=tuple(changed))

    return change


def _renamed(old: str, new: str, change: Change) -> Change:
    """The same change, and another block for the modifier."""

    def both(net: Expression) -> Expression | None:
        changed = change(net)
        if changed is None:
            return None
        modifiers = [replace(m, call=replace(m.call, name=new)) if m.call.name == old else m for m in changed.modifiers]
        return replace(changed, modifiers=tuple(modifiers))

    return both


def _word(word: str) -> Callable[[int], Name]:
    return lambda scales: Name(word)


def _hidden(divisor: int, shared: bool) -> Option:
    """D' = D / divisor for every scale, or shared out among the scales."""
    of = "L" if shared and divisor == 1 else f"({divisor}L)" if shared else str(divisor)
    return Option(
        "the hidden width",
        f"hidden width D' = D/{of}",
        _modified("mssar", ratio=lambda scales: Number(divisor * (scales if shared else 1))),
        modifier=True,
    )


def _rounded(divisor: int) -> Option:
    """D' = D / (divisor L), rounded to the nearest integer."""
    change = _modified("mssar", divisor=lambda scales: Number(divisor * scales))
    says = f"hidden width D' = D/({divisor}L), rounded to the nearest integer"
    return Option("the hidden width", says, _renamed("mssar", "mssar_rounded", change), 2, True)


def _reduced(ratio: int) -> Option:
    change = _modified("se", ratio=lambda scales: Number(ratio))
    return Option("the ratio of SE", f"SE with reduction ratio {ratio}", change, 1, True)


DIVISORS = (2, 3, 4, 8, 16)
OPTIONS = (
    Option(CLASSES, "of the 100-class network", _given("classes", Number(100))),
    Option("the shortcuts", "zero-padded shortcuts (option A)", _given("option", Name("A"))),
    Option("the shortcuts", "projection shortcuts (option B)", _given("option", Name("B"))),
    Option("the first convolution", "first convolution of 2k channels", _first),
    Option("the stride", "bottlenecks strided at their first 1x1", _given("strided", Name("first"))),
    *(_hidden(divisor, True) for divisor in DIVISORS),
    *(_hidden(divisor, False) for divisor in (1, *DIVISORS)),
    *(_rounded(divisor) for divisor in DIVISORS),
    Option("the point", "MS-SAR at the residual branch's output", _modified("mssar", at=_word("output")), 1, True),
    Option("the point", "SE at the residual branch's output", _modified("se", at=_word("output")), 1, True),
    Option("what is read", "single-stage recalibration", _modified("mssar", **{"from": _word("it")}), 1, True),
    Option("the strategy", "sliding windows", _modified("mssar", pool=_word("sliding")), 1, True),
    *(_reduced(ratio) for ratio in (1, 2, 4, 8)),
)


@cache
def built(network: str, options: tuple[Option, ...]) -> str:
    """The network's text with those of the options taken that concern it."""
    text = network
    for option in options:
        net = option.change(parse_expression(text))
        if net is not None and possible(changed := print_expression(net)):
            text = changed
    return text


@cache
def possible(network: str) -> bool:
    """Whether there is such a network: an option may name a parameter that a family does not have."""
    try:
        cost(network)
    except UserError:
        return False
    return True
