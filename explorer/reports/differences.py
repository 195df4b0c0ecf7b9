"""Every network with MS-SAR against its plain one: paired differences of test error with their intervals."""

from collections.abc import Sequence
from typing import Any

from explorer.reports.claims import Comparison
from explorer.reports.numbers import scale_set
from explorer.reports.style import BLUE, FAINT, INK, QUIET, RULE, VERMILLION, new_figure, styled

MOST = 31  # rows of a panel; of more, those with the smallest p are shown
PANELS = 24  # base networks; of more the first
COLUMNS = 2
ROW_INCHES, FRAME_INCHES = 0.235, 1.05


def shown(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with a measured difference; of too many, the surest, in the order given."""
    measured = [c for c in comparisons if c.difference.mean is not None]
    surest = sorted(measured, key=lambda c: 1.0 if c.difference.p is None else c.difference.p)[:MOST]
    return [c for c in measured if c in surest]


@styled
def differences_figure(panels: Sequence[tuple[str, Sequence[Comparison]]]) -> Any:
    """One panel for each base network (its title and comparisons); all panels share the axis, in points."""
    across = min(COLUMNS, len(panels))
    down = -(-len(panels) // across)
    rows = max(len(own) for _, own in panels)
    figure = new_figure(4.8 * across, down * (rows * ROW_INCHES + FRAME_INCHES))
    grid = figure.subplots(down, across, squeeze=False, sharex=True).ravel()
    for axes, (title, comparisons) in zip(grid, panels, strict=False):
        _panel(axes, title, comparisons)
    for axes in grid[max(0, len(panels) - across) : len(panels)]:
        axes.set_xlabel("test error minus that of the plain network (points)")
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    return figure


def _panel(axes: Any, title: str, comparisons: Sequence[Comparison]) -> None:
    """One base: a line for each scale set, the first on top."""
    axes.set_title(title, pad=16)
    axes.axvline(0, color=INK, linewidth=0.9, zorder=1)
    for height, comparison in enumerate(comparisons):
        _line(axes, height, comparison)
    axes.set_ylim(len(comparisons) - 0.4, -0.6)
    axes.set_yticks(range(len(comparisons)), [scale_set(c.row.scales) for c in comparisons])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.tick_params(axis="x", labelbottom=True)
    axes.grid(False, axis="y")
    look = {"transform": axes.transAxes, "fontsize": 7.5, "color": QUIET, "va": "bottom"}
    axes.text(0, 1.01, "\N{LEFTWARDS ARROW} better", ha="left", **look)
    axes.text(1, 1.01, "worse \N{RIGHTWARDS ARROW}", ha="right", **look)


def _line(axes: Any, height: int, comparison: Comparison) -> None:
    """Interval, mean and single seeds of one comparison."""
    d = comparison.difference
    colour = (VERMILLION if (d.mean or 0) > 0 else BLUE) if comparison.exceeds else QUIET
    axes.axhline(height, color=RULE, linewidth=0.6, zorder=0)
    if d.low is not None and d.high is not None:
        axes.plot([100 * d.low, 100 * d.high], [height, height], color=colour, linewidth=1.6, zorder=2)
    seeds = [100 * value for _, value in d.by_seed]
    axes.plot(seeds, [height] * len(seeds), "o", color=FAINT, markersize=3.2, alpha=0.9, zorder=3, markeredgewidth=0)
    filled = colour if comparison.exceeds else "white"
    axes.plot([100 * (d.mean or 0)], [height], "D", color=colour, markerfacecolor=filled, markersize=5, zorder=4)
