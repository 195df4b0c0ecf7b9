"""The same networks after two budgets: their errors against each other, with bars."""

from collections.abc import Callable, Sequence
from textwrap import fill
from typing import Any

from explorer.reports.agreement import Agreement
from explorer.reports.labels import Label, line_boxes, place_labels, point_boxes, settle
from explorer.reports.names import family_of
from explorer.reports.statistics import Sample, sample
from explorer.reports.style import family_colours, new_figure, styled

TITLE_WIDTH = 56  # characters of a line
NAMED = 10  # networks; of more none has its name beside it


@styled
def agreement_figure(orders: Agreement, short: Callable[[str], str], before: str, after: str, title: str) -> Any:
    """A point for each network, bars of one standard deviation over seeds; the same order lies on a rising line.

    `short` gives a network's short name.
    """
    figure = new_figure(5.6, 4.3)
    axes = figure.subplots()
    axes.set_title(fill(title, TITLE_WIDTH), pad=10)
    across, up = (
        [sample([100 * error for error in own.values()]) for own in side] for side in (orders.before, orders.after)
    )
    families = [family_of(name) for name in orders.names]
    colours = family_colours(families)
    for family, colour in colours.items():
        places = [place for place, own in enumerate(families) if own == family]
        _draw(axes, [across[place] for place in places], [up[place] for place in places], family, colour)
    axes.margins(0.12)
    axes.set_xlabel(f"test error after {before} (%)")
    axes.set_ylabel(f"test error after {after} (%)")
    axes.legend(loc="upper left", bbox_to_anchor=(-0.01, -0.13), ncols=3, handlelength=1.2, columnspacing=1.6)
    settle(figure)
    if len(orders.names) <= NAMED:
        _name(axes, [(short(name), colours[own]) for name, own in zip(orders.names, families, strict=True)], across, up)
    return figure


def _draw(axes: Any, across: Sequence[Sample], up: Sequence[Sample], label: str, colour: str) -> None:
    """Points and bars of one family; no bar where there is one seed."""
    look = {"color": colour, "markersize": 5, "elinewidth": 0.9, "capsize": 2, "fmt": "o", "zorder": 3}
    bars = [[one.std or 0.0 for one in side] for side in (up, across)]
    _, caps, lines = axes.errorbar(*([one.mean for one in side] for side in (across, up)), *bars, label=label, **look)
    for mark in (*caps, *lines):
        mark.set_alpha(0.4)  # so that names and points are seen between bars that cross


def _name(axes: Any, names: Sequence[tuple[str, str]], across: Sequence[Sample], up: Sequence[Sample]) -> None:
    """The short name of each network beside its point, in its colour."""
    places = [(x.mean or 0.0, y.mean or 0.0) for x, y in zip(across, up, strict=True)]
    bars = [
        box
        for (x, y), wide, high in zip(places, across, up, strict=True)
        for ends in (
            [(x - (wide.std or 0), y), (x + (wide.std or 0), y)],
            [(x, y - (high.std or 0)), (x, y + (high.std or 0))],
        )
        for box in line_boxes(axes, ends)
    ]
    labels = [Label(name, *place, colour) for (name, colour), place in zip(names, places, strict=True)]
    place_labels(axes, labels, [*bars, *point_boxes(axes, places, 3)], 7)
