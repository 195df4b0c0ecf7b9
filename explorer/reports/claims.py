"""Which differences exceed the noise: paired over seeds, and corrected for their number.

Every network with MS-SAR is compared with its plain one. Of networks on their own, one with modifiers is compared with
the same without them, if that is in the list too, any other with the first one named: not with the best, which owes its
place partly to luck, and would be favoured by it once more. Networks of large spaces are compared with the same without
modifiers, in the mean and, unless they are many, singly. Of what was trained with several recipes the row with the
network's own recipe is taken, where there is one.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from operator import not_
from statistics import fmean

from explorer.reports.names import split_top
from explorer.reports.statistics import LEVEL, Difference, holm, paired
from explorer.reports.study import Row, Study

COLUMN = "test_error"
MOST_LISTED = 100  # networks on their own; of more none is compared, since after the correction nothing would be left


@dataclass(frozen=True)
class Compared:
    """A paired difference, and what may be said of it."""

    difference: Difference  # of errors; above zero: worse than the reference
    adjusted_p: float | None  # Holm's, over all comparisons of the study

    @property
    def exceeds(self) -> bool:
        """Whether the difference exceeds the noise."""
        return self.adjusted_p is not None and self.adjusted_p < LEVEL

    @property
    def alone(self) -> bool:
        """Whether it would exceed the noise if no other comparison had been made."""
        return self.difference.p is not None and self.difference.p < LEVEL

    @property
    def direction(self) -> str:
        """Better or worse than the reference, by the mean."""
        return "worse" if (self.difference.mean or 0) > 0 else "better"

    @property
    def verdict(self) -> str:
        """What may be said, or why nothing."""
        if self.difference.n < 2:
            return "too few seeds"
        if self.adjusted_p is None:
            return "spread unknown"
        if self.exceeds:
            return self.direction
        return f"{self.direction}, if taken alone" if self.alone else "within noise"

    @property
    def short_verdict(self) -> str:
        """The verdict for tables: in parentheses what would be said of it alone."""
        return f"({self.direction})" if self.alone and not self.exceeds else self.verdict


@dataclass(frozen=True)
class Comparison(Compared):
    """One network against another, the plain one mostly, under the same seeds."""

    row: Row
    reference: Row | None  # None: it was not run
    error: str = COLUMN

    @property
    def recipes(self) -> str:
        """The two recipes, where the networks were trained by different ones; else empty."""
        one, other = self.row.recipe, None if self.reference is None else self.reference.recipe
        return "" if one is None or other is None or one == other else f"{one} / {other}"


@dataclass(frozen=True)
class Twins(Compared):
    """Networks of spaces with the same modifiers against the same without: the mean of their differences, by seed.

    There is no mean where `networks` are fewer than half of the pairs.
    """

    modifiers: str
    networks: int  # with the seeds of that mean
    better: int  # of these
    pairs: int  # there are
    singly: tuple[Comparison, ...]  # none of more than MOST_LISTED


@dataclass(frozen=True)
class Claims:
    """All comparisons of a study: by group, in the groups' order, of networks on their own, and within spaces."""

    by_group: tuple[tuple[Comparison, ...], ...]
    listed: tuple[Comparison, ...] = ()
    twins: tuple[Twins, ...] = ()

    @property
    def every(self) -> list[Comparison]:
        """All that are of two networks."""
        return [
            *(c for own in self.by_group for c in own),
            *self.listed,
            *(c for one in self.twins for c in one.singly),
        ]

    @property
    def tested(self) -> list[Compared]:
        """Those for which a noise could be estimated."""
        return [c for c in (*self.every, *self.twins) if c.adjusted_p is not None]

    def of(self, row: Row) -> Comparison | None:
        """The first comparison of a row: with its plain network, or of one on its own as the module says."""
        return self._by_row.get(id(row))

    @cached_property
    def _by_row(self) -> dict[int, Comparison]:
        return {id(comparison.row): comparison for comparison in reversed(self.every)}


Pair = tuple[Row, Row | None, str]  # a network, what it is compared with, and in which error


def compare(study: Study) -> Claims:
    """Compare every network with MS-SAR with its plain one, and those on their own as the module says."""
    grouped = [[(row, group.plain, COLUMN) for row in group.variants] for group in study.groups]
    alone, spaced = rows_alone_and_in_spaces(study)
    listed, twins = _listed(alone), _twins(spaced)
    singly = sum(map(len, twins.values())) <= MOST_LISTED
    in_spaces = [pairs if singly else [] for pairs in twins.values()]
    means = [_mean_difference(pairs) for pairs in twins.values()]
    families = [*grouped, listed, *in_spaces]
    compared, adjusted = _compared([pair for pairs in families for pair in pairs], [mean for mean, _ in means])
    found = iter(compared)
    *by_group, own = (tuple(next(found) for _ in pairs) for pairs in (*grouped, listed))
    summaries = [
        Twins(
            mean,
            p,
            modifiers,
            len(shares),
            sum(share < 0 for share in shares),
            len(twins[modifiers]),
            tuple(next(found) for _ in pairs),
        )
        for modifiers, pairs, (mean, shares), p in zip(twins, in_spaces, means, adjusted, strict=True)
    ]
    return Claims(tuple(by_group), own, tuple(summaries))


def compare_pairs(pairs: Sequence[Pair]) -> list[Comparison]:
    """The paired differences of pairs of networks, corrected for the number of those that can be tested."""
    return _compared(pairs, [])[0]


def _compared(pairs: Sequence[Pair], more: Sequence[Difference]) -> tuple[list[Comparison], list[float | None]]:
    """Pairs compared, and the adjusted p-values of `more` differences; corrected for the number of all."""
    differences = [_difference(pair) for pair in pairs]
    corrected = iter(holm([d.p for d in (*differences, *more) if d.p is not None]))
    adjusted = [None if d.p is None else next(corrected) for d in (*differences, *more)]
    own = zip(pairs, differences, adjusted, strict=False)
    return [Comparison(d, p, row, reference, error) for (row, reference, error), d, p in own], adjusted[len(pairs) :]


def _difference(pair: Pair) -> Difference:
    row, reference, error = pair
    return paired(row.by_seed(error), {} if reference is None else reference.by_seed(error))


def _mean_difference(pairs: Sequence[Pair]) -> tuple[Difference, list[float]]:
    """By seed the mean over the pairs that have the same seeds, if these are half of them; and each one's own mean.

    Seeds are the sample: what one does to all networks alike stays in the noise, and nothing is said of other networks.
    """
    by_seed = [dict(_difference(pair).by_seed) for pair in pairs]
    seeds = _common_seeds(by_seed)
    whole = [own for own in by_seed if own.keys() >= seeds] if seeds else []
    means = {seed: fmean(own[seed] for own in whole) for seed in seeds if 2 * len(whole) >= len(pairs)}
    return paired(means, dict.fromkeys(means, 0.0)), [fmean(own[seed] for seed in seeds) for own in whole]


def _common_seeds(by_seed: Sequence[Mapping[int, float]]) -> frozenset[int]:
    """Of the pairs' sets of seeds the one with most differences in it: of two seeds that half of them have, if any."""
    times = Counter(frozenset(own) for own in by_seed)

    def worth(seeds: frozenset[int]) -> tuple[bool, int, int]:
        having = sum(number for own, number in times.items() if own >= seeds)
        return len(seeds) > 1 and 2 * having >= len(by_seed), having * len(seeds), having

    return max(times, key=worth)


def rows_alone_and_in_spaces(study: Study) -> tuple[list[Row], list[Row]]:
    """Networks that are no bases of scales, in the order they were named: on their own, and of large spaces.

    Those of an experiment's claims are in neither.
    """
    rows = [row for group in study.groups if group.base is None for row in group.rows]
    if not any(config.get("experiment") or "spaces" in config for config in (run.config for run in study.runs)):
        return rows, []
    from explorer.reports.experiment import experiments_of  # loads numpy
    from explorer.sweep.candidates import DIGEST

    claimed = [line.row for e in experiments_of(study) if e.file.pairs for line in e.lines]
    elsewhere = {row.network.digest[:DIGEST] for row in claimed}
    rows = [row for row in rows if row.network.digest[:DIGEST] not in elsewhere]
    if not any("spaces" in run.config for run in study.runs):
        return rows, []
    from explorer.reports.edf import in_spaces  # loads matplotlib

    found = in_spaces(study)
    inside = [row.network.digest[:DIGEST] in found for row in rows]
    return list(compress(rows, map(not_, inside))), list(compress(rows, inside))


def _twins(rows: Sequence[Row]) -> dict[str, list[Pair]]:
    """Of networks in spaces those with modifiers, each with the same without, by the modifiers."""
    plain: dict[str, list[Row]] = {}
    found: dict[str, list[Pair]] = {}
    for row in rows:
        if "+" not in row.text:
            plain.setdefault(row.text, []).append(row)
    for row in rows:
        base, *modifiers = split_top(row.text, "+") if "+" in row.text else [row.text]
        if modifiers and base in plain:
            found.setdefault(" + ".join(modifiers), []).append((row, alike(row, plain[base]), COLUMN))
    return found


def _listed(rows: Sequence[Row]) -> list[Pair]:
    """What networks on their own are compared with."""
    if not 2 <= len(rows) <= MOST_LISTED:
        return []
    named: dict[str, list[Row]] = {}
    for row in rows:
        named.setdefault(row.text, []).append(row)
    first = rows[0].text
    plain = {text: split_top(text, "+")[0] for text in named}
    chosen = {text: base if base in named and base != text else first for text, base in plain.items()}
    return [(row, alike(row, named[chosen[row.text]]), COLUMN) for row in rows if row.text != first]


def alike(row: Row, references: Sequence[Row]) -> Row:
    """Of a network's rows the one with the same recipe as `row`, else the first."""
    return next((reference for reference in references if reference.recipe == row.recipe), references[0])
