"""Canonical text of a syntax tree; parsing it gives the same tree."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from explorer.errors import ArchError
from explorer.grammar.build import PRECEDENCE
from explorer.grammar.lexer import MAX_DIGITS, TIMES
from explorer.grammar.syntax import (
    AnyStep,
    Arg,
    Binary,
    Block,
    Chain,
    Definition,
    Expect,
    Expr,
    Expression,
    Field,
    File,
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

INDENT = "  "


def print_expr(expr: Expr) -> str:
    """An expression; brackets only where precedence needs them."""
    return _EXPR[type(expr)](expr)


def _number(expr: Number) -> str:
    if expr.unit:
        unit = next((unit for unit, size in reversed(TIMES.items()) if expr.value >= size), expr.unit)
        return _number(Number(Fraction(expr.value) / TIMES[unit])) + unit
    value = expr.value
    if isinstance(value, Fraction) and value.denominator != 1:
        digits = next((d for d in range(MAX_DIGITS) if (value * 10**d).denominator == 1), None)
        if digits is None:
            raise ArchError(f"{value} is no decimal; write it as a quotient")
        whole, part = divmod(int(value * 10**digits), 10**digits)
        return f"{whole}.{part:0{digits}d}"
    return str(value)


def _unary(expr: Unary) -> str:
    inner = print_expr(expr.operand)
    if isinstance(expr.operand, Binary):
        inner = f"({inner})"
    return f"not {inner}" if expr.op == "not" else f"-{inner}"


def _binary(expr: Binary) -> str:
    level = PRECEDENCE[expr.op]

    def side(operand: Expr, lowest: int) -> str:
        shown = print_expr(operand)
        return f"({shown})" if isinstance(operand, Binary) and PRECEDENCE[operand.op] < lowest else shown

    return f"{side(expr.left, level)} {expr.op} {side(expr.right, level + 1)}"


def _postfix(value: Expr) -> str:
    shown = print_expr(value)
    return f"({shown})" if isinstance(value, Binary | Unary) else shown


_EXPR: dict[type, Callable[[Any], str]] = {
    Number: _number,
    Size: lambda e: "x".join(str(v) for v in e.values),
    Name: lambda e: e.id,
    List: lambda e: f"[{', '.join(print_expr(item) for item in e.items)}]",
    Unary: _unary,
    Binary: _binary,
    Function: lambda e: f"{e.name}({_args(e.args)})",
    Field: lambda e: f"{_postfix(e.value)}.{e.name}",
    Index: lambda e: f"{_postfix(e.value)}[{print_expr(e.index)}]",
}


def _args(args: tuple[Arg, ...]) -> str:
    return ", ".join(_arg(arg) for arg in args)


def _arg(arg: Arg) -> str:
    shown = print_expr(arg.value)
    if arg.mark:
        return f"{arg.mark}({shown})" if isinstance(arg.value, Binary) else f"{arg.mark}{shown}"
    return f"{arg.name} = {shown}" if arg.name is not None else shown


def _call(name: str, args: tuple[Arg, ...]) -> str:
    return f"{name}({_args(args)})" if args else name


def print_modifier(modifier: Modifier) -> str:
    """mssar(1, 2, 4) on stage3"""
    call = _call(modifier.call.name, modifier.call.args)
    return f"{call} on {modifier.on}" if modifier.on else call


def print_expression(expression: Expression) -> str:
    """NET + M + M on one line."""
    parts = [_call(expression.call.name, expression.call.args), *map(print_modifier, expression.modifiers)]
    return " + ".join(parts)


# --- steps ---


def _braces(chain: Chain, depth: int) -> str:
    if not chain:
        return "{ }"
    if len(chain) == 1 and not isinstance(chain[0], Section | For):
        return f"{{ {print_item(chain[0], depth)} }}"
    inner = INDENT * (depth + 1)
    return "{\n" + "".join(f"{inner}{print_item(i, depth + 1)}\n" for i in chain) + INDENT * depth + "}"


def _branches(branches: tuple[Chain, ...], depth: int) -> str:
    if len(branches) == 1:
        return _braces(branches[0], depth)
    chains = [", ".join(print_item(i, depth) for i in chain) for chain in branches]
    return f"{{ {' | '.join(chains)} }}"


def _step(step: Step, depth: int) -> str:
    head = step.name + "".join(f".{name}" for name in step.fields)
    if step.args or (step.branches is not None and step.name in ("grow",)):
        head += f"({_args(step.args)})"
    if step.each is not None:
        head += f" {step.each[0]} in {print_expr(step.each[1])}"
    return head if step.branches is None else f"{head} {_branches(step.branches, depth)}"


def _repeat(repeat: Repeat, depth: int) -> str:
    times = print_expr(repeat.times)
    return f"{print_item(repeat.step, depth)} * {f'({times})' if isinstance(repeat.times, Binary) else times}"


def _when(when: When, depth: int) -> str:
    shown = f"when {print_expr(when.condition)} {_braces(when.then, depth)}"
    return shown if when.otherwise is None else f"{shown} else {_braces(when.otherwise, depth)}"


def _for(loop: For, depth: int) -> str:
    values = ", ".join(print_expr(value) for value in loop.values)
    return f"for {', '.join(loop.names)} in {values} {_braces(loop.chain, depth)}"


def _section(section: Section, depth: int) -> str:
    return f"{section.label}: " + ", ".join(print_item(step, depth) for step in section.steps)


_ITEM: dict[type, Callable[[Any, int], str]] = {
    Step: _step,
    Group: lambda item, depth: _braces(item.chain, depth),
    Repeat: _repeat,
    When: _when,
    For: _for,
    Section: _section,
    Input: lambda item, depth: f"input {'x'.join(str(v) for v in item.size)}",
    Expect: lambda item, depth: f"expect {print_expr(item.fact)}",
    Only: lambda item, depth: f"only {print_expr(item.condition)}" + (f' "{item.reason}"' if item.reason else ""),
}


def print_item(item: Item | AnyStep, depth: int = 0) -> str:
    """A step, section or statement; `depth` is the indentation of its line."""
    return _ITEM[type(item)](item, depth)


# --- definitions ---


def _param(param: Param) -> str:
    if param.star:
        return f"*{param.name}"
    return param.name if param.default is None else f"{param.name} = {print_expr(param.default)}"


def print_definition(definition: Definition) -> str:
    """A definition as it would stand in a file."""
    kind = "unit" if isinstance(definition, Block) and definition.unit else type(definition).__name__.lower()
    params = f"({', '.join(_param(p) for p in definition.params)})" if definition.params else ""
    head = f"{kind} {definition.name}{params}"
    if isinstance(definition, Rewrite):
        head += f" of {', '.join(definition.of)}"
    if isinstance(definition, Network) and definition.base is not None:
        return f"{head} = {print_expression(definition.base)}"
    assert definition.body is not None
    if not definition.body:
        return f"{head} {{ }}"
    lines = "".join(f"{INDENT}{print_item(item, 1)}\n" for item in definition.body)
    return f"{head} {{\n{lines}}}"


def print_file(file: File) -> str:
    """All definitions, an empty line between them."""
    return "\n\n".join(print_definition(d) for d in file.definitions) + "\n"
