"""The language of the checks: a small part of Python's expressions, read by walking its syntax tree.

Comparisons give findings instead of yes and no; `and`, `all(... for ...)` carry them along with their numbers. There
are numbers, text, lists, arithmetic, comprehensions and the functions given by name: no attributes, nothing else.
"""

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import cache
from typing import Any

from explorer.analysis.claims.judge import FAILS, Finding, both, compare, every

ARITHMETIC: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
    ast.Div: lambda a, b: Fraction(a) / b,
}
COMPARISONS: dict[type[ast.AST], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "max": lambda values: max(values),
    "min": lambda values: min(values),
    "text": lambda number: str(number),
}
Names = Mapping[str, Any]


def evaluate(text: str, names: Names) -> Any:
    """The value of an expression. Raises ValueError where it is not of this language."""
    return _value(_parsed(text), {**FUNCTIONS, **names})


def finding(text: str, names: Names) -> Finding:
    """What a check finds. Raises ValueError where the expression is no statement."""
    found = evaluate(text, names)
    if not isinstance(found, Finding):
        raise ValueError(f"{text!r} is a value, not a statement")
    return found


@cache
def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(" ".join(text.split()), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{text!r}: {error.msg}") from None


def _value(node: ast.AST, names: Names) -> Any:
    rule = RULES.get(type(node))
    if rule is None:
        raise ValueError(f"{ast.unparse(node)!r} is not of the checks' language")
    return rule(node, names)


def _constant(node: ast.Constant, names: Names) -> Any:
    return Fraction(repr(node.value)) if isinstance(node.value, float) else node.value


def _name(node: ast.Name, names: Names) -> Any:
    if node.id not in names:
        raise ValueError(f"unknown name {node.id!r} in a check")
    return names[node.id]


def _list(node: ast.List | ast.Tuple, names: Names) -> list[Any]:
    return [_value(item, names) for item in node.elts]


def _arithmetic(node: ast.BinOp, names: Names) -> Any:
    return ARITHMETIC[type(node.op)](_value(node.left, names), _value(node.right, names))


def _negative(node: ast.UnaryOp, names: Names) -> Any:
    if not isinstance(node.op, ast.USub):
        raise ValueError(f"{ast.unparse(node)!r} is not of the checks' language")
    return -_value(node.operand, names)


def _compare(node: ast.Compare, names: Names) -> Finding:
    symbols = [COMPARISONS.get(type(operation)) for operation in node.ops]
    if len(symbols) != 1 or symbols[0] is None:
        raise ValueError(f"{ast.unparse(node)!r} is not one comparison of two values")
    return compare(symbols[0], _value(node.left, names), _value(node.comparators[0], names))


def _and(node: ast.BoolOp, names: Names) -> Finding:
    if not isinstance(node.op, ast.And):
        raise ValueError(f"{ast.unparse(node)!r} is not of the checks' language")
    return both([_value(part, names) for part in node.values])


def _call(node: ast.Call, names: Names) -> Any:
    if isinstance(node.func, ast.Name) and node.func.id == "all" and isinstance(node.args[0], ast.GeneratorExp):
        return every(list(_cases(node.args[0], names)))
    function = _value(node.func, names)
    if not callable(function):
        raise ValueError(f"{ast.unparse(node.func)!r} is not a function")
    keywords = {word.arg: _value(word.value, names) for word in node.keywords if word.arg}
    return function(*(_value(arg, names) for arg in node.args), **keywords)


def _comprehension(node: ast.ListComp | ast.GeneratorExp, names: Names) -> list[Any]:
    return [value for _, value in _cases(node, names)]


def _cases(node: ast.ListComp | ast.GeneratorExp, names: Names) -> Iterator[tuple[str, Any]]:
    """Each value of a comprehension, with what tells it from the others."""
    for own in _bindings(node.generators, {}, names):
        yield " ".join(filter(None, (_label(*item) for item in own.items()))), _value(node.elt, {**names, **own})


def _bindings(generators: list[ast.comprehension], own: dict[str, Any], names: Names) -> Iterator[dict[str, Any]]:
    if not generators:
        yield own
        return
    first, *rest = generators
    for item in _value(first.iter, {**names, **own}):
        targets = first.target.elts if isinstance(first.target, ast.Tuple) else [first.target]
        values = item if isinstance(first.target, ast.Tuple) else [item]
        bound = {**own, **{ast.unparse(t): value for t, value in zip(targets, values, strict=True)}}
        if all(_value(test, {**names, **bound}).verdict != FAILS for test in first.ifs):
            yield from _bindings(rest, bound, names)


def _label(name: str, value: Any) -> str:
    """`resnet20` for n, `set 1,2` for set, `K 4` for K, `CIFAR10` for a column."""
    if isinstance(value, str | int):
        return value if isinstance(value, str) and len(name) == 1 else f"{name.replace('_', ' ')} {value}"
    return getattr(value, "__name__", "")


RULES: dict[type[ast.AST], Callable[[Any, Names], Any]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.List: _list,
    ast.Tuple: _list,
    ast.BinOp: _arithmetic,
    ast.UnaryOp: _negative,
    ast.Compare: _compare,
    ast.BoolOp: _and,
    ast.Call: _call,
    ast.ListComp: _comprehension,
    ast.GeneratorExp: _comprehension,
}
