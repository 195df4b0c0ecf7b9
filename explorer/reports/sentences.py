"""Comparisons in words: what may be said of differences, and why nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from explorer.reports.claims import Claims, Compared, Comparison, Twins
from explorer.reports.numbers import DASH, listed, plural, points, probability, scale_set
from explorer.reports.statistics import Difference
from explorer.reports.study import Group

NAMED = 6  # networks in a remark


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
        (f"Against {name}", _sentence(own, Words(name, "network", lambda c: c.row.label)) + _about_recipes(own))
        for name, own in by_reference.items()
    ]


def sentences_of_twins(claims: Claims) -> list[tuple[str, str]]:
    """For networks of spaces: the modifiers, and what they change in the mean and singly; of many the surest."""
    surest = sorted(claims.twins, key=lambda twins: 1.0 if twins.difference.p is None else twins.difference.p)
    left_out = {id(twins) for twins in surest[NAMED:]}
    found = [
        (f"With {twins.modifiers}, against the same networks without", _about_twins(twins))
        for twins in claims.twins
        if id(twins) not in left_out
    ]
    rest = ("With other modifiers", f"{plural(len(left_out), 'comparison')} with larger p-values not shown here.")
    return [*found, rest] if left_out else found


def _about_twins(twins: Twins) -> str:
    d = twins.difference
    singly = f"{_about_singly(twins.singly)}{_about_recipes(twins.singly)}"
    if d.mean is None:
        few = f"only {twins.networks:,} with the same seeds" if twins.networks else "none with a seed"
        return f"No mean is given: {plural(twins.pairs, 'pair')} of networks, {few} in common. {singly}"
    of = "" if twins.networks == twins.pairs else f" of {twins.pairs:,} (those with these seeds)"
    noise = "" if d.low is None else f" (95% interval {interval(d)}, adjusted p {equals(twins.adjusted_p)})"
    return (
        f"{points(d.mean)} points of test error in the mean of {plural(twins.networks, 'network')}{of} over "
        f"{plural(d.n, 'seed')}{noise}: {twins.verdict}; by their means {twins.better:,} of {twins.networks:,} are "
        f"better. {singly}"
    )


def _about_singly(singly: Sequence[Comparison]) -> str:
    if not singly:
        return "So many are not tested singly."
    tested = sum(c.adjusted_p is not None for c in singly)
    if not tested:
        return f"Singly, none of them is tested: {why_none(singly, 'the same network without modifiers')}."
    them = "them" if tested == len(singly) else f"the {tested} with a spread"
    beyond = [c.row.label for c in singly if c.exceeds]
    named = f": {listed(beyond)}" if 0 < len(beyond) <= NAMED else ""
    differ = "differs" if len(beyond) < 2 else "differ"
    return f"Singly, {len(beyond) or 'none'} of {them} {differ} beyond the noise{named}."


def _about_recipes(comparisons: Sequence[Comparison]) -> str:
    """Which networks were trained by another recipe than what they are compared with; empty where none was."""
    crossing: dict[str, list[str]] = {}
    for comparison in comparisons:
        if comparison.recipes:
            crossing.setdefault(comparison.recipes, []).append(comparison.row.label)
    told = [
        f"{listed(names) if len(names) <= NAMED else plural(len(names), 'network')} ({recipes})"
        for recipes, names in crossing.items()
    ]
    return f" Trained by other recipes: {'; '.join(told)}." if told else ""


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
    over = f"over {seeds_of(tested)}"
    if len(means) == 1:
        return f"{points(means[0])} points for one {words.noun} {over}"
    return f"from {points(means[0])} to {points(means[-1])} points for {plural(len(tested), words.noun)} {over}"


def seeds_of(tested: Sequence[Compared]) -> str:
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


def interval(difference: Difference) -> str:
    """Low and high end in points, or a dash."""
    if difference.low is None:
        return DASH
    return f"{points(difference.low)} to {points(difference.high)}"
