"""Depth and receptive field of every stage's output channels: what networks of equal cost may still differ in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from explorer.analysis.reach import Distribution, Reach, stages_of
from explorer.blocks.graph import Graph
from explorer.errors import UserError
from explorer.reports.names import cut_names
from explorer.reports.numbers import scale_set
from explorer.reports.study import Row, Study
from explorer.reports.style import BLUE, INK, QUIET, RULE, SKY, new_figure, styled
from explorer.sweep.records import NetworkRecord

MOST = 16  # networks in a figure
LONGEST = 40  # characters of a name
LOG_FROM = 12.0  # ratio of largest to smallest value from which an axis is logarithmic
ROW_INCHES, FRAME_INCHES = 0.36, 1.2
HEIGHT = 0.38  # of the highest mark, in rows to each side
LOWEST = 0.07
BEYOND = 1.3  # how far ticks may reach beyond the values
STAGES = LinearSegmentedColormap.from_list("stages", [SKY, BLUE, "#00263d"])
NOTE = {"fontsize": 7, "color": QUIET, "va": "bottom"}


@dataclass(frozen=True)
class Strip:
    """A network: each of its maps, in order, with the distributions over its channels."""

    label: str
    stages: tuple[Reach, ...]


def strips_of(study: Study) -> list[Strip]:
    """The first MOST networks of the study; without those whose stored text no longer gives the same network."""
    first: dict[str, Row] = {}
    for row in study.rows:
        first.setdefault(row.network.digest, row)
    rows = list(first.values())[:MOST]
    graphs = [_graph(row.network, study.data.classes) for row in rows]
    return [strip(label, graph) for label, graph in zip(_labels(study, rows), graphs, strict=True) if graph is not None]


def strip(label: str, graph: Graph) -> Strip:
    """What is drawn of a network: its stages that are maps and that some layer leads to."""
    stages = [stage.from_image for stage in stages_of(graph.root) if stage.a_map and stage.from_image is not None]
    return Strip(label, tuple([stage for stage in stages if (stage.longest.quantile(0) or 0) > 0]))


def _graph(network: NetworkRecord, classes: int) -> Graph | None:
    from explorer.api import expand

    try:
        channels, height, width = network.input
        graph = expand(network.canonical, input=(channels, height, width), classes=classes)
    except UserError:
        return None
    return graph if graph.digest == network.digest else None


def _labels(study: Study, rows: Sequence[Row]) -> list[str]:
    """The base and the scale set in a sweep of scales; elsewhere what tells a network from the others."""
    names = cut_names([study.short(row.text if row.scales is None else row.base) for row in rows], LONGEST)
    sets = ["" if row.scales is None else f" {scale_set(row.scales) if row.scales else 'plain'}" for row in rows]
    return [name + own for name, own in zip(names, sets, strict=True)]


def worth_showing(strips: Sequence[Strip]) -> bool:
    """Whether the networks differ, and some map has channels that do; single numbers are better off in a table."""
    spread = any(len(part.channels) > 1 for s in strips for stage in s.stages for part in (stage.longest, stage.field))
    return spread and len({s.stages for s in strips}) > 1


@styled
def reach_figure(strips: Sequence[Strip], image_side: int) -> Any:
    """A row for each network: left the layers on the longest path to each channel, right the channels' windows."""
    figure = new_figure(9.6, ROW_INCHES * len(strips) + FRAME_INCHES)
    depth, field = figure.subplots(1, 2, sharey=True)
    _panel(depth, [[stage.longest for stage in s.stages] for s in strips])
    depth.set_title("Layers between image and channel", pad=16)
    depth.set_xlabel("convolutions and linear layers on the longest path")
    _panel(field, [[stage.field for stage in s.stages] for s in strips])
    field.set_title("Receptive field of a channel", pad=16)
    field.set_xlabel("side (pixels)")
    field.axvline(image_side, color=INK, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    _write(field, "side of the image", image_side, 1, "bottom")
    depth.text(1, 1.01, "light to dark: first to last stage", transform=depth.transAxes, ha="right", **NOTE)
    depth.set_yticks(range(len(strips)), [s.label for s in strips])
    depth.set_ylim(len(strips) - 0.45, -0.55)
    for axes in (depth, field):
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(False, axis="y")
    return figure


def _panel(axes: Any, networks: Sequence[Sequence[Distribution]]) -> None:
    """A mark for each value that channels of a stage have, as high as it is common there; darker in later stages."""
    values = [value for stages in networks for one in stages for value, _ in one.channels]
    finite = [value for value in values if value is not None] or [1]
    low, high = min(finite), max(finite)
    logarithmic = high >= LOG_FROM * low
    beyond = high * 2 if logarithmic else high + 0.15 * max(high - low, 1)  # the place of what has no number
    _scale(axes, low / BEYOND, high if None in values else high * BEYOND, logarithmic)
    for row, stages in enumerate(networks):
        axes.axhline(row, color=RULE, linewidth=0.6, zorder=0)
        for index, one in enumerate(stages):
            most = max(number for _, number in one.channels)
            places = [beyond if value is None else value for value, _ in one.channels]
            heights = [max(LOWEST, HEIGHT * number / most) for _, number in one.channels]
            colour = STAGES(index / max(1, len(stages) - 1))
            bottoms, tops = [row - h for h in heights], [row + h for h in heights]
            axes.vlines(places, bottoms, tops, color=colour, linewidth=1.8, zorder=2)
    if None in values:
        _write(axes, "whole\nimage", beyond, 0, "top")


def _scale(axes: Any, low: float, high: float, logarithmic: bool) -> None:
    """Ticks at whole numbers between low and high."""
    if logarithmic:
        axes.set_xscale("log")
        round_numbers = [m * 10**power for power in range(9) for m in (1, 2, 5)]
        axes.xaxis.set_major_locator(FixedLocator([x for x in round_numbers if low <= x <= high]))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value <= high else ""))


def _write(axes: Any, text: str, x: float, edge: int, below: str) -> None:
    """A note at a value of the axis, above (edge 1) or below (edge 0) the panel."""
    offset = 3 if edge else -5
    place = {"xycoords": ("data", "axes fraction"), "xytext": (0, offset), "textcoords": "offset points"}
    axes.annotate(text, (x, edge), ha="center", **place, **NOTE | {"va": below})
