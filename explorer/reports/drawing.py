"""`explorer show NET --svg FILE | --png FILE`: the stages and blocks of a network as a picture."""

import io
from pathlib import Path
from typing import Any

from explorer.blocks.graph import Graph
from explorer.errors import UserError

FORMS = ("svg", "png")


def draw(graph: Graph, path: str | Path, form: str | None = None) -> Path:
    """Write the drawing of an expanded network (`explorer.expand(NET)`) to a file; the path written.

    `form`: svg or png; None: by the file's ending. UserError for another ending, and where the file cannot be
    written; nothing half-written is left.
    """
    from explorer.reports.writing import write_file

    target = Path(path)
    chosen = form or target.suffix.removeprefix(".").lower()
    if chosen not in FORMS:
        raise UserError(f"cannot tell how to draw {str(target)[:200]!r}: its name ends neither in .svg nor in .png")
    write_file(target, picture(graph, chosen), f"--{chosen}")
    return target


def picture(graph: Graph, form: str) -> bytes:
    """The drawing as the bytes of an SVG (text stays text) or PNG file, always the same for the same network."""
    from explorer.reports.diagram.paint import figure_of
    from explorer.reports.diagram.sheet import page_of
    from explorer.reports.diagram.structure import diagram_of
    from explorer.reports.style import png

    figure = figure_of(page_of(diagram_of(graph)))
    return png(figure) if form == "png" else _svg(figure)


def _svg(figure: Any) -> bytes:
    """The figure as an SVG file."""
    from explorer.reports.style import styled

    stream = io.BytesIO()
    styled(figure.savefig)(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()
