"""Whether a paper's claims hold here: paired over seeds, at one budget on one data set.

A claim names pairs of networks, the first with the lower error (`[pairs]` of the experiment's file). It holds if all of
them differ that way beyond the noise, and fails if one differs the other way beyond it. Holm's correction is for all
pairs of an experiment together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from explorer.reports.claims import Comparison, alike, compare_pairs
from explorer.reports.experiment import Experiment, rows_of
from explorer.reports.numbers import listed, plural
from explorer.reports.sentences import why_none
from explorer.reports.study import Study
from explorer.sweep.files import Claimed

HOLDS, PARTLY, FAILS, NOISE, OPEN = "holds here", "holds in part", "fails here", "within noise", "not judged"


@dataclass(frozen=True)
class Judged:
    """A claim of a paper, what may be said of it here, and why."""

    where: str  # in the paper
    claim: str
    verdict: str  # empty: it orders no networks that could be compared
    detail: str


@dataclass(frozen=True)
class Tested:
    """An experiment's claims, and the comparisons they rest on."""

    experiment: Experiment
    judged: tuple[Judged, ...]
    comparisons: tuple[Comparison, ...]


def judge(experiment: Experiment, study: Study) -> Tested:
    """Judge every claim of an experiment by what a study holds of its networks."""
    pairs = {}
    for claimed in experiment.file.pairs:
        rows, references = rows_of(claimed.lower, study), rows_of(claimed.higher, study)
        if rows and references:
            pairs[_key(claimed)] = (rows[0], alike(rows[0], references), claimed.error)
    found = dict(zip(pairs, compare_pairs(list(pairs.values())), strict=True))
    judged = [_judged(where, claim, experiment, found) for where, claim in experiment.claims]
    return Tested(experiment, tuple(judged), tuple(found.values()))


Key = tuple[str, str, str]


def _key(claimed: Claimed) -> Key:
    return claimed.lower, claimed.higher, claimed.error


def _judged(where: str, claim: str, experiment: Experiment, found: dict[Key, Comparison]) -> Judged:
    keys = [_key(claimed) for claimed in experiment.file.pairs if claim.startswith(claimed.claim)]
    if not keys:
        return Judged(where, claim, "", "")
    own = [found[key] for key in keys if key in found]
    return Judged(where, claim, _verdict(own, len(keys)), _detail(own, len(keys)))


def _verdict(own: Sequence[Comparison], asked: int) -> str:
    """See the module."""
    claimed = [c for c in own if c.exceeds]
    as_claimed = sum(c.direction == "better" for c in claimed)
    if as_claimed < len(claimed):
        return FAILS
    if as_claimed:
        return HOLDS if as_claimed == asked else PARTLY
    return NOISE if any(c.adjusted_p is not None for c in own) else OPEN


def _detail(own: Sequence[Comparison], asked: int) -> str:
    """How many pairs say what."""
    tested = [c for c in own if c.adjusted_p is not None]
    if own and not tested:
        return why_none(own, "the other network")
    crossing = sum(bool(c.recipes) for c in own)
    return _counted(own, tested, asked) + (
        f"; trained by different recipes: {plural(crossing, 'pair')}" if crossing else ""
    )


def _counted(own: Sequence[Comparison], tested: Sequence[Comparison], asked: int) -> str:
    """How many of the pairs asked for say what."""
    claimed = [c for c in tested if c.exceeds]
    as_claimed = sum(c.direction == "better" for c in claimed)
    counts = (
        (as_claimed, "as claimed beyond the noise"),
        (len(claimed) - as_claimed, "the other way beyond the noise"),
        (len(tested) - len(claimed), "within noise"),
        (len(own) - len(tested), "without a spread"),
        (asked - len(own), "not run here"),
    )
    if asked == 1:
        return f"one pair of networks, {next(words for number, words in counts if number)}"
    said = [(number, words) for number, words in counts if number]
    if len(said) == 1:
        return f"all {plural(asked, 'pair')} {said[0][1]}"
    return f"of {plural(asked, 'pair')} {listed([f'{number} {words}' for number, words in said])}"
