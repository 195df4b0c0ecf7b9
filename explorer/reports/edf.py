"""Which design space is better: for each the share of its networks with an error below x (as in pycls, RegNet)."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log, sqrt
from typing import Any

from matplotlib.ticker import PercentFormatter

from explorer.reports.columns import Column
from explorer.reports.numbers import listed, plural
from explorer.reports.study import Row, Study
from explorer.reports.style import family_colours, new_figure, styled
from explorer.sweep.candidates import DIGEST
from explorer.sweep.records import DIVERGED, FAILED

LEAST = 5  # networks of a space whose distribution is drawn
MISSES = 0.05  # how often a band does not cover its curve


@dataclass(frozen=True)
class SpaceErrors:
    """The errors of a space's networks, each the mean over its seeds, as fractions."""

    name: str
    how: str  # the networks were found
    sampled: bool  # drawn at random
    chosen: float | None  # the error of the network with the lowest validation error
    errors: tuple[float, ...]  # of networks with a result, smallest first
    diverged: int  # networks whose every trial that ended diverged: above any error
    failed: int  # with failed trials and no result
    missing: int  # of which no trial has ended

    @property
    def ended(self) -> int:
        """Networks that the shares are of."""
        return len(self.errors) + self.diverged

    def share(self, error: float) -> float:
        """The share of networks with a smaller error or this one."""
        return bisect_right(self.errors, error) / self.ended

    @property
    def band(self) -> float | None:
        """How far the share in the whole space may lie from it, wherever it is read (Dvoretzky, Kiefer, Wolfowitz).

        None for networks that were not drawn at random: they are the whole space, or what fits of it.
        """
        return None if not self.sampled else sqrt(log(2 / MISSES) / (2 * self.ended))

    @property
    def median(self) -> float | None:
        """The error that half of the networks have or are below; None where more diverged."""
        place = -(-self.ended // 2) - 1
        return self.errors[place] if place < len(self.errors) else None

    @property
    def counts(self) -> str:
        """48 networks; what became of the others."""
        lost = [
            f"{number} {word}"
            for number, word in ((self.diverged, "diverged"), (self.failed, "failed"), (self.missing, "missing"))
            if number
        ]
        return plural(len(self.errors), "network") + (f" ({listed(lost)})" if lost else "")


def space_names(study: Study) -> dict[str, list[str]]:
    """The spaces that a study's networks were found in, by the digests of these."""
    found: dict[str, list[str]] = {}
    for run in study.runs:
        for name, digests in run.config.get("spaces", {}).items():
            found[name] = list(dict.fromkeys([*found.get(name, []), *digests]))
    return found


def how_drawn(study: Study) -> dict[str, str]:
    """How the networks of each sampled space were drawn: everything that is needed to draw them again."""
    found: dict[str, str] = {}
    for run in study.runs:
        for space in run.config.get("draws", ()):
            limits = [limit for limit in (space["where"], run.config.get("where")) if limit]
            draws = [f"{name} = {how}" for name, how in space["draws"]]
            parts = [space["network"], *draws, f"seed {space['seed']}", *limits]
            found[space["name"]] = "; ".join(parts)
    return found


def in_spaces(study: Study) -> set[str]:
    """The digests of the networks that were found in spaces large enough for a distribution."""
    return {digest for digests in space_names(study).values() if len(digests) >= LEAST for digest in digests}


def spaces_of(study: Study, y: Column) -> tuple[list[SpaceErrors], list[str]]:
    """Each space with its networks' errors; and a sentence for each drawn at random that has too few for a curve."""
    drawn = how_drawn(study)
    rows: dict[str, Row] = {}
    for row in study.rows:
        rows.setdefault(row.network.digest[:DIGEST], row)
    found = [
        _space(name, drawn.get(name), [rows[digest] for digest in own if digest in rows], y)
        for name, own in space_names(study).items()
    ]
    few = [space for space in found if len(space.errors) < LEAST]
    return [space for space in found if space not in few], [_too_few(space) for space in few if space.name in drawn]


def _too_few(space: SpaceErrors) -> str:
    have = plural(len(space.errors), "network")
    return (
        f"The errors in {space.name} are not drawn as a distribution: {have} of it have a result, {LEAST} are needed."
    )


def _space(name: str, how: str | None, rows: Sequence[Row], y: Column) -> SpaceErrors:
    """A space; `how` its networks were drawn, None: not at random."""
    means = [row.sample(y.name).mean for row in rows]
    lost = [row for row, mean in zip(rows, means, strict=True) if mean is None]
    diverged = [row for row in lost if row.ended(DIVERGED)]
    failed = [row for row in lost if row not in diverged and row.ended(FAILED)]
    errors = tuple(sorted(mean for mean in means if mean is not None))
    chosen = min((row for row in rows if row.done), key=_validation, default=None)
    error = None if chosen is None else chosen.sample(y.name).mean
    told = "all networks of the space that fit" if how is None else how
    return SpaceErrors(
        name, told, how is not None, error, errors, len(diverged), len(failed), len(lost) - len(diverged) - len(failed)
    )


def _validation(row: Row) -> float:
    mean = row.measured("validation_error").mean
    return inf if mean is None else mean


@styled
def edf_figure(spaces: Sequence[SpaceErrors], y: Column, title: str) -> Any:
    """One curve a space, with its band; what diverged keeps a curve below 100%."""
    figure = new_figure(6.4, 3.7 + 0.19 * len(spaces))
    axes = figure.subplots()
    axes.set_title(title, pad=10)
    every = [100 * error for space in spaces for error in space.errors]
    margin = 0.04 * (max(every) - min(every) or 1)
    left, right = min(every) - margin, max(every) + margin
    for space, colour in zip(spaces, family_colours([space.name for space in spaces]).values(), strict=True):
        across = [left, *[100 * error for error in space.errors], right]
        up = [0.0, *[space.share(error) for error in space.errors], len(space.errors) / space.ended]
        if space.band is not None:
            low, high = [max(0.0, share - space.band) for share in up], [min(1.0, share + space.band) for share in up]
            axes.fill_between(across, low, high, step="post", color=colour, alpha=0.12, linewidth=0)
        axes.step(across, up, where="post", color=colour, label=f"{space.name}: {space.counts}")
    axes.set_xlim(left, right)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel(y.label)
    axes.set_ylabel("networks with at most this error")
    axes.legend(loc="upper left", bbox_to_anchor=(-0.01, -0.15), handlelength=2.6)
    return figure
