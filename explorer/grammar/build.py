"""From parsed pieces to the syntax tree: one function per rule of grammar.lark, by the rule's name.

Each takes the source and the values of the rule's symbols in order; tokens arrive as lexer.Token.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from explorer.errors import ArchError, Source
from explorer.grammar.lexer import MAX_DIGITS
from explorer.grammar.syntax import (
    Arg,
    Binary,
    Block,
    Call,
    Chain,
    Expect,
    Expr,
    Expression,
    Field,
    For,
    Function,
    Group,
    Index,
    Input,
    Item,
    List,
    Modifier,
    Name,
    Network,
    Number,
    Only,
    Param,
    Repeat,
    Rewrite,
    Section,
    Size,
    Step,
    Unary,
    When,
)

Values = list[Any]

PRECEDENCE = {
    "or": 1, "and": 2, "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3,
    "+": 4, "-": 4, "*": 5, "/": 5, "//": 5, "%": 5,
}  # fmt: skip


class Labelled:
    """A step with a label, before the steps that follow join its section."""

    def __init__(self, label: str, step: Any, at: int) -> None:
        self.label, self.step, self.at = label, step, at


def climb(flat: Values, start: int = 0, lowest: int = 1) -> tuple[Expr, int]:
    """Precedence climbing over [operand, operator, operand, ...]; returns the tree and the next index."""
    left: Expr = flat[start]
    i = start + 1
    while i < len(flat) and PRECEDENCE[flat[i].text] >= lowest:
        op = flat[i]
        right, i = climb(flat, i + 1, PRECEDENCE[op.text] + 1)
        left = Binary(op.text, left, right, op.at)
    return left, i


def chain_of(items: list[Any]) -> Chain:
    """Items to a chain: unlabelled steps join the section of the label before them."""
    chain: list[Item] = []
    section: Labelled | None = None
    steps: list[Any] = []
    for item in items:
        if isinstance(item, Labelled):
            if section is not None:
                chain.append(Section(section.label, tuple(steps), section.at))
            section, steps = item, [item.step]
        elif section is not None and not isinstance(item, For | Input | Expect | Only):
            steps.append(item)
        else:
            if section is not None:
                chain.append(Section(section.label, tuple(steps), section.at))
                section = None
            chain.append(item)
    if section is not None:
        chain.append(Section(section.label, tuple(steps), section.at))
    return tuple(chain)


def check_params(source: Source, params: Values) -> tuple[Param, ...]:
    """Parameters as a tuple; refuses one declared twice."""
    seen: set[str] = set()
    for param in params:
        if param.name in seen:
            raise ArchError(f"parameter '{param.name}' is declared twice", source, param.at)
        seen.add(param.name)
    return tuple(params)


def check_args(source: Source, args: Values) -> tuple[Arg, ...]:
    """Arguments as a tuple; refuses one given twice."""
    seen: set[str] = set()
    for arg in args:
        if arg.name is not None:
            if arg.name in seen:
                raise ArchError(f"argument '{arg.name}' is given twice", source, arg.at)
            seen.add(arg.name)
    return tuple(args)


def number(source: Source, v: Values) -> Number:
    """An integer, or the exact fraction of a decimal; 25e6 is 25000000. What ends in ns is a time."""
    text = v[0].text.removesuffix("ns")
    value = Fraction(text) if "." in text or "e" in text else int(text)
    if value >= 10**MAX_DIGITS:
        raise ArchError(f"a number of more than {MAX_DIGITS} digits", source, v[0].at)
    unit = v[0].text[len(text) :]
    return Number(value.numerator if value.denominator == 1 else value, v[0].at, unit)


def size(source: Source, v: Values) -> Size:
    """3x32x32"""
    return Size(tuple(int(part) for part in v[0].text.split("x")), v[0].at)


def expr(source: Source, v: Values) -> Expr:
    """A flat run of operands and operators as a tree."""
    flat = v[0]
    return flat[0] if len(flat) == 1 else climb(flat)[0]  # type: ignore[no-any-return]


def modified(source: Source, v: Values) -> Expression:
    """NET + M"""
    return Expression(v[0].call, (*v[0].modifiers, v[2]), source)


RULES: dict[str, Callable[[Source, Values], Any]] = {
    "empty": lambda s, v: [],
    "first": lambda s, v: v[0],
    "second": lambda s, v: v[1],
    "one": lambda s, v: [v[0]],
    "append": lambda s, v: [*v[0], v[1]],
    "append_comma": lambda s, v: (v[0].append(v[2]), v[0])[1],
    "one_field": lambda s, v: [v[1]],
    "one_chain": lambda s, v: [chain_of(v[0])],
    "append_chain": lambda s, v: [*v[0], chain_of(v[2])],
    # definitions
    "network": lambda s, v: Network(v[1].text, check_params(s, v[2]), chain_of(v[3]), None, v[1].at, s),
    "derived_network": lambda s, v: Network(v[1].text, check_params(s, v[2]), None, v[4], v[1].at, s),
    "block": lambda s, v: Block(v[1].text, check_params(s, v[2]), chain_of(v[3]), False, v[1].at, s),
    "unit": lambda s, v: Block(v[1].text, check_params(s, v[2]), chain_of(v[3]), True, v[1].at, s),
    "rewrite": lambda s, v: Rewrite(
        v[1].text, check_params(s, v[2]), tuple(t.text for t in v[4]), chain_of(v[5]), v[1].at, s
    ),
    "param": lambda s, v: Param(v[0].text, None, False, v[0].at),
    "param_default": lambda s, v: Param(v[0].text, v[2], False, v[0].at),
    "param_star": lambda s, v: Param(v[1].text, None, True, v[1].at),
    "plain_expression": lambda s, v: Expression(v[0], (), s),
    "modified": modified,
    "modifier": lambda s, v: Modifier(v[0], None, v[0].at),
    "modifier_on": lambda s, v: Modifier(v[0], v[2].text, v[0].at),
    "call_bare": lambda s, v: Call(v[0].text, (), v[0].at),
    "call": lambda s, v: Call(v[0].text, check_args(s, v[2]), v[0].at),
    # steps
    "body": lambda s, v: v[1],
    "labelled": lambda s, v: Labelled(v[0].text, v[2], v[0].at),
    "input": lambda s, v: Input(tuple(int(p) for p in v[1].text.split("x")), v[1].at),
    "expect": lambda s, v: Expect(v[1], v[0].at),
    "only": lambda s, v: Only(v[1], None, v[0].at),
    "only_reason": lambda s, v: Only(v[1], v[2].text[1:-1], v[0].at),
    "repeat": lambda s, v: Repeat(v[0], v[2], v[1].at),
    "step_bare": lambda s, v: Step(v[0].text, at=v[0].at),
    "step_field": lambda s, v: Step(v[0].text, fields=tuple(t.text for t in v[1]), at=v[0].at),
    "step": lambda s, v: Step(v[0].text, check_args(s, v[2]), at=v[0].at),
    "join": lambda s, v: Step(v[0].text, branches=tuple(v[1]), at=v[0].at),
    "fold": lambda s, v: Step(v[0].text, check_args(s, v[2]), branches=tuple(v[4]), at=v[0].at),
    "join_each": lambda s, v: Step(v[0].text, each=(v[1].text, v[3]), branches=tuple(v[4]), at=v[0].at),
    "group": lambda s, v: Group(chain_of(v[0])),
    "when": lambda s, v: When(v[1], chain_of(v[2]), None, v[0].at),
    "when_else": lambda s, v: When(v[1], chain_of(v[2]), chain_of(v[4]), v[0].at),
    "for_loop": lambda s, v: For(tuple(t.text for t in v[1]), tuple(v[3]), chain_of(v[4]), v[0].at),
    # arguments and expressions
    "arg": lambda s, v: Arg(v[0], at=v[0].at),
    "arg_named": lambda s, v: Arg(v[2], name=v[0].text, at=v[0].at),
    "arg_stride": lambda s, v: Arg(v[1], mark="/", at=v[0].at),
    "arg_star": lambda s, v: Arg(v[1], mark="*", at=v[0].at),
    "expr": expr,
    "flat": lambda s, v: (v[0].extend((v[1], v[2])), v[0])[1],
    "negative": lambda s, v: Unary("-", v[1], v[0].at),
    "negation": lambda s, v: Unary("not", v[1], v[0].at),
    "number": number,
    "size": size,
    "name": lambda s, v: Name(v[0].text, v[0].at),
    "function": lambda s, v: Function(v[0].text, check_args(s, v[2]), v[0].at),
    "empty_list": lambda s, v: List((), v[0].at),
    "list": lambda s, v: List(tuple(v[1]), v[0].at),
    "field": lambda s, v: Field(v[0], v[2].text, v[1].at),
    "index": lambda s, v: Index(v[0], v[2], v[1].at),
}
