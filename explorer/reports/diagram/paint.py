"""Marks to a matplotlib figure, one unit a pixel at 100 dpi."""

from typing import Any

from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Polygon

from explorer.reports.diagram.marks import COLOURS, FONT, Mark, Path, Rectangle, Text
from explorer.reports.diagram.sheet import Page
from explorer.reports.style import new_figure, styled


@styled
def figure_of(page: Page) -> Any:
    """The sheet as a figure of its own size."""
    figure = new_figure(page.width / 100, page.height / 100)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, page.width), ylim=(page.height, 0))
    axes.axis("off")
    for order, mark in enumerate(page.sheet.marks):
        _paint(axes, mark, order)
    return figure


def _paint(axes: Any, mark: Mark, order: int) -> None:
    """One mark, above those before it."""
    if isinstance(mark, Rectangle):
        _rectangle(axes, mark, order)
    elif isinstance(mark, Text):
        weight = "bold" if mark.bold else "normal"
        look = {"fontsize": mark.size, "fontweight": weight, "color": mark.colour, "family": FONT}
        axes.text(
            mark.x,
            mark.y,
            mark.text,
            ha=mark.anchor,
            va="center_baseline",
            parse_math=False,
            zorder=order,
            **look,
        )
    else:
        _path(axes, mark, order)


def _rectangle(axes: Any, mark: Rectangle, order: int) -> None:
    """A rectangle, its corners round if asked for."""
    fill, edge = COLOURS[mark.style]
    radius = min(mark.radius, mark.width / 2, mark.height / 2)
    shape = f"round,pad=0,rounding_size={radius}" if radius > 0 else "square,pad=0"
    look: dict[str, Any] = {"facecolor": fill, "edgecolor": edge, "linewidth": 0.7, "zorder": order}
    if mark.dashed:
        look["linestyle"] = (0, (3, 2))
    axes.add_patch(FancyBboxPatch((mark.x, mark.y), mark.width, mark.height, boxstyle=shape, **look))


def _path(axes: Any, mark: Path, order: int) -> None:
    """A line, and the tip of an arrow at its end."""
    across, up = zip(*mark.points, strict=True)
    axes.add_line(Line2D(across, up, color=mark.colour, linewidth=mark.width * 0.72, zorder=order))
    if mark.arrow:
        axes.add_patch(Polygon(_tip(mark.points[-2], mark.points[-1]), color=mark.colour, linewidth=0, zorder=order))


def _tip(before: tuple[float, float], end: tuple[float, float], length: float = 5.0) -> list[tuple[float, float]]:
    """A triangle that ends where the line ends; lines are level or upright."""
    x, y = end
    across, up = x - before[0], y - before[1]
    if abs(up) >= abs(across):
        step = length if up > 0 else -length
        return [(x, y), (x - 2.6, y - step), (x + 2.6, y - step)]
    step = length if across > 0 else -length
    return [(x, y), (x - step, y - 2.6), (x - step, y + 2.6)]
