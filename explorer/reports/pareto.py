"""The Pareto front under two quantities: the networks that no other beats in both, and the knee among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

from explorer.reports.accuracy import LOG_FROM, marked
from explorer.reports.columns import COLUMNS, Column
from explorer.reports.edf import space_names
from explorer.reports.labels import Label, line_boxes, place_labels, point_boxes, settle
from explorer.reports.names import cut_names, family_of
from explorer.reports.numbers import tick
from explorer.reports.statistics import Sample
from explorer.reports.study import Row, Study
from explorer.reports.style import INK, family_colours, new_figure, styled
from explorer.sweep.candidates import DIGEST

LEAST = 3  # networks among which a front is looked for
NAMED = 12  # of the front's networks, in the figure
LONGEST = 34  # characters of a name in the figure
KNEE = (
    "the network of the front that lies farthest below the straight line between the front's ends, both axes scaled to "
    "the front's own range, counts logarithmic"
)


@dataclass(frozen=True)
class Point:
    """A network in the plane. Counts as they are, errors as fractions."""

    row: Row
    name: str  # short
    group: str  # the space it is from, else its family
    x: Sample
    y: Sample

    @property
    def place(self) -> tuple[float, float]:
        """Both values."""
        assert self.x.mean is not None and self.y.mean is not None
        return self.x.mean, self.y.mean


@dataclass(frozen=True)
class Front:
    """All networks with both values, those that none beats (the smallest x first), and the knee."""

    x: Column
    y: Column
    points: tuple[Point, ...]
    best: tuple[Point, ...]
    knee: Point | None
    groups: tuple[str, ...]  # spaces in the order of their own figure, then families


def chosen_by(column: Column) -> Column:
    """The column that networks are chosen by: the validation error in place of the test error."""
    return COLUMNS["validation_error"] if column.name == "test_error" else column


def front_of(study: Study, x: Column, y: Column) -> Front | None:
    """The front of a study's networks; None where too few have both values, or both axes are the same."""
    across, up = chosen_by(x), chosen_by(y)
    names = space_names(study)
    spaces = {digest: name for name, digests in names.items() for digest in digests}
    points = []
    for row in study.rows:
        group = spaces.get(row.network.digest[:DIGEST]) or family_of(row.base)
        point = Point(row, study.short(row.label), group, row.sample(across.name), row.sample(up.name))
        if point.x.mean is not None and point.y.mean is not None:
            points.append(point)
    if len(points) < LEAST or across == up:
        return None
    best = undominated(points)
    groups = [*names, *(point.group for point in points)]
    shown = [group for group in dict.fromkeys(groups) if any(point.group == group for point in points)]
    return Front(across, up, tuple(points), tuple(best), knee(best, across, up), tuple(shown))


def undominated(points: Sequence[Point]) -> list[Point]:
    """The points that no other is better than in one value and as good as in the other, the smallest x first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: point.place):
        if not best or point.place[1] < best[-1].place[1] or point.place == best[-1].place:
            best.append(point)
    return best


def knee(best: Sequence[Point], x: Column, y: Column) -> Point | None:
    """See KNEE; None for a front of fewer than three networks, or one that nowhere lies below that line."""
    if len(best) < 3:
        return None
    places = [(_scaled(point.place[0], x), _scaled(point.place[1], y)) for point in best]
    (left, top), (right, bottom) = places[0], places[-1]
    wide, high = right - left, top - bottom
    if not wide or not high:
        return None
    below = [1 - (across - left) / wide - (up - bottom) / high for across, up in places]
    farthest = max(range(len(best)), key=lambda place: below[place])
    return best[farthest] if below[farthest] > 1e-9 else None


def _scaled(value: float, column: Column) -> float:
    return value if column.error or value <= 0 else log(value)


def _shown(value: float, column: Column) -> float:
    return 100 * value if column.error else value


@styled
def pareto_figure(front: Front, title: str) -> Any:
    """All networks, the front as a line with names and bars of one standard deviation, the knee ringed."""
    figure = new_figure(6.4, 4.3)
    axes = figure.subplots()
    axes.set_title(title, pad=10)
    colours = family_colours([*front.groups])
    for group, colour in colours.items():
        own = [_at(point, front) for point in front.points if point.group == group]
        axes.scatter(*zip(*own, strict=True), s=16, color=colour, alpha=0.55, linewidth=0, label=group, zorder=2)
    line = [_at(point, front) for point in front.best]
    if len(line) > 1:
        axes.plot(*zip(*line, strict=True), color=INK, linewidth=1.2, zorder=3, label="Pareto front")
    for point, place in zip(front.best, line, strict=True):
        colour = colours[point.group]
        look = {"color": colour, "markeredgecolor": INK, "markeredgewidth": 0.8, "zorder": 4}
        axes.errorbar(*place, _bar(point, front), fmt="o", markersize=5, elinewidth=1, capsize=2.5, **look)
    if front.knee is not None:
        axes.plot(*_at(front.knee, front), "o", ms=13, mfc="none", mec=INK, mew=1.3, zorder=5, label="knee")
    _finish(axes, front)
    settle(figure)
    _name(axes, front, line)
    return figure


def _at(point: Point, front: Front) -> tuple[float, float]:
    x, y = point.place
    return _shown(x, front.x), _shown(y, front.y)


def _bar(point: Point, front: Front) -> float | None:
    return None if point.y.std is None else _shown(point.y.std, front.y)


def _finish(axes: Any, front: Front) -> None:
    """Scales and names of the axes, and what the marks mean."""
    for axis, scale, column, values in (
        (axes.xaxis, axes.set_xscale, front.x, [point.place[0] for point in front.points]),
        (axes.yaxis, axes.set_yscale, front.y, [point.place[1] for point in front.points]),
    ):
        if not column.error:
            _counts(axis, scale, values)
    axes.margins(0.14, 0.12)
    axes.set_xlabel(front.x.label)
    axes.set_ylabel(front.y.label)
    axes.legend(loc="upper left", bbox_to_anchor=(-0.01, -0.13), ncols=2, handlelength=2.2, columnspacing=1.6)


def _counts(axis: Any, scale: Any, values: Sequence[float]) -> None:
    """An axis of counts: logarithmic where they are far apart."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    if min(values) > 0 and max(values) / min(values) >= LOG_FROM:
        scale("log")
        axis.set_major_locator(LogLocator(subs=marked(values)))
        axis.set_minor_formatter(NullFormatter())
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))


def _name(axes: Any, front: Front, line: Sequence[tuple[float, float]]) -> None:
    """Names beside the front's networks; of too many, its ends, the knee and some between."""
    step = -(-len(front.best) // NAMED)
    named = [
        point
        for place, point in enumerate(front.best)
        if place % step == 0 or point is front.best[-1] or point is front.knee
    ]
    names = cut_names([point.name for point in named], LONGEST)
    places = [_at(point, front) for point in named]
    labels = [Label(name, *place, INK) for name, place in zip(names, places, strict=True)]
    bars = [
        [(x, y - bar), (x, y + bar)]
        for point, (x, y) in zip(front.best, line, strict=True)
        if (bar := _bar(point, front))
    ]
    occupied = [*line_boxes(axes, line), *(box for bar in bars for box in line_boxes(axes, bar))]
    occupied += point_boxes(axes, [_at(point, front) for point in front.points], 3)
    place_labels(axes, labels, occupied)
