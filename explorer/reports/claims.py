"""Which differences to the plain network exceed the noise: paired over seeds, and corrected for their number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low

from explorer.reports.numbers import DASH, factor, listed, plural, points, probability, scale_set
from explorer.reports.statistics import LEVEL, Difference, holm, paired, t_quantile
from explorer.reports.study import Group, Row, Study

COLUMN = "test_error"
FEW = 10  # seeds; fewer are called few


@dataclass(frozen=True)
class Comparison:
    """One network with MS-SAR against the plain one, under the same seeds."""

    row: Row
    difference: Difference  # of test errors; above zero: worse than plain
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
        """Better or worse than plain, by the mean."""
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
    """All comparisons of a study by group, in the groups' order."""

    by_group: tuple[tuple[Comparison, ...], ...]

    @property
    def tested(self) -> list[Comparison]:
        """Those for which a noise could be estimated."""
        return [c for group in self.by_group for c in group if c.adjusted_p is not None]

    def of(self, row: Row) -> Comparison | None:
        """The comparison of one row; None for plain networks."""
        return next((c for group in self.by_group for c in group if c.row is row), None)


def compare(study: Study) -> Claims:
    """Compare every network with MS-SAR with its plain one."""
    differences = [[_difference(group, row) for row in group.variants] for group in study.groups]
    p_values = [d.p for group in differences for d in group if d.p is not None]
    adjusted = iter(holm(p_values))
    return Claims(
        tuple(
            tuple(
                Comparison(row, difference, None if difference.p is None else next(adjusted))
                for row, difference in zip(group.variants, own, strict=True)
            )
            for group, own in zip(study.groups, differences, strict=True)
        )
    )


def _difference(group: Group, row: Row) -> Difference:
    """Test error of a row minus that of the plain network, paired over seeds."""
    return paired(row.by_seed(COLUMN), group.plain.by_seed(COLUMN) if group.plain else {})


def sentence(group: Group, comparisons: Sequence[Comparison]) -> str:
    """One plain sentence about a base network."""
    if not comparisons:
        return "No network with MS-SAR was planned, so there is nothing to compare."
    tested = [c for c in comparisons if c.adjusted_p is not None]
    if not tested:
        return f"No difference is claimed: {_why_none(group, comparisons)}."
    claimed = [c for c in tested if c.exceeds]
    rest = _rest([c for c in tested if not c.exceeds])
    if not claimed:
        rest = rest if any(c.alone for c in tested) else ", all within noise"
        return f"No difference to the plain network exceeds the noise: {_range(tested)}{rest}."
    found = [_claim(word, [c for c in claimed if c.direction == word]) for word in ("better", "worse")]
    text = "; ".join(text for text in found if text)
    return f"{text[0].upper()}{text[1:]}{rest}."


def _claim(direction: str, claimed: Sequence[Comparison]) -> str:
    """The differences of one direction that exceed the noise, in words; empty where there is none."""
    sizes = [
        f"{scale_set(c.row.scales)} by {_unsigned(c.difference.mean)} points of test error "
        f"(95% interval {interval(c.difference)}, n = {c.difference.n}, adjusted p {_equals(c.adjusted_p)})"
        for c in claimed
    ]
    return f"{direction} than the plain network beyond the noise: {listed(sizes)}" if sizes else ""


def _rest(unclaimed: Sequence[Comparison]) -> str:
    """What becomes of the differences that are not claimed."""
    alone = sum(c.alone for c in unclaimed)
    within = len(unclaimed) - alone
    parts = []
    if alone:
        parts.append(f"{plural(alone, 'scale set')} would exceed it if taken alone")
    if within:
        parts.append(f"{plural(within, 'scale set')} {'is' if within == 1 else 'are'} within noise")
    return f"; {listed(parts)}" if parts else ""


def _unsigned(difference: float | None) -> str:
    return points(abs(difference or 0)).lstrip("+")


def _equals(p: float | None) -> str:
    text = probability(p)
    return text if text.startswith("<") else f"= {text}"


def _range(tested: Sequence[Comparison]) -> str:
    """From the smallest to the largest mean difference."""
    means = sorted(c.difference.mean or 0 for c in tested)
    number = plural(len(tested), "scale set")
    over = f"over {_seeds(tested)}"
    if len(means) == 1:
        return f"{points(means[0])} points for one scale set {over}"
    return f"from {points(means[0])} to {points(means[-1])} points for {number} {over}"


def _seeds(tested: Sequence[Comparison]) -> str:
    """How many seeds the comparisons rest on."""
    numbers = sorted({c.difference.n for c in tested})
    return plural(numbers[0], "seed") if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} seeds"


def _why_none(group: Group, comparisons: Sequence[Comparison]) -> str:
    """Why there is no comparison at all."""
    if group.plain is None:
        return "the plain network was not run"
    if not group.plain.done:
        return "the plain network has no finished trial"
    pairs = max(c.difference.n for c in comparisons)
    if pairs < 2:
        return f"{plural(pairs, 'seed') if pairs else 'no seed'} in common with the plain network gives no spread"
    return "the differences are the same under every seed, which gives no spread"


def caveats(study: Study, claims: Claims) -> list[str]:
    """What a reader must know about the comparisons: how few seeds, how many tests, what was left out."""
    notes = []
    tested = claims.tested
    if tested:
        notes += [_about_number(tested), _about_seeds(tested)]
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
