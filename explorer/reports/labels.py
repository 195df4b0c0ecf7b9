"""Labels of points that overlap neither each other, nor points, nor the frame."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

_AROUND = (
    (1, 0),
    (1, 1),
    (0, 1),
    (1, -1),
    (-1, 0),
    (-1, -1),
    (0, -1),
    (-1, 1),
)  # right, above right, above, ...
_DISTANCES = (7, 12, 18, 26, 36)  # points


class Label(NamedTuple):
    """A text and the data point it belongs to."""

    text: str
    x: float
    y: float
    colour: str


def settle(figure: Any) -> None:
    """Arrange the axes for good, so that places in pixels can be measured; to be called before what follows."""
    figure.canvas.draw()
    figure.set_layout_engine("none")


def place_labels(axes: Any, labels: Sequence[Label], occupied: Sequence[Bbox] = (), size: float = 7.5) -> list[Bbox]:
    """Write each label at the nearest free place around its point; the boxes they took, in pixels.

    `occupied`: boxes (pixels) that stay free of text, besides the labelled points themselves. Far labels get
    a thin line to their point. A label for which there is no free place is written where it overlaps least.
    """
    boxes = [*occupied, *point_boxes(axes, [(label.x, label.y) for label in labels])]
    taken = np.array([box.extents for box in boxes]).reshape(-1, 4)
    placed = []
    for label in labels:
        box = _place(axes, label, taken, size)
        taken = np.vstack([taken, box.extents])
        placed.append(box)
    return placed


def point_boxes(axes: Any, points: Sequence[tuple[float, float]], radius: float = 4) -> list[Bbox]:
    """Boxes in pixels around data points, `radius` points wide to each side."""
    pixels = radius * axes.figure.dpi / 72
    return [Bbox.from_extents(x - pixels, y - pixels, x + pixels, y + pixels) for x, y in _pixels(axes, points)]


def line_boxes(axes: Any, points: Sequence[tuple[float, float]]) -> list[Bbox]:
    """Small boxes in pixels along the straight lines that join data points."""
    boxes = []
    for (x0, y0), (x1, y1) in pairwise(_pixels(axes, points)):
        steps = int(max(abs(x1 - x0), abs(y1 - y0)) / 4) + 1
        for step in range(steps + 1):
            x, y = x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps
            boxes.append(Bbox.from_extents(x - 2, y - 2, x + 2, y + 2))
    return boxes


def _pixels(axes: Any, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Where data points lie, in pixels."""
    return [(x, y) for x, y in axes.transData.transform(np.reshape(points, (-1, 2))).tolist()]


def _place(axes: Any, label: Label, taken: NDArray[np.float64], size: float) -> Bbox:
    """Try places from near to far; the box of the first that is free, or of the best."""
    renderer = axes.figure.canvas.get_renderer()
    best: tuple[float, Any, Bbox] | None = None
    for distance in _DISTANCES:
        for across, up in _AROUND:
            text = _write(axes, label, (across * distance, up * distance), size, distance)
            text.update_positions(renderer)
            box = Text.get_window_extent(text, renderer).padded(1.5)  # the annotation's own includes its line
            cost = _overlap(box, taken) + _outside(box, axes.bbox)
            if best is None or cost < best[0]:
                if best:
                    best[1].remove()
                best = (cost, text, box)
            else:
                text.remove()
            if cost == 0:
                return box
    assert best
    return best[2]


def _write(axes: Any, label: Label, offset: tuple[float, float], size: float, distance: float) -> Any:
    """The label beside its point, with a line to it when it is far."""
    across, up = offset
    return axes.annotate(
        label.text,
        (label.x, label.y),
        xytext=offset,
        textcoords="offset points",
        ha="left" if across > 0 else "right" if across < 0 else "center",
        va="bottom" if up > 0 else "top" if up < 0 else "center",
        fontsize=size,
        color=label.colour,
        arrowprops={
            "arrowstyle": "-",
            "color": label.colour,
            "lw": 0.5,
            "shrinkA": 0,
            "shrinkB": 3,
            "relpos": ((1 - across / distance) / 2, (1 - up / distance) / 2),  # from the nearest corner or side
        }
        if distance > _DISTANCES[0]
        else None,
        annotation_clip=False,
    )


def _overlap(box: Bbox, taken: NDArray[np.float64]) -> float:
    """Area shared with what is there already: boxes [N, 4], by left, bottom, right and top."""
    left, bottom, right, top = taken.T
    wide, high = (
        np.minimum(right, box.x1) - np.maximum(left, box.x0),
        np.minimum(top, box.y1) - np.maximum(bottom, box.y0),
    )
    return float((wide.clip(0) * high.clip(0)).sum())


def _outside(box: Bbox, frame: Bbox) -> float:
    """Area beyond the frame; to the right it may reach a little."""
    inside = Bbox.intersection(box, frame)
    return box.width * box.height - (inside.width * inside.height if inside is not None else 0.0)
