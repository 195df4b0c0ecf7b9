"""Which candidates of some families fit: all costed from closed forms, filtered, the nearest to their limits first."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

import explorer
from explorer.analysis.facts import QUANTITIES
from explorer.errors import ArchError, UserError
from explorer.grammar.evaluate import evaluate
from explorer.grammar.syntax import Arg, Call, Function, Modifier, Number
from explorer.sweep.candidates import Candidate, Shape, distinct, scale_subsets
from explorer.sweep.ranges import Family, families, has_ranges
from explorer.sweep.space import TOO_LARGE, Block, Column, Refused, costs, skeleton
from explorer.sweep.where import OPTION, Where, parse_where

KEPT = 1000  # of the candidates that fit
MAX_TRIALS = 200  # of a sweep whose candidates were searched for
VERIFIED = 20  # of these, walked one by one as well
BATCH = 2**17  # candidates whose limits are computed together
Columns = dict[str, Any]


@dataclass(frozen=True)
class Fit:
    """A candidate within the limits, and its cost."""

    candidate: Candidate
    canonical: str
    quantities: dict[str, int]
    limit: str | None  # of which it uses most
    share: float | None  # how much of it


@dataclass(frozen=True)
class Listing:
    """All candidates, counted, and those that fit: the nearest to their limits first, at most KEPT."""

    total: int
    impossible: tuple[tuple[int, str], ...]  # how many cannot exist, and why
    removed: tuple[tuple[str, int], ...]  # each limit, and how many of the others it leaves out
    fitting: int
    fits: tuple[Fit, ...]


class _Place(NamedTuple):
    """A candidate: the number of its family, and the values of its axes."""

    family: int
    values: dict[str, int]


class _Ranked(NamedTuple):
    """A candidate that fits. `key` sorts the nearest first; `limit`: the number of that of which it uses most."""

    key: tuple[float, ...]
    place: _Place
    quantities: dict[str, int]
    limit: int


def list_fits(
    bases: Sequence[str],
    scales: Sequence[int] | None = None,
    *,
    axes: Sequence[str] = (),
    where: str | None = None,
    input: Shape | None = None,
    classes: int | None = None,
) -> Listing:
    """The candidates that fit, of networks with ranges, plain or with MS-SAR at every subset of the scales.

    `axes`: parameters with their values, such as k=8,16 or r=2..12. `where`: limits on quantities and parameters.
    `input` and `classes` replace the networks' own. Raises UserError for bad texts, and where nothing fits.
    """
    search = _Search(None if where is None else parse_where(where), input, classes)
    for base in distinct(bases):
        for family in families(base, axes):
            for subset in scale_subsets(scales):
                search.add(family, subset)
    return search.listing()


def is_search(bases: Sequence[str], axes: Sequence[str], where: str | None) -> bool:
    """Whether networks stand for candidates that have to be found first."""
    return bool(axes) or where is not None or any(has_ranges(base) for base in bases)


def fitting(
    bases: Sequence[str],
    scales: Sequence[int] | None,
    axes: Sequence[str],
    where: str | None,
    input: Shape | None,
    classes: int | None,
    seeds: int,
) -> list[Candidate]:
    """The candidates that fit, to be trained. Raises UserError where they are more than a sweep should begin with."""
    listing = list_fits(bases, scales, axes=axes, where=where, input=input, classes=classes)
    if listing.fitting * seeds > MAX_TRIALS:
        raise UserError(
            f"{listing.fitting:,} candidates fit, which makes {listing.fitting * seeds:,} trials; at most {MAX_TRIALS} "
            "are begun at once: narrow the ranges or the limits (--where), or look at the costs alone (--no-train)"
        )
    return [fit.candidate for fit in listing.fits]


class _Search:
    """The candidates seen so far."""

    def __init__(self, where: Where | None, input: Shape | None, classes: int | None) -> None:
        self.where, self.input, self.classes = where, input, classes
        self.families: list[tuple[Family, Family, tuple[int, ...] | None]] = []  # with the base and its scales
        self.refused: dict[Any, tuple[int, _Place]] = {}  # by reason: how many, and one of them
        self.possible = self.fitting = 0
        self.removed = [0] * len(where.parts if where else ())
        self.ranked: list[_Ranked] = []
        self.missed: tuple[float, _Place, dict[str, int]] | None = None  # the least: by which factor, and which

    def add(self, base: Family, scales: tuple[int, ...] | None) -> None:
        """Cost and judge the candidates of one family."""
        family, number = _recalibrated(base, scales), len(self.families)
        self.families.append((family, base, scales))
        waiting: list[Block] = []
        for found in costs(lambda values, walk: family.expand(values, self.input, self.classes, walk), family.axes):
            if isinstance(found, Refused):
                key = (number, found.reason)
                count, example = self.refused.get(key, (0, _Place(number, found.example)))
                self.refused[key] = (count + found.rows, example)
            else:
                waiting.append(found)
            if sum(block.rows for block in waiting) >= BATCH:
                self._judge(number, waiting)
                waiting = []
        if waiting:
            self._judge(number, waiting)

    def _judge(self, number: int, blocks: list[Block]) -> None:
        """Hold the limits against the candidates of one family."""
        columns: Columns = {n: np.concatenate([block.columns[n] for block in blocks]) for n in blocks[0].columns}
        rows = sum(block.rows for block in blocks)
        self.possible += rows
        if self.where is None:
            self._keep(number, columns, np.ones((rows, 1)))
            return
        seen = {**_parameters(self.families[number][0], columns), **{name: columns[name] for name in QUANTITIES}}
        parts = self.where.holds(seen, rows)
        self.removed = [count + int((~part).sum()) for count, part in zip(self.removed, parts, strict=True)]
        fits = np.logical_and.reduce(parts).astype(bool)
        if fits.any():
            self._keep(number, {n: c[fits] for n, c in columns.items()}, self.where.shares(seen, rows)[fits])
        elif not self.fitting:
            excess = self.where.excess(seen, rows)
            row = int(excess.argmin())
            if self.missed is None or excess[row] < self.missed[0]:
                self.missed = (float(excess[row]), *self._row(number, columns, row))

    def _keep(self, number: int, columns: Columns, shares: Column) -> None:
        """Rank candidates that fit: by the limit they use most of, then the next, then in order of their axes."""
        self.fitting += len(shares)
        axes = [columns[name] for name in self.families[number][0].axes]
        keys = [*np.sort(-shares, axis=1).T, np.full(len(shares), number), *axes]
        for row in np.lexsort(keys[::-1])[:KEPT]:
            key = tuple(float(column[row]) for column in keys)
            self.ranked.append(_Ranked(key, *self._row(number, columns, row), int(shares[row].argmax())))
        self.ranked = sorted(self.ranked, key=lambda one: one.key)[:KEPT]

    def _row(self, number: int, columns: Columns, row: int) -> tuple[_Place, dict[str, int]]:
        values = {name: int(columns[name][row]) for name in self.families[number][0].axes}
        return _Place(number, values), {name: int(columns[name][row]) for name in QUANTITIES}

    # --- results ---

    def listing(self) -> Listing:
        """What was found. Raises UserError where nothing fits."""
        total = sum(family.size for family, _, _ in self.families)
        fits, refused = self._verified()
        impossible = self._reasons() + refused
        if not self.possible:
            self._nothing_exists(total, impossible)
        if not self.fitting:
            self._nothing_fits()
        removed = zip(self.where.texts if self.where else (), self.removed, strict=True)
        return Listing(total, tuple(impossible), tuple(removed), self.fitting - len(refused), tuple(fits))

    def _text(self, place: _Place) -> str:
        return self.families[place.family][0].candidate(place.values)

    def _verified(self) -> tuple[list[Fit], list[tuple[int, str]]]:
        """What fits, the first ones walked one by one as well; of those, what is too large for that."""
        fits: list[Fit] = []
        refused: list[tuple[int, str]] = []
        for ranked in self.ranked:
            _, base, scales = self.families[ranked.place.family]
            text = self._text(ranked.place)
            if len(fits) < VERIFIED:
                try:
                    cost = explorer.cost(text, input=self.input, classes=self.classes)
                except UserError as error:
                    refused.append((1, f"{_short(error)}, as in {text}"))
                    continue
                if any(getattr(cost, name) != value for name, value in ranked.quantities.items()):
                    raise UserError(f"{text}: its closed form and its walk disagree; this is a bug, please report it")
            candidate = Candidate(text, base.candidate(ranked.place.values), scales)
            limit, share = None, None
            if self.where and self.where.budgets:
                limit, share = self.where.budgets[ranked.limit], -ranked.key[0]
            fits.append(Fit(candidate, text.removeprefix(base.prefix), ranked.quantities, limit, share))
        return fits, refused

    def _reasons(self) -> list[tuple[int, str]]:
        """Why candidates cannot exist, most frequent first, each with one of them."""
        found: dict[str, tuple[int, str]] = {}
        for (_, reason), (count, place) in self.refused.items():
            message = TOO_LARGE
            if reason != TOO_LARGE:
                try:
                    self.families[place.family][0].expand(place.values, self.input, self.classes)
                except ArchError as error:
                    message = _short(error)
            kind = skeleton(message)
            before, text = found.get(kind, (0, f"{message}, as in {self._text(place)}"))
            found[kind] = before + count, text
        return sorted(found.values(), key=lambda one: -one[0])

    def _nothing_exists(self, total: int, impossible: list[tuple[int, str]]) -> None:
        """Raise the error that all candidates have in common, or say what stands in their way."""
        if len(impossible) == 1 and all(isinstance(reason, str) for _, reason in self.refused):
            _, place = next(iter(self.refused.values()))
            self.families[place.family][0].expand(place.values, self.input, self.classes)
        reasons = "; ".join(f"{count:,}: {text}" for count, text in impossible[:3])
        raise UserError(f"none of {total:,} candidates can exist. {reasons}")

    def _nothing_fits(self) -> None:
        """Raise the error that says which limit leaves out most, and what comes nearest."""
        assert self.where is not None and self.missed is not None
        excess, place, quantities = self.missed
        removed = sorted(zip(self.removed, self.where.texts, strict=True), reverse=True)
        limits = ", ".join(f"{text} leaves out {count:,}" for count, text in removed)
        named = [name for name in QUANTITIES if name in self.where.names] or list(QUANTITIES[:2])
        values = ", ".join(f"{name} {quantities[name]:,}" for name in named)
        raise UserError(
            f"{OPTION}: nothing fits; of {self.possible:,} candidates {limits}. "
            f"Nearest is {self._text(place)} with {values}, which misses by a factor of {excess:.3g}"
        )


def _recalibrated(base: Family, scales: tuple[int, ...] | None) -> Family:
    """A family with MS-SAR at some scales."""
    if not scales:
        return base
    modifier = Modifier(Call("mssar", tuple(Arg(Number(scale)) for scale in scales)))
    modifiers = (*base.expression.modifiers, modifier)
    return replace(base, expression=replace(base.expression, modifiers=modifiers))


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


def _short(error: UserError) -> str:
    """An error's message without its place in the text."""
    if isinstance(error, ArchError):
        error.source = None
    return str(error)
