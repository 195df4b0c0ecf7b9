"""What the page shows of studies that are too large to be read: the first or best of many, and how many there are.

Everything is in the store; `explorer report --format csv` has a line for each network.
"""

from collections.abc import Sequence
from dataclasses import replace

from explorer.reports.numbers import listed, plural
from explorer.reports.study import Group, Row, Study
from explorer.sweep.records import DIVERGED, DONE, FAILED, TrialRecord

NETWORKS = 500  # lines of a study's tables
TRIALS = 1000  # in the list of all trials
NAMED = 200  # trials without a result, and networks whose trials have not been run
IN_CAPTION = 8  # networks with such trials
EVERY = "explorer report --format csv lists every network"


def groups_shown(study: Study) -> list[Group]:
    """The first groups that have NETWORKS lines together; of networks on their own, the best that there is room for."""
    found: list[Group] = []
    left = NETWORKS
    for group in study.groups:
        if left <= 0:
            break
        found.append(replace(group, rows=_best(group.rows, left)) if group.base is None else group)
        left -= len(group.rows)
    return found


def _best(rows: Sequence[Row], count: int) -> tuple[Row, ...]:
    """Of too many rows those with the lowest validation errors, in the order given."""
    if len(rows) <= count:
        return tuple(rows)
    errors = [row.measured("validation_error").mean for row in rows]
    ranked = sorted(range(len(rows)), key=lambda place: (errors[place] is None, errors[place] or 0.0))
    return tuple(rows[place] for place in sorted(ranked[:count]))


def networks_left_out(study: Study, groups: Sequence[Group]) -> str:
    """A sentence about the networks that the groups shown lack; empty where they have all."""
    every, here = len(study.rows), sum(len(group.rows) for group in groups)
    if here == every:
        return ""
    alone = any(len(shown.rows) < len(group.rows) for shown, group in zip(groups, study.groups, strict=False))
    which = ", of those on their own the ones with the lowest validation errors" if alone else ""
    return f"{here:,} of {every:,} networks are shown{which}. {EVERY}."


def lost_left_out(lost: int, missing: int) -> str:
    """A sentence about trials without a result that are not named, of so many in all; empty where all are."""
    parts = [
        f"{plural(number - NAMED, f'more {noun}')} {which}"
        for number, noun, which in (
            (lost, "trial", "that failed or diverged"),
            (missing, "network", "with trials not run yet"),
        )
        if number > NAMED
    ]
    return f"Not named here: {listed(parts)}; {EVERY}, with its counts." if parts else ""


def lost_by_name(study: Study) -> str:
    """A sentence for a figure's caption: which networks have trials without a result; empty where none has."""
    told = []
    for row in study.rows:
        counts = {status: len(row.ended(status)) for status in (DONE, DIVERGED, FAILED)}
        counts["missing"] = study.missing_by_text.get(row.text, 0)
        if counts[DONE] < sum(counts.values()):
            told.append(f"{row.label} ({', '.join(f'{number} {word}' for word, number in counts.items() if number)})")
    rest = [plural(len(told) - IN_CAPTION, "more network")] if len(told) > IN_CAPTION else []
    return f" Trials without a result: {listed([*told[:IN_CAPTION], *rest])}." if told else ""


def trials_shown(study: Study) -> list[tuple[Row, TrialRecord]]:
    """The first trials, each with its network."""
    return [(row, trial) for row in study.rows for trial in row.trials][:TRIALS]


def trials_left_out(study: Study) -> str:
    """A sentence about the trials that are not listed; empty where all are."""
    every = sum(len(row.trials) for row in study.rows)
    python = "Store.frame in Python has every trial (docs/store.md)"
    return f"The first {TRIALS:,} of {every:,} trials. {python}." if every > TRIALS else ""
