"""The frozen syntax tree. Equal trees mean equal text; positions do not take part in comparison.

The constructors are the grammar's own names, so a tree can be written in Python as well as parsed.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Union

from explorer.errors import Source


def _at() -> int:
    return field(default=-1, compare=False, repr=False)  # type: ignore[no-any-return]


# --- expressions ---


@dataclass(frozen=True, slots=True)
class Number:
    """An exact number: an int, or a fraction for a decimal such as 0.1."""

    value: int | Fraction
    at: int = _at()
    unit: str = ""  # ns where a limit's number is a time


@dataclass(frozen=True, slots=True)
class Size:
    """A size literal: 3x3, 3x32x32."""

    values: tuple[int, ...]
    at: int = _at()


@dataclass(frozen=True, slots=True)
class Name:
    """A parameter, a loop variable, an implicit value (it, in, out, main, part) or a word (regional)."""

    id: str
    at: int = _at()


@dataclass(frozen=True, slots=True)
class List:
    """[a, b, c]"""

    items: "tuple[Expr, ...]"
    at: int = _at()


@dataclass(frozen=True, slots=True)
class Unary:
    """-a, not a"""

    op: str
    operand: "Expr"
    at: int = _at()


@dataclass(frozen=True, slots=True)
class Binary:
    """a + b, a // b, a == b, a and b"""

    op: str
    left: "Expr"
    right: "Expr"
    at: int = _at()


@dataclass(frozen=True, slots=True)
class Function:
    """max(1, a), channels(it), params(classes = 10)"""

    name: str
    args: "tuple[Arg, ...]"
    at: int = _at()


@dataclass(frozen=True, slots=True)
class Field:
    """entry.raw: a named tensor of a record"""

    value: "Expr"
    name: str
    at: int = _at()


@dataclass(frozen=True, slots=True)
class Index:
    """widths[0]"""

    value: "Expr"
    index: "Expr"
    at: int = _at()


Expr = Union[Number, Size, Name, List, Unary, Binary, Function, Field, Index]


@dataclass(frozen=True, slots=True)
class Arg:
    """An argument: positional, named, a stride (mark '/') or a spread list (mark '*')."""

    value: Expr
    name: str | None = None
    mark: str = ""
    at: int = _at()


# --- steps ---


@dataclass(frozen=True, slots=True)
class Step:
    """A primitive, a block, a value, a join or a fold; `each` = (variable, values) makes one branch a value."""

    name: str
    args: tuple[Arg, ...] = ()
    fields: tuple[str, ...] = ()
    each: tuple[str, Expr] | None = None
    branches: "tuple[Chain, ...] | None" = None
    at: int = _at()


@dataclass(frozen=True, slots=True)
class Group:
    """{ ... }: a sub-network in braces"""

    chain: "Chain"
    at: int = _at()


@dataclass(frozen=True, slots=True)
class Repeat:
    """step * times"""

    step: "AnyStep"
    times: Expr
    at: int = _at()


@dataclass(frozen=True, slots=True)
class When:
    """when condition { ... } else { ... }"""

    condition: Expr
    then: "Chain"
    otherwise: "Chain | None" = None
    at: int = _at()


@dataclass(frozen=True, slots=True)
class For:
    """for a, b in As, Bs { ... }: the lists advance together"""

    names: tuple[str, ...]
    values: tuple[Expr, ...]
    chain: "Chain"
    at: int = _at()


@dataclass(frozen=True, slots=True)
class Section:
    """label: steps, up to the next label, for, expect or closing brace"""

    label: str
    steps: "tuple[AnyStep, ...]"
    at: int = _at()


@dataclass(frozen=True, slots=True)
class Input:
    """input 3x32x32"""

    size: tuple[int, ...]
    at: int = _at()


@dataclass(frozen=True, slots=True)
class Expect:
    """expect params == 123: a fact that the tests verify"""

    fact: Expr
    at: int = _at()


@dataclass(frozen=True, slots=True)
class Only:
    """only condition "reason": where a rewrite does not apply; without a reason the place is no candidate"""

    condition: Expr
    reason: str | None = None
    at: int = _at()


AnyStep = Union[Step, Group, Repeat, When, For]
Item = Union[AnyStep, Section, Input, Expect, Only]
Chain = tuple[Item, ...]


# --- definitions ---


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter: required, with a default, or *star (takes all positional arguments)."""

    name: str
    default: Expr | None = None
    star: bool = False
    at: int = _at()


def _source() -> Source | None:
    return field(default=None, compare=False, repr=False)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Call:
    """A network or modifier by name with arguments."""

    name: str
    args: tuple[Arg, ...] = ()
    at: int = _at()


@dataclass(frozen=True, slots=True)
class Modifier:
    """+ M, or + M on STAGE"""

    call: Call
    on: str | None = None
    at: int = _at()


@dataclass(frozen=True, slots=True)
class Expression:
    """NET + M + M: what a command line names and a derived network stands for."""

    call: Call
    modifiers: tuple[Modifier, ...] = ()
    source: Source | None = _source()


@dataclass(frozen=True, slots=True)
class Block:
    """block NAME(params) { ... }; a unit is a block that needs a fold around it"""

    name: str
    params: tuple[Param, ...]
    body: Chain
    unit: bool = False
    at: int = _at()
    source: Source | None = _source()


@dataclass(frozen=True, slots=True)
class Rewrite:
    """rewrite NAME(params) of conv, bn, relu { ... }: replaces a convolution and what directly follows"""

    name: str
    params: tuple[Param, ...]
    of: tuple[str, ...]
    body: Chain
    at: int = _at()
    source: Source | None = _source()


@dataclass(frozen=True, slots=True)
class Network:
    """network NAME(params) { ... }, or network NAME = NET + M"""

    name: str
    params: tuple[Param, ...] = ()
    body: Chain | None = None
    base: Expression | None = None
    at: int = _at()
    source: Source | None = _source()


Definition = Union[Network, Block, Rewrite]


@dataclass(frozen=True, slots=True)
class File:
    """The definitions of one text, in order."""

    definitions: tuple[Definition, ...]
    source: Source | None = _source()
