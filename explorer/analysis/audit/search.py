"""Readings of a printed column, and how many of its rows each reproduces.

A reading is a construction, a way to count and the meaning of the prefix. Everything that differs from the plain
reading (the network as named; params, or MACs; decimal prefixes) is one free choice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations, product
from typing import NamedTuple

from explorer.analysis.audit.constructions import CLASSES, OPTIONS, Option, built
from explorer.analysis.audit.counting import Counting, countings
from explorer.analysis.audit.families import file_of
from explorer.analysis.audit.figures import parse_figure
from explorer.analysis.audit.measure import copies_of, cost
from explorer.analysis.audit.reported import METRICS, Reported

MOST_OPTIONS = 2


class Reading(NamedTuple):
    """One way to understand a printed column."""

    options: tuple[Option, ...]
    counting: Counting
    binary: bool
    choices: int

    @property
    def says(self) -> str:
        """In words."""
        said = [option.says for option in self.options]
        if self.choices > sum(option.choices for option in self.options) + self.binary:
            said.append(f"counted as {self.counting.name}" if self.counting.named else self.counting.says)
        if self.binary:
            said.append("prefixes are powers of 1024")
        return "; ".join(said) or "as named"


@dataclass(frozen=True)
class Found:
    """A reading and the rows of a column that it reproduces, each with how: equal or truncated."""

    reading: Reading
    matches: tuple[str | None, ...]
    rows: tuple[Reported, ...] = field(repr=False)

    @property
    def reproduced(self) -> int:
        """How many rows of the column."""
        return sum(match is not None for match in self.matches)


def count_of(row: Reported, reading: Reading) -> int:
    """The number that a reading gives for a row."""
    network, copies = copies_of(row.network)
    chosen = any(option.about == CLASSES for option in reading.options)
    found = counts(built(network, reading.options), None if chosen else row.classes)
    return copies * found[row.metric][countings(row.metric).index(reading.counting)]


@cache
def counts(text: str, classes: int | None) -> dict[str, tuple[int, ...]]:
    """One network under all ways to count either metric, so that its graph is needed only once."""
    found = cost(text, classes)
    return {metric: tuple(counting.count(found) for counting in countings(metric)) for metric in METRICS}


def match_of(row: Reported, reading: Reading) -> str | None:
    """Whether the reading reproduces the row's printed digits: equal, truncated or not at all."""
    return parse_figure(row.printed).match(count_of(row, reading), reading.binary)


def plain(metric: str) -> Reading:
    """The network as named, default counting, decimal prefixes."""
    return Reading((), countings(metric)[0], False, 0)


def readings(metric: str, options: Sequence[Option], number: int) -> list[Reading]:
    """All readings with so many options, at most one of them about a modifier; simplest first."""
    ways = countings(metric)
    found = []
    for chosen in combinations(options, number):
        about = {option.about for option in chosen}
        if len(about) == number and sum(option.modifier for option in chosen) < 2:
            free = sum(option.choices for option in chosen)
            for counting, binary in product(ways, (False, True)):
                found.append(Reading(chosen, counting, binary, free + (counting is not ways[0]) + binary))
    return sorted(found, key=lambda reading: reading.choices)


def column_of(row: Reported, rows: Iterable[Reported]) -> tuple[Reported, ...]:
    """The rows that must be read alike: same paper, metric, kind of data set, catalog file, plain or modified."""
    return tuple(r for r in rows if _column(r) == _column(row))


@cache
def _column(row: Reported) -> tuple[str, str, bool, str, bool]:
    network = copies_of(row.network)[0]
    return row.paper, row.metric, row.dataset == "imagenet", file_of(network), "+" in network


@cache
def search(column: tuple[Reported, ...]) -> tuple[Found, ...]:
    """All readings of a column that reproduce any row; those that reproduce most with fewest choices first."""
    networks = {copies_of(row.network)[0] for row in column}
    options = [
        option
        for option in OPTIONS
        if any(built(network, (option,)) != network for network in networks)
        and (option.about != CLASSES or column[0].dataset != "imagenet")
    ]
    found: list[Found] = []
    seen: set[tuple[int, ...]] = set()
    for number in range(MOST_OPTIONS + 1):
        if any(f.reproduced == len(column) for f in found):
            break  # what simpler readings explain needs no further choices
        for reading in readings(column[0].metric, options, number):
            numbers = (reading.binary, *(count_of(row, reading) for row in column))
            if numbers not in seen:  # no other reading gives the same, or a simpler one did
                seen.add(numbers)
                matches = tuple(match_of(row, reading) for row in column)
                if any(matches):
                    found.append(Found(reading, matches, column))
    return tuple(sorted(found, key=lambda f: (f.reading.choices - f.reproduced, f.reading.choices)))
