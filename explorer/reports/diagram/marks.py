"""Marks on a sheet, in pixels (y downwards), and how wide text is. What they look like is decided here once."""

from dataclasses import dataclass, field
from functools import cache

from explorer.reports.style import BLUE, FAINT, GREEN, INK, QUIET, RULE, VERMILLION

FONT = "DejaVu Sans"
POINTS = 0.72  # of a pixel at 100 dpi

# fill and edge by style
COLOURS = {
    "conv": ("#d9e8f5", BLUE),
    "linear": ("#f3e3ec", "#a8578a"),
    "pool": ("#dff1ea", GREEN),
    "other": ("#f2f4f6", FAINT),
    "norm": ("#c9d0d7", "#c9d0d7"),
    "act": ("#7d8790", "#7d8790"),
    "join": ("#ffffff", INK),
    "gate": ("#fbe3d3", VERMILLION),
    "box": ("#ffffff", QUIET),
    "run": ("none", FAINT),
    "fold": ("#fffaf0", "#c98f00"),
    "row": ("#fbfcfd", RULE),
    "old": ("#cfe1f2", "#cfe1f2"),  # read as it was given
    "new": ("#f0b97d", "#f0b97d"),  # read after earlier parts have made it
    "made": ("#2f3b46", "#2f3b46"),
    "empty": ("#eef1f4", "#eef1f4"),
    "share": (BLUE, BLUE),
    "ground": ("#e6eaee", "#e6eaee"),
}


@dataclass(frozen=True)
class Rectangle:
    """A rectangle by its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    style: str
    radius: float = 3
    dashed: bool = False


@dataclass(frozen=True)
class Text:
    """A line of text; `y` is its middle."""

    x: float
    y: float
    text: str
    size: float = 10
    anchor: str = "center"  # left, center or right
    bold: bool = False
    colour: str = INK


@dataclass(frozen=True)
class Path:
    """A line through points, perhaps with an arrow at its end."""

    points: tuple[tuple[float, float], ...]
    arrow: bool = False
    colour: str = QUIET
    width: float = 1.0


Mark = Rectangle | Text | Path


@dataclass
class Sheet:
    """Marks in the order they are painted."""

    marks: list[Mark] = field(default_factory=list)

    def add(self, *marks: Mark) -> None:
        """Put marks on top of those there are."""
        self.marks.extend(marks)


@cache
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width in pixels."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=FONT, size=size, weight="bold" if bold else "normal")
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / POINTS


def shortened_text(text: str, width: float, size: float, bold: bool = False) -> str:
    """The text, cut to a width with an ellipsis where it is longer."""
    if text_width(text, size, bold) <= width:
        return text
    while text and text_width(f"{text}\N{HORIZONTAL ELLIPSIS}", size, bold) > width:
        text = text[:-1]
    return f"{text}\N{HORIZONTAL ELLIPSIS}"
