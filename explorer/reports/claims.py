"""Which differences exceed the noise: paired over seeds, and corrected for their number.

Every network with MS-SAR is compared with its plain one. Of networks on their own, one with modifiers is compared with
the same without them, if that is in the list too, any other with the first one named: not with the best, which owes its
place partly to luck, and would be favoured by it once more. Of what was trained with several recipes the row with the
network's own recipe is taken, where there is one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median_low

from explorer.reports.names import split_top
from explorer.reports.numbers import DASH, factor, listed, plural, points, probability, scale_set
from explorer.reports.statistics import LEVEL, Difference, holm, paired, t_quantile
from explorer.reports.study import Group, Row, Study

COLUMN = "test_error"
FEW = 10  # seeds; fewer are called few
MOST_LISTED = 100  # networks on their own; of more none is compared, since after the correction nothing would be left


@dataclass(frozen=True)
class Comparison:
    """One network against another, the plain one mostly, under the same seeds."""

    row: Row
    reference: Row | None  # None: it was not run
    difference: Difference  # of errors; above zero: worse than the reference
    adjusted_p: float | None  # Holm's, over all comparisons of the study
    error: str = COLUMN

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
class Claims:
    """All comparisons of a study: by group, in the groups' order, and of networks on their own."""

    by_group: tuple[tuple[Comparison, ...], ...]
    listed: tuple[Comparison, ...] = ()

    @property
    def every(self) -> list[Comparison]:
        """All of them."""
        return [*(c for group in self.by_group for c in group), *self.listed]

    @property
    def tested(self) -> list[Comparison]:
        """Those for which a noise could be estimated."""
        return [c for c in self.every if c.adjusted_p is not None]

    def of(self, row: Row) -> Comparison | None:
        """The comparison of one row with its plain network; None for plain networks and those on their own."""
        return self._by_row.get(id(row))

    @cached_property
    def _by_row(self) -> dict[int, Comparison]:
        return {id(comparison.row): comparison for group in self.by_group for comparison in group}


Pair = tuple[Row, Row | None, str]  # a network, what it is compared with, and in which error


def compare(study: Study) -> Claims:
    """Compare every network with MS-SAR with its plain one, and those on their own as the module says."""
    grouped = [[(row, group.plain, COLUMN) for row in group.variants] for group in study.groups]
    alone = _listed(study)
    compared = iter(compare_pairs([*(pair for pairs in grouped for pair in pairs), *alone]))
    by_group = tuple(tuple(next(compared) for _ in pairs) for pairs in grouped)
    return Claims(by_group, tuple(compared))


def compare_pairs(pairs: Sequence[Pair]) -> list[Comparison]:
    """The paired differences of pairs of networks, corrected for the number of those that can be tested."""
    differences = [
        paired(row.by_seed(error), {} if reference is None else reference.by_seed(error))
        for row, reference, error in pairs
    ]
    adjusted = iter(holm([d.p for d in differences if d.p is not None]))
    return [
        Comparison(row, reference, difference, None if difference.p is None else next(adjusted), error)
        for (row, reference, error), difference in zip(pairs, differences, strict=True)
    ]


def rows_alone(study: Study) -> list[Row]:
    """Networks on their own, in the order they were named: neither of a large space nor of an experiment's claims."""
    rows = [row for group in study.groups if group.base is None for row in group.rows]
    if not any(config.get("experiment") or "spaces" in config for config in (run.config for run in study.runs)):
        return rows
    from explorer.reports.experiment import experiments_of  # loads numpy
    from explorer.sweep.candidates import DIGEST

    claimed = [line.row for e in experiments_of(study) if e.file.pairs for line in e.lines]
    elsewhere = {row.network.digest[:DIGEST] for row in claimed}
    if any("spaces" in run.config for run in study.runs):
        from explorer.reports.edf import in_spaces  # loads matplotlib

        elsewhere |= in_spaces(study)
    return [row for row in rows if row.network.digest[:DIGEST] not in elsewhere]


def _listed(study: Study) -> list[Pair]:
    """What networks on their own are compared with."""
    rows = rows_alone(study)
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


@dataclass(frozen=True)
class Words:
    """How a sentence calls what is compared."""

    reference: str
    noun: str
    name: Callable[[Comparison], str]


SCALES = Words("the plain network", "scale set", lambda comparison: scale_set(comparison.row.scales))


def sentence(group: Group, comparisons: Sequence[Comparison]) -> str:
    """One plain sentence about a base network."""
    if not comparisons:
        return "No network with MS-SAR was planned, so there is nothing to compare."
    return _sentence(comparisons, SCALES)


def sentences_of_listed(claims: Claims) -> list[tuple[str, str]]:
    """For networks on their own: each network that others are compared with, and a sentence about these."""
    by_reference: dict[str, list[Comparison]] = {}
    for comparison in claims.listed:
        if comparison.reference is not None:
            by_reference.setdefault(comparison.reference.label, []).append(comparison)
    return [
        (f"Against {name}", _sentence(own, Words(name, "network", lambda c: c.row.label)))
        for name, own in by_reference.items()
    ]


def _sentence(comparisons: Sequence[Comparison], words: Words) -> str:
    """What may be said of the differences to one network."""
    tested = [c for c in comparisons if c.adjusted_p is not None]
    if not tested:
        return f"No difference is claimed: {why_none(comparisons, words.reference)}."
    claimed = [c for c in tested if c.exceeds]
    rest = _rest([c for c in tested if not c.exceeds], words)
    if not claimed:
        rest = rest if any(c.alone for c in tested) else ", all within noise"
        return f"No difference to {words.reference} exceeds the noise: {_range(tested, words)}{rest}."
    found = [_claim(word, [c for c in claimed if c.direction == word], words) for word in ("better", "worse")]
    text = "; ".join(text for text in found if text)
    return f"{text[0].upper()}{text[1:]}{rest}."


def _claim(direction: str, claimed: Sequence[Comparison], words: Words) -> str:
    """The differences of one direction that exceed the noise, in words; empty where there is none."""
    sizes = [
        f"{words.name(c)} by {_unsigned(c.difference.mean)} points of test error "
        f"(95% interval {interval(c.difference)}, n = {c.difference.n}, adjusted p {equals(c.adjusted_p)})"
        for c in claimed
    ]
    return f"{direction} than {words.reference} beyond the noise: {listed(sizes)}" if sizes else ""


def _rest(unclaimed: Sequence[Comparison], words: Words) -> str:
    """What becomes of the differences that are not claimed."""
    alone = sum(c.alone for c in unclaimed)
    within = len(unclaimed) - alone
    parts = []
    if alone:
        parts.append(f"{plural(alone, words.noun)} would exceed it if taken alone")
    if within:
        parts.append(f"{plural(within, words.noun)} {'is' if within == 1 else 'are'} within noise")
    return f"; {listed(parts)}" if parts else ""


def _unsigned(difference: float | None) -> str:
    return points(abs(difference or 0)).lstrip("+")


def equals(p: float | None) -> str:
    """A p-value with its sign: = 0.03, < 0.001."""
    text = probability(p)
    return text if text.startswith("<") else f"= {text}"


def _range(tested: Sequence[Comparison], words: Words) -> str:
    """From the smallest to the largest mean difference."""
    means = sorted(c.difference.mean or 0 for c in tested)
    over = f"over {_seeds(tested)}"
    if len(means) == 1:
        return f"{points(means[0])} points for one {words.noun} {over}"
    return f"from {points(means[0])} to {points(means[-1])} points for {plural(len(tested), words.noun)} {over}"


def _seeds(tested: Sequence[Comparison]) -> str:
    """How many seeds the comparisons rest on."""
    numbers = sorted({c.difference.n for c in tested})
    return plural(numbers[0], "seed") if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} seeds"


def why_none(comparisons: Sequence[Comparison], reference: str) -> str:
    """Why there is no comparison at all."""
    references = [c.reference for c in comparisons]
    if None in references:
        return f"{reference} was not run"
    if not any(row.done for row in references if row is not None):
        return f"{reference} has no finished trial"
    pairs = max(c.difference.n for c in comparisons)
    if pairs < 2:
        return f"{plural(pairs, 'seed') if pairs else 'no seed'} in common with {reference} gives no spread"
    return "the differences are the same under every seed, which gives no spread"


def caveats(study: Study, claims: Claims, of_paper: Sequence[Comparison] = ()) -> list[str]:
    """What a reader must know about the comparisons: how few seeds, how many tests, what was left out.

    `of_paper`: those that the claims of a paper ask for, a family of their own.
    """
    families = [claims.tested, [c for c in of_paper if c.adjusted_p is not None]]
    notes = [_about_number(tested) for tested in families if tested]
    notes += [_about_seeds(tested) for tested in families if tested][:1]
    if lost := study.lost():
        trials = f"{plural(len(lost), 'trial')} failed or diverged and {'is' if len(lost) == 1 else 'are'}"
        notes.append(f"{trials} left out of means and pairs, which favours networks that fail.")
    return notes


def _about_number(tested: Sequence[Comparison]) -> str:
    m = len(tested)
    if m == 1:
        return "One comparison was made; tested at 5%, it gives a false alarm once in twenty."
    return (
        f"{m} comparisons were made. If no network differed, {LEVEL * m:.1f} of them would still be expected to "
        "pass a 5% test each; p-values are therefore adjusted (Holm), intervals are not."
    )


def _about_seeds(tested: Sequence[Comparison]) -> str:
    """How large a difference must be to be seen with so few seeds."""
    n = median_low(c.difference.n for c in tested)
    reach = t_quantile(1 - LEVEL / 2, n - 1)
    needed = t_quantile(1 - LEVEL / 2 / len(tested), n - 1)
    spreads = [c.difference.std or 0 for c in tested]
    typical = points(needed * median_low(spreads) / math.sqrt(n), 0).lstrip("+")
    seeds = f"{_seeds(tested).capitalize()}{' are few' if n < FEW else ''}"
    return (
        f"{seeds}: with {n}, a 95% interval reaches {factor(reach)} standard errors to each side, and the first "
        f"difference to be claimed must be {factor(needed)} standard errors, here about {typical} points for a "
        "typical pair. Smaller differences may be real and remain unseen."
    )


def interval(difference: Difference) -> str:
    """Low and high end in points, or a dash."""
    if difference.low is None:
        return DASH
    return f"{points(difference.low)} to {points(difference.high)}"
