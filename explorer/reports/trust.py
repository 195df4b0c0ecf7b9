"""How far a study can be trusted: the order under another budget, the spread over seeds, and how many of them it takes.

A budget is held against every longer one of the same networks, data and way of computing that the report is about;
runs that were left out of the report are left out here, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from explorer.reports.agreement import LEAST, Agreement, agreement
from explorer.reports.claims import MOST_LISTED, Claims, Comparison, rows_alone_and_in_spaces
from explorer.reports.degenerate import about_scales
from explorer.reports.guessing import about_guessing
from explorer.reports.numbers import budget, listed, percent, plural, points
from explorer.reports.pairs import Tested
from explorer.reports.power import MOST as MOST_SEEDS
from explorer.reports.power import POWER, detectable, seeds_needed
from explorer.reports.sentences import equals
from explorer.reports.statistics import LEVEL
from explorer.reports.study import Row, Study

SHOWN = 20  # comparisons in the table; of more, the surest
NAMED = 6  # pairs of networks in a sentence
ONE_SEED = "One seed: there is no spread, nothing can be told from chance, and figures have no error bars."


@dataclass(frozen=True)
class Longer:
    """A budget of the same networks that is longer than the study's, and how far the orders agree."""

    budget: str  # in words
    orders: Agreement


@dataclass(frozen=True)
class Needed:
    """A comparison and the seeds it takes; `printed` is the difference of the printed errors, if there are any."""

    comparison: Comparison
    seeds: int | None  # for a difference as large as the one measured, as `power.seeds_needed`
    printed: float | None
    printed_seeds: int | None  # for one as large as printed


@dataclass(frozen=True)
class Trust:
    """What the section says: sentences, longer budgets, and the comparisons with the seeds they take."""

    statements: tuple[str, ...]
    longer: tuple[Longer, ...]
    needed: tuple[Needed, ...]
    dataset: str  # that the printed differences are of; empty: there are none
    left_out: int  # comparisons beyond SHOWN


def trust_of(study: Study, studies: Sequence[Study], claims: Claims, tested: Sequence[Tested]) -> Trust:
    """All of it for one of the `studies` of a report."""
    longer = [found for other in studies if (found := _longer(study, other))]
    every = [c for c in _each_once([*claims.every, *(c for one in tested for c in one.comparisons)]) if c.difference.n]
    dataset = _dataset(study, tested)
    surest = sorted(every, key=lambda c: 1.0 if c.difference.p is None else c.difference.p)[:SHOWN]
    chosen = {id(comparison) for comparison in surest}
    needed = tuple(_needed(c, tested, dataset) for c in every if id(c) in chosen)
    shown = dataset if any(one.printed is not None for one in needed) else ""
    statements = (
        *about_guessing(study),
        *_about_budgets(study, studies, longer),
        *_about_selection(study),
        *_about_spread(study, every),
        *_about_lists(study),
        *about_scales(study),
    )
    return Trust(statements, tuple(longer), needed, shown, len(every) - len(needed))


def _each_once(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Without those that a claim of a paper asks for again."""
    found: dict[tuple[int, int, str], Comparison] = {}
    for comparison in comparisons:
        found.setdefault((id(comparison.row), id(comparison.reference), comparison.error), comparison)
    return list(found.values())


def _dataset(study: Study, tested: Sequence[Tested]) -> str:
    """The data set whose printed errors are taken: the study's own, else the first that the paper has."""
    known = [dataset for one in tested for dataset in one.experiment.datasets]
    return study.data.name if study.data.name in known else (known or [""])[0]


def _needed(comparison: Comparison, tested: Sequence[Tested], dataset: str) -> Needed:
    difference = comparison.difference
    found = (
        one.experiment.printed_difference(comparison.row, comparison.reference, dataset)
        for one in tested
        if comparison.error == "test_error"  # the papers print no other
    )
    printed = next((value for value in found if value is not None), None)
    seeds = seeds_needed(difference.mean, difference.std)
    return Needed(comparison, seeds, printed, seeds_needed(printed, difference.std))


# -- order ------------------------------------------------------------------------------------------------


def _same_but_budget(study: Study, other: Study) -> bool:
    """Whether two studies differ in nothing but the budget."""
    same = (study.data.fingerprint, study.execution) == (other.data.fingerprint, other.execution)
    return same and study.budget != other.budget


def _by_network(study: Study) -> dict[tuple[str, str | None], Row]:
    """The rows with a result by network and recipe."""
    found: dict[tuple[str, str | None], Row] = {}
    for row in study.rows:
        if row.by_seed("test_error"):
            found.setdefault((row.network.digest, row.recipe), row)
    return found


def _longer(study: Study, other: Study) -> Longer | None:
    """How far the order agrees with that of another study; None where that is none of a longer budget."""
    if not _same_but_budget(study, other):
        return None
    ours, theirs = _by_network(study), _by_network(other)
    keys = [key for key in ours if key in theirs]
    if not keys or _steps([ours[key] for key in keys]) >= _steps([theirs[key] for key in keys]):
        return None
    before, after = ([rows[key].by_seed("test_error") for key in keys] for rows in (ours, theirs))
    found = agreement([ours[key].label for key in keys], before, after)
    return None if found is None else Longer(budget(other.budget), found)


def _steps(rows: Sequence[Row]) -> int:
    """All steps of the trials that are done."""
    return sum(sum(trial.steps or 0 for trial in row.done) // len(row.done) for row in rows)


def _about_budgets(study: Study, studies: Sequence[Study], longer: Sequence[Longer]) -> list[str]:
    """The order under longer budgets, or that there is none to hold it against."""
    if longer:
        here = f"after {budget(study.budget)}"
        return [_about_order(one.orders, f"{here} and after {one.budget}") for one in longer]
    if any(_longer(other, study) for other in studies):
        return [
            "No longer budget of these networks is at hand; shorter ones are held against this one further up or down."
        ]
    if len(_by_network(study)) < LEAST:
        return []
    return [
        f"The runs reported here have one budget for these networks: whether their order after {budget(study.budget)} "
        "is the order after a longer training is not known."
    ]


def _about_selection(study: Study) -> list[str]:
    """Whether the validation images order networks as the test images do."""
    rows = list(_by_network(study).values())
    validation, test = ([row.by_seed(name) for row in rows] for name in ("validation_error", "test_error"))
    found = agreement([row.label for row in rows], validation, test)
    return [_about_order(found, "on the validation and on the test images")] if found else []


def _about_order(orders: Agreement, where: str) -> str:
    """A sentence or two about an agreement."""
    number = plural(len(orders.names), "network")
    if orders.of > len(orders.names):
        number = f"{number} drawn at random from {orders.of:,}"
    if orders.tau is None:
        return f"The test errors of {number} {where} cannot be ranked: on one side all are equal."
    fewest, most = orders.seeds
    seeds = plural(most, "seed") if fewest == most else f"{fewest} to {most} seeds"
    if orders.low is None or orders.high is None:
        noise = "too few seeds for a range"
    else:
        noise = f"resampling the seeds moves it from {_signed(orders.low)} to {_signed(orders.high)} in 95% of draws"
    p = f"p {equals(orders.p)} against no agreement"
    share = f"{orders.same} of {orders.pairs} pairs ({100 * orders.same / orders.pairs:.0f}%) have the same order"
    text = f"Order of {number} {where}, means over {seeds}: Kendall\N{RIGHT SINGLE QUOTATION MARK}s tau-b "
    return f"{text}{_signed(orders.tau)} ({noise}; {p}); {share}, {_about_swaps(orders)}."


def _signed(tau: float) -> str:
    return f"{tau:.2f}".replace("-", "\N{MINUS SIGN}")


def _about_swaps(orders: Agreement) -> str:
    """How many pairs change places, and by name those that do so beyond the noise."""
    if not orders.swapped:
        return "none is swapped"
    if not orders.beyond:
        return f"{orders.swapped} {'is' if orders.swapped == 1 else 'are'} swapped, none beyond the noise"
    names = [f"{low} below {high} first" for low, high in orders.beyond[:NAMED]]
    more = [f"{len(orders.beyond) - NAMED} more"] if len(orders.beyond) > NAMED else []
    return f"{orders.swapped} swapped, beyond the noise {listed([*names, *more])}"


# -- noise ------------------------------------------------------------------------------------------------


def _about_spread(study: Study, comparisons: Sequence[Comparison]) -> list[str]:
    """How much seeds differ, and what can be seen through that."""
    spreads = [std for row in study.rows if (std := row.sample("test_error").std) is not None]
    if not spreads:
        return [ONE_SEED] if study.count("done") else []
    found = [
        f"Spread over seeds: the standard deviation of a network\N{RIGHT SINGLE QUOTATION MARK}s test error is "
        f"{percent(min(spreads))} to {percent(max(spreads))} points, the median {percent(median(spreads))}."
    ]
    noisy = [c.difference for c in comparisons if c.difference.p is not None and c.error == "test_error"]
    if noisy:
        std = median(difference.std or 0.0 for difference in noisy)
        n = round(median(difference.n for difference in noisy))
        found.append(
            f"A paired difference has a standard deviation of {percent(std)} points (median). "
            f"{_found(detectable(std, n), n)} in {100 * POWER:.0f}% of cases "
            f"(two-sided paired t test at {100 * LEVEL:.0f}%, taken alone); one of 1 point takes "
            f"{seeds_text(seeds_needed(0.01, std))} seeds."
        )
    return found


def _found(difference: float, n: int) -> str:
    """Which true difference so many seeds find; errors differ by 100 points at most."""
    if difference > 1:
        return f"{plural(n, 'seed')} find no true difference of errors, however large,"
    return f"{plural(n, 'seed')} find a true difference of {points(difference).lstrip('+')} points"


def seeds_text(seeds: int | None) -> str:
    """A number of seeds; > 1,000 beyond those that are counted."""
    return "\N{EN DASH}" if seeds is None else f"> {MOST_SEEDS:,}" if seeds > MOST_SEEDS else f"{seeds:,}"


def _about_lists(study: Study) -> list[str]:
    """Why networks of a long list are not compared one by one."""
    number = len(rows_alone_and_in_spaces(study)[0])
    if number <= MOST_LISTED:
        return []
    return [
        f"{number:,} networks on their own are not compared one by one: after a correction for so many comparisons "
        "nothing would be left."
    ]
