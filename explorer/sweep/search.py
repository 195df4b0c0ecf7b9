"""Searching families for candidates that fit: costed by walks on arrays, then judged, the nearest to limits first.

Quantities that a walk on arrays does not give (memory, bytes, launches) are computed network by network, for those
alone that all other limits leave.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from explorer.analysis.cost import Cost, cost_of
from explorer.analysis.facts import QUANTITIES
from explorer.analysis.times import LATENCIES, duration
from explorer.errors import ArchError, UserError
from explorer.grammar.evaluate import evaluate
from explorer.grammar.printer import print_expression
from explorer.grammar.syntax import Function
from explorer.sweep.ranges import Family
from explorer.sweep.sampling import PLACE
from explorer.sweep.space import TOO_LARGE, Block, Column, Refused, costs, quantities, skeleton
from explorer.sweep.where import OPTION, Where

KEPT = 1000  # of the candidates that fit
MAX_WALKED = 20_000  # candidates whose quantities are computed one by one
BATCH = 2**17  # candidates whose limits are computed together
AT_ONCE = 100  # candidates that are walked before it is looked whether they are enough
Columns = dict[str, Any]
Measures = Mapping[str, Callable[[Cost], Any]]
Watch = Callable[[int, int], None]  # so many of so many are walked


@dataclass(frozen=True)
class Variant:
    """A family that is searched, and where it comes from."""

    family: Family
    base: Family  # the same without MS-SAR
    scales: tuple[int, ...] | None
    input: tuple[int, int, int] | None
    space: str | None


class Place(NamedTuple):
    """A candidate: the number of its family, and the values of its axes."""

    family: int
    values: dict[str, int]


class Ranked(NamedTuple):
    """A candidate that fits. `key` sorts the nearest first; `limit`: the number of that of which it uses most."""

    key: tuple[float, ...]
    place: Place
    quantities: dict[str, Any]
    limit: int


class Search:
    """The candidates seen so far, on images of so many classes (None: their own), `batch` at a time.

    `keep` of them are kept. `measures` are the quantities that limits can name.
    """

    def __init__(
        self,
        where: Where | None,
        classes: int | None,
        batch: int,
        measures: Measures,
        keep: int = KEPT,
        watch: Watch | None = None,
    ) -> None:
        self.where, self.classes, self.batch, self.measures, self.keep = where, classes, batch, measures, keep
        self.watch = watch or (lambda done, total: None)
        self.variants: list[Variant] = []
        self.numbers: dict[Any, int] = {}  # of each, by what is searched
        self.repeated = 0  # candidates that were there already, written otherwise
        self.sizes: list[int] = []  # of each, how many can exist
        self.refused: dict[Any, tuple[int, Place]] = {}  # by reason: how many, and one of them
        self.possible = self.fitting = self.walked = 0
        self.removed = dict.fromkeys(where.parts if where else (), 0)
        self.ranked: list[Ranked] = []
        self.missed: tuple[float, Place, dict[str, Any]] | None = None  # the least: by which factor, and which
        self.waiting: list[tuple[int, Columns]] = []  # to be walked one by one
        self.left = 0  # of them

    def add(self, variant: Variant) -> int:
        """Cost and judge the candidates of one family, unless they are there already; its number."""
        number, family, before = len(self.variants), variant.family, self.possible
        key = (variant.space, variant.input, family.prefix, print_expression(family.expression))
        if (known := self.numbers.setdefault(key, number)) != number:
            self.repeated += family.size
            return known
        self.variants.append(variant)
        waiting: list[Block] = []
        expand = partial(self._expand, number)
        for found in costs(expand, family.space, partial(quantities, batch=self.batch)):
            if isinstance(found, Refused):
                self._refuse(number, found.reason, found.rows, found.example)
            else:
                waiting.append(found)
            if sum(block.rows for block in waiting) >= BATCH:
                self._judge(number, waiting)
                waiting = []
        if waiting:
            self._judge(number, waiting)
        self.sizes.append(self.possible - before)
        return number

    def _expand(self, number: int, values: dict[str, Any], walk: Any = None) -> Any:
        variant = self.variants[number]
        return variant.family.expand(values, variant.input, self.classes, walk)

    def _refuse(self, number: int, reason: object, rows: int, example: dict[str, int]) -> None:
        count, first = self.refused.get((number, reason), (0, Place(number, example)))
        self.refused[number, reason] = count + rows, first

    def _judge(self, number: int, blocks: Sequence[Block]) -> None:
        """Hold the limits that a walk on arrays can decide against candidates of one family."""
        columns: Columns = {n: np.concatenate([block.columns[n] for block in blocks]) for n in blocks[0].columns}
        columns["flops"] = 2 * columns["macs"]
        self.possible += len(columns["macs"])
        if self.where is None or not self.where.costly:
            self._decide(number, columns, self.where)
            return
        fits = self._hold(number, columns, self.where.vectorised)
        if fits.any():
            self.waiting.append((number, {name: column[fits] for name, column in columns.items()}))
            self.left += int(fits.sum())

    def _seen(self, number: int, columns: Columns) -> Columns:
        """What limits can name: parameters, what was drawn, quantities; not the names that stand for ranges."""
        own = {name: column for name, column in columns.items() if not name.startswith("_")}
        return _parameters(self.variants[number].family, columns) | own

    def _hold(self, number: int, columns: Columns, where: Where) -> Column:
        """Which candidates meet all parts of some limits; those left out are counted, and the nearest kept."""
        rows = len(columns["macs"])
        seen = self._seen(number, columns)
        parts = where.holds(seen, rows)
        for part, holds in zip(where.parts, parts, strict=True):
            self.removed[part] += int((~holds).sum())
        fits: Column = np.logical_and.reduce([np.ones(rows, bool), *parts]).astype(bool)
        if not fits.any() and not self.fitting and not self.left:
            excess = where.excess(seen, rows)
            row = int(excess.argmin())
            if self.missed is None or excess[row] < self.missed[0]:
                self.missed = (float(excess[row]), *self._row(number, columns, row))
        return fits

    def _decide(self, number: int, columns: Columns, where: Where | None) -> None:
        """Hold the limits against candidates of one family, and rank those that fit."""
        if where is None:
            self._keep(number, columns, np.ones((len(columns["macs"]), 1)))
            return
        fits = self._hold(number, columns, where)
        if not fits.any():
            return
        chosen = {name: column[fits] for name, column in columns.items()}
        assert self.where is not None
        self._keep(number, chosen, self.where.shares(self._seen(number, chosen), int(fits.sum())))

    def finish(self) -> None:
        """Decide what is left, network by network. Raises UserError where that is too many."""
        if not self.waiting or self.where is None:
            return
        names = ", ".join(self.where.costly)
        drawn = any(PLACE in columns for _, columns in self.waiting)
        if self.left > MAX_WALKED and not drawn:
            raise UserError(
                f"{OPTION}: {names} must be computed network by network, of at most {MAX_WALKED:,}; the other limits "
                f"leave {self.left:,}: limit params, macs, depth or the networks' parameters too"
            )
        waiting, self.waiting = self.waiting, []
        total, self.left, self.missed = min(self.left, MAX_WALKED), 0, None
        for number, columns in waiting:
            order = np.argsort(columns[PLACE]) if PLACE in columns else np.arange(len(columns["macs"]))
            for start in range(0, len(order), AT_ONCE):
                if drawn and (self.fitting >= self.keep or self.walked >= MAX_WALKED):
                    return
                rows = order[start : start + AT_ONCE]
                self._walk(number, {name: column[rows] for name, column in columns.items()}, self.where.walked)
                self.watch(self.walked, total)

    def _walk(self, number: int, columns: Columns, costly: Where) -> None:
        """Compute what is limited for each of some candidates, and decide."""
        found: dict[str, list[Any]] = {name: [] for name in costly.costly}
        kept = []
        for row in range(len(columns["macs"])):
            place, _ = self._row(number, columns, row)
            self.walked += 1
            try:
                cost = cost_of(self._expand(number, place.values), batch=self.batch)
                measured = {name: self._measure(name, cost) for name in found}
            except ArchError as error:
                self._refuse(number, skeleton(error.message), 1, place.values)
                self.possible -= 1
                continue
            kept.append(row)
            for name, value in measured.items():
                found[name].append(value)
        if kept:
            rest = {name: column[kept] for name, column in columns.items()}
            self._decide(number, rest | {name: _column(values) for name, values in found.items()}, costly)

    def _measure(self, name: str, cost: Cost) -> Any:
        value = self.measures[name](cost)
        if value is None:
            raise ArchError(f"its {name} is not known")
        return value

    def _keep(self, number: int, columns: Columns, shares: Column) -> None:
        """Rank candidates that fit: by the limit they use most of, then the next, then in order of their axes.

        What was drawn stays in the order in which it was.
        """
        self.fitting += len(shares)
        axes = [columns[name] for name in self.variants[number].family.axes]
        drawn = PLACE in columns
        keys = [columns[PLACE]] if drawn else [*np.sort(-shares, axis=1).T, np.full(len(shares), number), *axes]
        for row in np.lexsort(keys[::-1])[: self.keep]:
            key = tuple(float(column[row]) for column in keys)
            self.ranked.append(Ranked(key, *self._row(number, columns, row), int(shares[row].argmax())))
        self.ranked = sorted(self.ranked, key=lambda one: one.key)[: self.keep]

    def _row(self, number: int, columns: Columns, row: int) -> tuple[Place, dict[str, Any]]:
        values = {name: int(columns[name][row]) for name in self.variants[number].family.axes}
        shown = [*QUANTITIES, *(name for name in (self.where.costly if self.where else ()) if name in columns)]
        return Place(number, values), {name: _plain(columns[name][row]) for name in shown}

    # --- what stands in the way ---

    def raise_if_wrong(self, numbers: Sequence[int]) -> None:
        """Raise the first family's error where no candidate of any of some families can exist, whatever its numbers."""
        wrong = {number: place for (number, reason), (_, place) in self.refused.items() if isinstance(reason, str)}
        if all(number in wrong and self.sizes[number] == 0 for number in numbers):
            self._expand(numbers[0], wrong[numbers[0]].values)

    def text(self, place: Place) -> str:
        """The text of a candidate."""
        return self.variants[place.family].family.candidate(place.values)

    def reasons(self) -> list[tuple[int, str]]:
        """Why candidates cannot exist, most frequent first, each with one of them."""
        found: dict[str, tuple[int, str]] = {}
        for (_, reason), (count, place) in self.refused.items():
            message = TOO_LARGE
            if reason != TOO_LARGE:
                try:
                    self._expand(place.family, place.values)
                except ArchError as error:
                    message = short(error)
                else:
                    message = str(reason)
            kind = skeleton(message)
            before, text = found.get(kind, (0, f"{message}, as in {self.text(place)}"))
            found[kind] = before + count, text
        return sorted(found.values(), key=lambda one: -one[0])

    def nothing_exists(self, total: int, impossible: Sequence[tuple[int, str]]) -> UserError:
        """The error that all candidates have in common, or what stands in their way."""
        if len(impossible) == 1 and all(isinstance(reason, str) for _, reason in self.refused):
            _, place = next(iter(self.refused.values()))
            try:
                self._expand(place.family, place.values)
            except UserError as error:
                return error
        reasons = "; ".join(f"{count:,}: {text}" for count, text in impossible[:3])
        return UserError(f"none of {total:,} candidates can exist. {reasons}")

    def nothing_fits(self) -> UserError:
        """Which limit leaves out most, and what comes nearest."""
        assert self.where is not None and self.missed is not None
        excess, place, amounts = self.missed
        counts = zip(self.removed.values(), self.where.texts, strict=True)
        limits = ", ".join(f"{text} leaves out {count:,}" for count, text in sorted(counts, reverse=True))
        named = [name for name in amounts if name in self.where.names] or list(QUANTITIES[:2])
        values = ", ".join(f"{name} {shown(amounts[name], name in LATENCIES)}" for name in named)
        return UserError(
            f"{OPTION}: nothing fits; of {self.possible:,} candidates {limits}. "
            f"Nearest is {self.text(place)} with {values}, which misses by a factor of {excess:.3g}"
        )


def shown(value: Any, time: bool) -> str:
    """25,557,032; four digits where it is no whole number; 12.5 ms."""
    if time:
        return duration(value)
    return f"{value:,}" if isinstance(value, int) else f"{float(value):,.4g}"


def short(error: UserError) -> str:
    """An error's message without its place in the text."""
    if isinstance(error, ArchError):
        error.source = None
    return str(error)


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, np.integer) else value


def _column(values: list[Any]) -> Column:
    """Integers as such where they fit, else Python's own numbers."""
    whole = all(type(value) is int and abs(value) < 2**62 for value in values)
    return np.array(values, np.int64 if whole else object)


class _Values:
    """What the arguments of a candidate can see: the values of its ranges."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    def lookup(self, name: str) -> Any:
        return self.columns[name]

    def known(self) -> list[str]:
        return []

    def call(self, function: Function) -> Any:
        raise KeyError(function.name)

    def field(self, value: Any, name: str) -> Any:
        raise ArchError(f"nothing is called '{name}'")


def _parameters(family: Family, columns: Columns) -> Columns:
    """The parameters that limits can name: arguments that are numbers or lists of them."""
    found: Columns = {}
    for name, expr in family.parameters().items():
        with suppress(ArchError):
            found[name] = evaluate(expr, _Values(columns))
    return found
