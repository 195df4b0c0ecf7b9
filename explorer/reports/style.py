"""How figures look: colours that colour-blind readers can tell apart (Okabe and Ito 2008), fonts, resolution.

Figures are made with matplotlib's objects on the Agg canvas; pyplot, with its global state, is never imported.
"""

import io
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 200  # twice what a screen shows, so that figures stay sharp when enlarged or printed
INK, QUIET, FAINT, RULE = "#1f2328", "#59636e", "#9aa4af", "#d9dee3"
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY = "#E69F00", "#56B4E9"
FAMILIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, INK)  # one for each curve, in order
ASTERISK = (6, 2, 0)  # a six-pointed asterisk: MS-SAR is added

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "explorer",  # the same figure gives the same file
}

P = ParamSpec("P")
R = TypeVar("R")


def styled(make: Callable[P, R]) -> Callable[P, R]:
    """Run a function that makes a figure under our style, and leave the global one as it was."""

    @wraps(make)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(STYLE):
            return make(*args, **kwargs)

    return inside


def new_figure(width: float, height: float) -> Any:
    """An empty figure of so many inches that arranges its axes itself."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


@styled
def png(figure: Any) -> bytes:
    """The figure as a PNG file, the same bytes every time."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def family_colours(families: list[str]) -> dict[str, str]:
    """A colour for each family in the order given, again from the start when they run out."""
    return {family: FAMILIES[index % len(FAMILIES)] for index, family in enumerate(dict.fromkeys(families))}
