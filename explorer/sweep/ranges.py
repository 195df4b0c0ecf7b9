"""Ranges in a network's text: `seqresnet(k=8..32, r=2..16, N=1..3) + mssar(1, 2)`.

`lo..hi` or `lo..hi..step` stands wherever a number may stand in the arguments of the network and its modifiers. It
is syntax of sweeps, not of the grammar: each range becomes a name, and the names are bound to arrays of its values.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from itertools import product
from math import prod
from typing import Any

from explorer.blocks.graph import Graph
from explorer.blocks.walk import Walk
from explorer.catalog.load import load, parse
from explorer.errors import ArchError, Source, UserError, nearest
from explorer.grammar import expand as expansion
from explorer.grammar.lexer import MAX_DIGITS
from explorer.grammar.library import Library
from explorer.grammar.parser import parse_expression
from explorer.grammar.printer import print_expr, print_expression
from explorer.grammar.syntax import Arg, Call, Expr, Expression, File, Name, Network, Number, Param
from explorer.sweep.space import Space, grid, joint

MAX_CANDIDATES = 10_000_000
MAX_RANGES = 99
FORM = "a range is lo..hi or lo..hi..step, such as 8..32 or 8..32..8"
WRAPPER = "candidates"
_RANGE = re.compile(r"(?<![\w.])(\d+)\s*\.\.\s*(\d+)(?:\s*\.\.\s*(\d+))?(?![\w.])")
FILE = re.compile(r"\s*([^\n+(){}]*?\.arch)(?=$|[\s:(+])")
_AXIS = re.compile(r"\s*[A-Za-z_]\w*\s*=(?!=)")


@dataclass
class Ranges:
    """The ranges of a command, by the names that stand for them."""

    values: dict[str, range] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)

    def take(self, text: str, source: Source, start: int = 0) -> str:
        """The text with a name of equal length in place of each range, so that errors point to the right place."""

        def name(match: re.Match[str]) -> str:
            if len(self.values) >= MAX_RANGES:
                raise ArchError(f"more than {MAX_RANGES} ranges", source, start + match.start())
            made = f"_{len(self.values)}".ljust(len(match[0]), "_")
            self.values[made] = _values(match, source, start)
            self.written[made] = match[0]
            return made

        plain = text[:start] + _RANGE.sub(name, text[start:])
        if (rest := plain.find("..", start)) >= 0:
            raise ArchError(FORM, source, rest)
        return plain

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Errors cite the ranges as they were written."""
        try:
            yield
        except ArchError as error:
            error.message = self._as_written(error.message)
            if error.source is not None:
                error.source = Source(error.source.name, self._as_written(error.source.text))
            raise

    def _as_written(self, text: str) -> str:
        for name, written in self.written.items():
            text = text.replace(name, written)
        return text


def _values(match: re.Match[str], source: Source, start: int) -> range:
    at = start + match.start()
    if max(len(group or "") for group in match.groups()) > MAX_DIGITS:
        raise ArchError(f"a number of more than {MAX_DIGITS} digits", source, at)
    low, high, step = int(match[1]), int(match[2]), int(match[3] or 1)
    if step < 1:
        raise ArchError("the step of a range is at least 1", source, at)
    if low > high:
        raise ArchError(f"the range {match[0]} is empty; {FORM}", source, at)
    if (high - low) // step >= MAX_CANDIDATES:
        raise ArchError(f"a range of more than {MAX_CANDIDATES:,} values", source, at)
    return range(low, high + 1, step)


@dataclass(frozen=True)
class Family:
    """Networks of one text. `axes`: the values of each range, by the name that stands for it in `expression`.

    All combinations of the values, or (`together`) the first values of all axes, the second ones, and so on.
    """

    expression: Expression
    library: Library
    axes: dict[str, Sequence[int]]
    ranges: Ranges
    prefix: str = ""  # FILE.arch: where the network is from a file
    together: bool = False

    @property
    def size(self) -> int:
        """How many candidates there are, those included that cannot exist."""
        sizes = [len(values) for values in self.axes.values()]
        return min(sizes) if self.together else prod(sizes)

    @property
    def space(self) -> Space:
        """The candidates as a grid for `space.costs`."""
        return joint(self.axes) if self.together else grid(self.axes)

    def parameters(self) -> dict[str, Expr]:
        """Arguments by name: those of the network, then those of modifiers that have names of their own."""
        call = self.expression.call
        definition = self.library.find(call.name)
        names = [param.name for param in definition.params] if isinstance(definition, Network) else []
        found = dict(zip(names, (arg.value for arg in call.args if not arg.name), strict=False))
        found |= {arg.name: arg.value for arg in call.args if arg.name}
        calls = [modifier.call for modifier in self.expression.modifiers]
        return {arg.name: arg.value for call in reversed(calls) for arg in call.args if arg.name} | found

    def expand(
        self, values: dict[str, Any], input: tuple[int, int, int] | None, classes: int | None, walk: Walk | None = None
    ) -> Graph:
        """The graph of one candidate, or of many: `values` are ints or arrays, by the names of the axes.

        Raises ArchError as explorer.expand does.
        """
        params = tuple(Param(name) for name in self.axes)
        wrapper = Network(WRAPPER, params, None, self.expression, source=self.expression.source)
        library = Library()
        library.own = {**self.library.own, WRAPPER: wrapper}
        given = values if classes is None else {**values, "classes": classes}
        with self.ranges.shown():
            return expansion.expand(Expression(Call(WRAPPER)), library, input=input, values=given, walk=walk)

    def candidate(self, values: dict[str, int]) -> str:
        """The text of one candidate."""
        made: Expression = _filled(self.expression, values)
        return self.prefix + print_expression(made)


def has_ranges(text: str) -> bool:
    """Whether a network's text holds a range, well-formed or not."""
    return ".." in text[_arguments(text) :]


def _arguments(text: str) -> int:
    """Where the name of a file ends."""
    file = FILE.match(text)
    return file.end() if file else 0


def families(text: str, axes: Sequence[str] = ()) -> list[Family]:
    """What a network's text and `--axis` options mean: a family for each choice of values that are no integers.

    Raises UserError with the place of whatever is wrong in them.
    """
    ranges, file = Ranges(), FILE.match(text)
    plain = ranges.take(text, Source("<network>", text), _arguments(text))
    with ranges.shown():
        expression, library = load(plain)
        if not file and isinstance(parse(plain), File):
            raise UserError("a definition cannot be swept; write it into a file: FILE.arch, or FILE.arch(k=8..32)")
    numbers: dict[str, Sequence[int]] = {}
    choices: list[list[tuple[str, Expr]]] = []
    in_text = _ranged(expression, library, ranges)
    for option in axes:
        name, values = _axis(option, ranges)
        _check_axis(name, expression.call.name, library)
        if name in in_text or name in [chosen[0][0] for chosen in choices]:
            where = f"a range in {text[:100]}" if name in in_text else "an axis of its own"
            raise UserError(f"--axis: {name} has {where} already; leave one of the two out")
        if (listed := _integers(values, ranges)) is None:
            choices.append([(name, value) for value in values])
        else:
            numbers[f"_axis_{name}"] = listed
            choices.append([(name, Name(f"_axis_{name}"))])
    made = []
    for chosen in product(*choices):
        given = _with_arguments(expression, chosen, library)
        used = {name: values for name, values in {**ranges.values, **numbers}.items() if uses(given, name)}
        made.append(Family(given, library, used, ranges, f"{file[1]}:" if file else ""))
    if (size := sum(family.size for family in made)) > MAX_CANDIDATES:
        raise UserError(f"{text[:200]} has {size:,} candidates; at most {MAX_CANDIDATES:,} are costed at once")
    return made


def uses(node: Any, name: str) -> bool:
    """Whether a name stands somewhere in a syntax tree."""
    return bool(_filled(node, {name: 0}) != node)


def _ranged(expression: Expression, library: Library, ranges: Ranges) -> set[str]:
    """The network's own parameters that have a range in the text."""
    own = Family(replace(expression, modifiers=()), library, {}, ranges).parameters()
    return {name for name, value in own.items() if any(uses(value, range) for range in ranges.values)}


def _axis(option: str, ranges: Ranges) -> tuple[str, list[Expr]]:
    """`k=8,16,32` as the name and its values. Raises UserError naming --axis."""
    source, before = Source("--axis", option), "axis("
    if not _AXIS.match(option):
        raise UserError(f"--axis: {option[:80]!r} is not a parameter and its values; write for example k=8,16,32")
    name, _, given = option.partition("=")
    if not given.strip():
        raise UserError(f"--axis: the axis {name.strip()} has no values; write for example k=8,16,32")
    plain = ranges.take(option, source)
    try:
        args = parse_expression(f"{before}{plain})", "--axis").call.args
        for arg in args:
            if arg.mark or (arg.name is not None and arg is not args[0]):
                raise ArchError("an axis is one parameter: --axis k=8,16 --axis r=2..4", at=arg.at)
    except ArchError as error:
        raise ArchError(error.message, source, max(0, (error.at or 0) - len(before))) from None
    values = [arg.value for arg in args]
    shown = [print_expr(value) for value in values]
    for index, value in enumerate(shown):
        if value in shown[:index]:
            raise UserError(f"--axis: {name.strip()} has the value {value} twice")
    return name.strip(), values


def _check_axis(axis: str, network: str, library: Library) -> None:
    """UserError for an axis that is no parameter of a network, nor of one that it stands for."""
    known: list[str] = []
    definition = library.find(network)
    while isinstance(definition, Network):
        known += [param.name for param in definition.params]
        if definition.base is None:
            if axis not in known:
                raise UserError(f"--axis: network '{network}' has no parameter '{axis}'; {nearest(axis, known)}")
            return
        definition = library.find(definition.base.call.name)


def _integers(values: list[Expr], ranges: Ranges) -> list[int] | None:
    """The values of an axis, ranges unfolded, each once; None where some are no integers."""
    found: dict[int, None] = {}
    for value in values:
        if isinstance(value, Name) and value.id in ranges.values:
            found.update(dict.fromkeys(ranges.values[value.id]))
        elif isinstance(value, Number) and isinstance(value.value, int):
            found[value.value] = None
        else:
            return None
    return list(found)


def _with_arguments(expression: Expression, given: tuple[tuple[str, Expr], ...], library: Library) -> Expression:
    """The expression with arguments of its network replaced or added; those without a name get theirs where one is."""
    call, names = expression.call, dict(given)
    definition = library.find(call.name)
    order = [param.name for param in definition.params] if isinstance(definition, Network) else []
    args = call.args
    if not names.keys().isdisjoint(order[: sum(arg.name is None for arg in args)]):
        places = iter(order)
        args = tuple(arg if arg.name else replace(arg, name=next(places, None)) for arg in args)
    kept = tuple(arg for arg in args if arg.name not in names)
    added = tuple(Arg(value, name, at=call.at) for name, value in given)
    return replace(expression, call=replace(call, args=kept + added))


def _filled(node: Any, values: dict[str, int]) -> Any:
    """A syntax tree with numbers in place of names."""
    if isinstance(node, Name) and node.id in values:
        return Number(int(values[node.id]), node.at)
    if isinstance(node, tuple):
        return tuple(_filled(item, values) for item in node)
    if is_dataclass(node) and not isinstance(node, Source | type):
        return replace(node, **{f.name: _filled(getattr(node, f.name), values) for f in fields(node)})
    return node
