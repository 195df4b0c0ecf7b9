"""The scale table, as MS-SAR's Table 3: raw values for programs, and the same as text for people."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from explorer.reports.claims import Claims, Comparison
from explorer.reports.numbers import DASH, count, exact, percent, points, signed
from explorer.reports.sentences import interval
from explorer.reports.statistics import Sample
from explorer.reports.study import Group, Row, Study
from explorer.sweep.records import DIVERGED, DONE, FAILED


class Line(NamedTuple):
    """One network. Errors and differences are fractions, extra costs percent; None was not measured."""

    data: str
    budget: str
    execution: str  # in words; empty: as usual
    base: str
    network: str
    recipe: str | None
    scales: tuple[int, ...] | None
    done: int  # trials, as the next three
    diverged: int
    failed: int
    missing: int
    test_error_mean: float | None
    test_error_std: float | None
    validation_error_mean: float | None
    validation_error_std: float | None
    train_error_mean: float | None
    train_error_std: float | None
    macs: int
    params: int
    activations: int
    depth: int
    chain: int
    extra_macs_percent: float | None  # over the plain network, as the next two
    extra_params_percent: float | None
    against: str | None = None  # the network that it is compared with
    difference_mean: float | None = None  # of test errors, paired over seeds
    difference_low: float | None = None  # 95% t interval
    difference_high: float | None = None
    difference_n: int | None = None
    p: float | None = None
    adjusted_p: float | None = None
    verdict: str | None = None


def lines(study: Study, claims: Claims) -> list[Line]:
    """The table of a study, group by group."""
    return [line for group in study.groups for line in group_lines(study, group, claims)]


def group_lines(study: Study, group: Group, claims: Claims) -> list[Line]:
    """The lines of one group, in the order of its rows."""
    return [_line(study, group, row, claims.of(row)) for row in group.rows]


def _line(study: Study, group: Group, row: Row, comparison: Comparison | None) -> Line:
    network, ended = row.network, [trial.status for trial in row.trials]
    test, validation, train = (row.measured(name) for name in ("test_error", "validation_error", "train_error"))
    return Line(
        data=study.data.name,
        budget=study.budget,
        execution=study.execution,
        base=row.base,
        network=row.text,
        recipe=row.recipe,
        scales=row.scales,
        done=ended.count(DONE),
        diverged=ended.count(DIVERGED),
        failed=ended.count(FAILED),
        missing=study.missing_by_text.get(row.text, 0),
        test_error_mean=test.mean,
        test_error_std=test.std,
        validation_error_mean=validation.mean,
        validation_error_std=validation.std,
        train_error_mean=train.mean,
        train_error_std=train.std,
        macs=network.macs,
        params=network.params,
        activations=network.activations,
        depth=network.depth,
        chain=network.chain,
        extra_macs_percent=_extra(group, row, "macs"),
        extra_params_percent=_extra(group, row, "params"),
        **(_compared(comparison) if comparison else {}),
    )


def _extra(group: Group, row: Row, column: str) -> float | None:
    """How much dearer than the plain network, in percent; None for that itself and where it is absent."""
    if group.plain is None or row is group.plain:
        return None
    before = getattr(group.plain.network, column)
    return 100 * (getattr(row.network, column) / before - 1) if before else None


def _compared(comparison: Comparison) -> dict[str, Any]:
    """The columns of a comparison."""
    found = {f"difference_{name}": getattr(comparison.difference, name) for name in ("mean", "low", "high", "n")}
    found |= {"against": comparison.reference.label if comparison.reference else None}
    return found | {"p": comparison.difference.p, "adjusted_p": comparison.adjusted_p, "verdict": comparison.verdict}


# -- the same for people ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """A table cell as text; `hint` says more (exact counts)."""

    text: str
    hint: str = ""


@dataclass(frozen=True)
class Heading:
    """A column of the printed table."""

    text: str
    below: str = ""  # a second, smaller line: the unit
    cell: Callable[[Line, Comparison | None], Cell] = lambda line, comparison: Cell(DASH)
    of: str = "networks"  # recipes: where these differ; plain: where there is a plain network to compare with


def _error(column: str) -> Callable[[Line, Comparison | None], Cell]:
    def cell(line: Line, comparison: Comparison | None) -> Cell:
        mean, std = getattr(line, f"{column}_mean"), getattr(line, f"{column}_std")
        return Cell(mean_and_spread(Sample(mean, std, line.done)))

    return cell


def _count(column: str) -> Callable[[Line, Comparison | None], Cell]:
    return lambda line, comparison: Cell(count(getattr(line, column)), exact(getattr(line, column)))


def _percent(column: str) -> Callable[[Line, Comparison | None], Cell]:
    return lambda line, comparison: Cell(signed(getattr(line, column)))


HEADINGS = (
    Heading("Recipe", "", lambda line, comparison: Cell(line.recipe or DASH), of="recipes"),
    Heading("Test error", "% \N{PLUS-MINUS SIGN} std", _error("test_error")),
    Heading("n", "", lambda line, comparison: Cell(str(line.done))),
    Heading("Validation", "% \N{PLUS-MINUS SIGN} std", _error("validation_error")),
    Heading("Difference", "points, paired", lambda line, c: Cell(points(line.difference_mean)), "plain"),
    Heading("95% interval", "points", lambda line, c: Cell(interval(c.difference) if c else DASH), "plain"),
    Heading("MACs", "", _count("macs")),
    Heading("extra", "%", _percent("extra_macs_percent"), "plain"),
    Heading("Params", "", _count("params")),
    Heading("extra", "%", _percent("extra_params_percent"), "plain"),
)


COMPARED = (  # more columns of networks on their own, where there is room for them
    Heading("Against", "", lambda line, comparison: Cell(line.against or DASH)),
    Heading("Difference", "points, paired", lambda line, comparison: Cell(points(line.difference_mean))),
    Heading("Verdict", "", lambda line, comparison: Cell(comparison.short_verdict if comparison else DASH)),
)


def mean_and_spread(measured: Sample) -> str:
    """Mean and standard deviation in percent; no deviation of one seed."""
    if measured.std is None:
        return percent(measured.mean)
    return f"{percent(measured.mean)} \N{PLUS-MINUS SIGN} {percent(measured.std)}"


def headings(group: Group) -> list[Heading]:
    """The columns of a group's table."""
    mixed = len({row.recipe for row in group.rows if row.recipe}) > 1
    kinds = {"networks"} | ({"recipes"} if mixed else set()) | ({"plain"} if group.base is not None else set())
    return [heading for heading in HEADINGS if heading.of in kinds]


def cells(columns: Sequence[Heading], line: Line, comparison: Comparison | None) -> list[Cell]:
    """The printed cells of a line."""
    return [heading.cell(line, comparison) for heading in columns]
