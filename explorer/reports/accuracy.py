"""Accuracy against cost, as MS-SAR's Figure 5: one curve a family, networks with MS-SAR as asterisks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from explorer.reports.columns import Column
from explorer.reports.labels import Label, line_boxes, place_labels, point_boxes, settle
from explorer.reports.names import curve_of, family_of, is_recalibrated, under_recipe
from explorer.reports.numbers import scale_set, tick
from explorer.reports.printed import DATASETS, Printed
from explorer.reports.study import Row, Study
from explorer.reports.style import ASTERISK, BLUE, QUIET, VERMILLION, family_colours, new_figure, styled

LOG_FROM = 4.0  # ratio of largest to smallest value from which an axis is logarithmic
CROWDED = 1e3  # ratio from which only powers of ten are marked
PAPER = "#faf6ec"  # background of what is printed elsewhere
_PRINTED = {"RN": BLUE, "DN": VERMILLION}
_PALE = {"marker": ASTERISK, "s": 30, "linewidth": 0.8, "alpha": 0.45}
_OTHERS = "other scale sets"
_OURS = "ours"  # the panel
LEGEND_COLUMNS = 2
MOST = 300  # networks; of more the Pareto front alone is drawn
JOINED = 20  # networks of a family; of more a line would be a tangle
NAMED = 40  # base networks; of more every second, third, ... is
ASIDE = 3.0  # points by which plain and recalibrated networks stand apart, so that their bars can be told apart


@dataclass(frozen=True)
class Point:
    """One network in the plane. Counts as they are, errors in percent; `spread` over seeds, None of one seed."""

    row: Row
    family: str
    curve: str  # of the family, which lines join
    label: str  # of its base network, short
    x: float
    y: float
    spread: float | None
    starred: bool  # MS-SAR is added
    full: bool  # with the largest scale set of its base


def points_of(study: Study, x: Column, y: Column) -> list[Point]:
    """The points of a study's networks that have both values."""
    found = []
    for group in study.groups:
        largest = max((len(row.scales or ()) for row in group.rows), default=0)
        for row in group.rows:
            across, up = row.sample(x.name), row.sample(y.name)
            if across.mean is None or up.mean is None:
                continue
            starred = bool(row.scales) or is_recalibrated(row.text)
            full = starred and (row.scales is None or len(row.scales) == largest)
            place = _shown(across.mean, x), _shown(up.mean, y)
            spread = None if up.std is None else _shown(up.std, y)
            families = family_of(_base(row)), curve_of(row.base)
            found.append(Point(row, *families, study.short(_base(row)), *place, spread, starred, full))
    return found


def _base(row: Row) -> str:
    """The base network, with the recipe where there are several: these are curves of their own."""
    return under_recipe(row.base, row.recipe if row.several else None)


def _shown(value: float, column: Column) -> float:
    return 100 * value if column.error else value


@styled
def accuracy_figure(
    points: Sequence[Point],
    printed: Mapping[str, Sequence[Printed]],
    x: Column,
    y: Column,
    title: str = "measured here",
) -> Any:
    """Our points, and on axes of their own the paper's for each data set that it prints such numbers of.

    One panel of the paper's stands beside ours, two below it.
    """
    entries = max([2 * len({point.family for point in points}) + 1, *(len(_families(own)) for own in printed.values())])
    high = 4.1 + 0.19 * -(-entries // LEGEND_COLUMNS)
    below = len(printed) > 1
    figure = new_figure(9.6 if printed else 6.4, (1 + below) * high)
    rows = [[_OURS] * len(printed), [*printed]] if below else [[_OURS, *printed]]
    panels = figure.subplot_mosaic(rows, width_ratios=[1.15, 1] if len(printed) == 1 else None)
    ours, others = panels[_OURS], [panels[dataset] for dataset in printed]
    ours.set_title(title, pad=10)
    _draw_ours(ours, points, x, y)
    for axes, (dataset, own) in zip(others, printed.items(), strict=True):
        _draw_printed(axes, own, x, y, DATASETS[dataset])
    settle(figure)
    _label_ours(ours, points)
    for axes, own in zip(others, printed.values(), strict=True):
        _label_printed(axes, own)
    return figure


def _draw_ours(axes: Any, points: Sequence[Point], x: Column, y: Column) -> None:
    """The curve of each family, plain and with the largest scale set; other sets as pale asterisks."""
    families = family_colours([point.family for point in points])
    for family, colour in families.items():
        own = [point for point in points if point.family == family]
        plain = [point for point in own if not point.starred]
        full = [point for point in own if point.full]
        others = [point for point in own if point.starred and not point.full]
        _curve(axes, plain, family, colour, "-", "o", 5.5, -ASIDE / 2)
        _curve(axes, full, _full_name(family, full), colour, "--", ASTERISK, 8, ASIDE / 2)
        if others:
            axes.scatter([p.x for p in others], [p.y for p in others], color=colour, **_PALE)
    if any(point.starred and not point.full for point in points):
        axes.scatter([], [], color=families[points[0].family] if len(families) == 1 else QUIET, label=_OTHERS, **_PALE)
    _finish(axes, [point.x for point in points], x, y)


def _legend(axes: Any) -> None:
    """What the marks mean, below the axes where it covers nothing."""
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(-0.01, -0.13),
        ncols=LEGEND_COLUMNS,
        handlelength=2.6,
        columnspacing=1.6,
    )


def _full_name(family: str, full: Sequence[Point]) -> str:
    sets = {scale_set(point.row.scales) for point in full if point.row.scales}
    return f"{family} + MS-SAR {sets.pop() if len(sets) == 1 else ''}".strip()


def _curve(
    axes: Any,
    points: Sequence[Point],
    label: str,
    colour: str,
    dash: str,
    marker: Any,
    size: float,
    aside: float,
) -> None:
    """Networks of one family, its sizes joined from cheap to dear, with bars of one standard deviation."""
    moved = axes.transData + _shift(axes, aside)
    marks = {"marker": marker, "markersize": size, "markeredgewidth": 1.1, "transform": moved}
    for place, own in enumerate(curves(points)):
        line, told = dash if 1 < len(own) <= JOINED else "none", None if place else label
        look = {"linestyle": line, "color": colour, "label": told, "linewidth": 1.3, "zorder": 3}
        axes.plot([p.x for p in own], [p.y for p in own], **look, **marks)
    ordered = sorted(points, key=lambda point: point.x)
    across = [p.x for p in ordered]
    barred = [p for p in ordered if p.spread]
    bars = {"fmt": "none", "ecolor": colour, "elinewidth": 1, "capsize": 2.5, "zorder": 3, "transform": moved}
    axes.errorbar([p.x for p in barred], [p.y for p in barred], [p.spread for p in barred], **bars)
    low, high = [p.y - (p.spread or 0) for p in ordered], [p.y + (p.spread or 0) for p in ordered]
    axes.update_datalim([*zip(across, low, strict=True), *zip(across, high, strict=True)])


def curves(points: Sequence[Point]) -> list[list[Point]]:
    """The networks that one line joins, from cheap to dear; the longest line first."""
    found: dict[tuple[str, str, bool], list[Point]] = {}
    for point in sorted(points, key=lambda point: point.x):
        found.setdefault((point.family, point.curve, point.full), []).append(point)
    return sorted(found.values(), key=len, reverse=True)


def _shift(axes: Any, aside: float) -> Any:
    """A transform that moves by so many points to the right."""
    from matplotlib.transforms import ScaledTranslation

    return ScaledTranslation(aside / 72, 0, axes.figure.dpi_scale_trans)


def _finish(axes: Any, values: Sequence[float], x: Column, y: Column) -> None:
    """Scales, ticks and names of the axes."""
    if values and min(values) > 0 and max(values) / min(values) >= LOG_FROM and not x.error:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=marked(values)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    if not x.error:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    axes.margins(0.17, 0.12)
    axes.autoscale_view()
    axes.set_xlabel(x.label)
    axes.set_ylabel(y.label)
    _legend(axes)


def marked(values: Sequence[float]) -> tuple[int, ...]:
    """Of which multiples of powers of ten a logarithmic axis tells the values."""
    return (1,) if max(values) / min(values) > CROWDED else (1, 2, 5)


def _label_ours(axes: Any, points: Sequence[Point]) -> None:
    """The short name of each base at its plain network, or at what there is of it."""
    colours = family_colours([point.family for point in points])
    first: dict[str, Point] = {}
    for point in sorted(points, key=lambda point: (point.starred, point.x)):
        first.setdefault(f"{point.family} {point.label}", point)
    named = list(first.values())[:: -(-len(first) // NAMED)]
    labels = [Label(p.label, p.x, p.y, colours[p.family]) for p in named]
    place_labels(axes, labels, _occupied(axes, points))


def _occupied(axes: Any, points: Sequence[Point]) -> list[Any]:
    """What labels of ours may not cover: markers, bars, curves."""
    places = [(p.x, p.y) for p in points]
    bars = [[(p.x, p.y - p.spread), (p.x, p.y + p.spread)] for p in points if p.spread]
    pale = [(p.x, p.y) for p in points if p.starred and not p.full]  # a label beside one would seem to be its own
    joined = curves([point for point in points if point.full or not point.starred])
    joins = [[(point.x, point.y) for point in own] for own in joined]
    lines = [box for line in (*bars, *joins) for box in line_boxes(axes, line)]
    return [*point_boxes(axes, places, 5), *point_boxes(axes, pale, 11), *lines]


def _draw_printed(axes: Any, printed: Sequence[Printed], x: Column, y: Column, dataset: str) -> None:
    """The paper's networks in the paper's numbers, on another ground so that nobody takes them for ours."""
    axes.set_facecolor(PAPER)
    axes.set_title(f"{dataset} as printed by MS-SAR (not ours)", pad=10, color=QUIET)
    for family in _families(printed):
        own = [point for point in printed if point.family == family]
        star = family.endswith("*")
        marker, dash = (ASTERISK, "--") if star else ("o", "-")
        look = {
            "color": _PRINTED.get(family.rstrip("*"), QUIET),
            "markersize": 7.5 if star else 5,
            "linewidth": 1.2,
        }
        label = f"{family.rstrip('*')}{' + MS-SAR {1,2,4}' if star else ''}"
        axes.plot([p.x for p in own], [100 * p.y for p in own], dash, marker=marker, label=label, **look)
    _finish(axes, [point.x for point in printed], x, y)
    axes.set_xlabel({"macs": "FLOPs as printed (multiply-adds)"}.get(x.name, f"{x.label} as printed"))
    axes.set_ylabel(f"test error on {dataset} (%)")


def _label_printed(axes: Any, printed: Sequence[Printed]) -> None:
    curves = {family: [(p.x, 100 * p.y) for p in printed if p.family == family] for family in _families(printed)}
    lines = [box for curve in curves.values() for box in line_boxes(axes, curve)]
    labels = [Label(p.name, p.x, 100 * p.y, _PRINTED.get(p.family.rstrip("*"), QUIET)) for p in printed]
    place_labels(axes, labels, lines)


def _families(printed: Sequence[Printed]) -> list[str]:
    return list(dict.fromkeys(point.family for point in printed))
