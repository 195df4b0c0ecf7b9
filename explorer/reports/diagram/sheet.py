"""The whole drawing: a headline, a row for each stage from top to bottom, and what the marks mean."""

from collections.abc import Iterator
from dataclasses import dataclass

from explorer.reports.diagram.glyph import SIZE as GLYPH
from explorer.reports.diagram.glyph import cells, glyph_marks
from explorer.reports.diagram.items import Box, Chain, Chip, Diagram, Fold, Gate, Item, Row
from explorer.reports.diagram.layout import GAP, Size, chain_size, draw_chain, draw_item, item_size
from explorer.reports.diagram.marks import Path, Rectangle, Sheet, Text, shortened_text, text_width
from explorer.reports.numbers import count, exact
from explorer.reports.style import QUIET

MARGIN, NAME, COSTS = 22.0, 128.0, 232.0  # pixels: page margin, columns of names and of costs
WIDEST = 920.0  # of a row's content, before it is broken into lines
LEAST = 430.0
BETWEEN = 13.0  # rows
INSIDE = 11.0  # a row
HEAD = 92.0
BAR = 84.0


@dataclass(frozen=True)
class Page:
    """All marks and the size of the sheet in pixels."""

    sheet: Sheet
    width: float
    height: float


def page_of(diagram: Diagram) -> Page:
    """Lay a whole network out."""
    sheet = Sheet()
    lines = [_lines(row.chain) for row in diagram.rows]
    content = max([LEAST, *(chain_size(line).width for row in lines for line in row)])
    width = 2 * MARGIN + NAME + content + COSTS + _gutter(diagram)
    _headline(diagram, width, sheet)
    left = MARGIN + _gutter(diagram)
    y = HEAD
    spans = []
    for row, own in zip(diagram.rows, lines, strict=True):
        height = _row_height(own)
        _row(diagram, row, own, left, y, width - MARGIN - left, height, sheet)
        spans.append((y, y + height))
        y += height + BETWEEN
    _links(diagram, spans, left, sheet)
    bottom = _legend(diagram, left, y + 4, width - MARGIN, sheet)
    return Page(sheet, width, bottom + MARGIN / 2)


def _jumps(diagram: Diagram) -> list[tuple[int, int]]:
    """Links between rows that are not neighbours."""
    return [(first, last) for first, last in diagram.links if last != first + 1]


def _gutter(diagram: Diagram) -> float:
    """Room on the left for values that pass over rows."""
    jumps = _jumps(diagram)
    return 12.0 + 7.0 * len(jumps) if jumps else 0.0


def _links(diagram: Diagram, spans: list[tuple[float, float]], left: float, sheet: Sheet) -> None:
    """Arrows from row to row; those that pass over rows run beside them."""
    for first, last in diagram.links:
        if first >= 0 and last == first + 1:
            sheet.add(Path(((left + 18, spans[first][1]), (left + 18, spans[last][0])), arrow=True))
    for number, (first, last) in enumerate(_jumps(diagram)):
        x = left - 9 - 7 * number
        begin = (spans[first][0] + spans[first][1]) / 2 + 6 if first >= 0 else HEAD - 11
        end = (spans[last][0] + spans[last][1]) / 2 - 6
        sheet.add(Path(((left, begin), (x, begin), (x, end), (left, end)), arrow=True))


def _lines(chain: Chain) -> list[Chain]:
    """A row's content in lines; a chain with paths around it stays in one."""
    if chain.skips or chain_size(chain).width <= WIDEST:
        return [chain]
    lines: list[list[Item]] = [[]]
    used = 0.0
    for item in chain.items:
        needed = item_size(item).width + GAP
        if lines[-1] and used + needed > WIDEST:
            lines.append([])
            used = 0.0
        lines[-1].append(item)
        used += needed
    return [Chain(tuple(line)) for line in lines]


def _height(size: Size) -> float:
    return size.above + size.below


def _row_height(lines: list[Chain]) -> float:
    inner = sum(_height(chain_size(line)) for line in lines) + GAP * (len(lines) - 1)
    return max(inner, 34.0) + 2 * INSIDE


def _headline(diagram: Diagram, width: float, sheet: Sheet) -> None:
    """The network's text and its totals, and the names of the columns."""
    title = shortened_text(diagram.title.replace("\n", " "), width - 2 * MARGIN, 13, bold=True)
    sheet.add(Text(MARGIN, 26, title, 13, "left", bold=True))
    totals = f"input {diagram.input}, {exact(diagram.params)} parameters, {exact(diagram.macs)} multiply-adds"
    sheet.add(Text(MARGIN, 48, totals, 9.2, "left", colour=QUIET))
    right = width - MARGIN
    for x, anchor, text in (
        (MARGIN + _gutter(diagram) + 12, "left", "stage, output"),
        (right - COSTS + 14, "left", "parameters"),
        (right - COSTS / 2 + 8, "left", "multiply-adds"),
    ):
        sheet.add(Text(x, HEAD - 11, text, 8, anchor, colour=QUIET))


def _row(
    diagram: Diagram,
    row: Row,
    lines: list[Chain],
    x: float,
    y: float,
    width: float,
    height: float,
    sheet: Sheet,
) -> None:
    """One stage: name and shape, content, costs."""
    sheet.add(Rectangle(x, y, width, height, "row", radius=5))
    middle = y + height / 2
    name = shortened_text(row.name, NAME - 20, 9.8, bold=True)
    sheet.add(Text(x + 12, middle - 8, name, 9.8, "left", bold=True))
    sheet.add(Text(x + 12, middle + 9, row.shape, 8.6, "left", colour=QUIET))
    used = sum(_height(chain_size(line)) for line in lines) + GAP * (len(lines) - 1)
    top = middle - used / 2
    for line in lines:
        size = chain_size(line)
        draw_chain(line, x + NAME, top + size.above, sheet)
        top += _height(size) + GAP
    costs = x + width - COSTS + 14
    for at, part, total in ((costs, row.params, diagram.params), (costs + COSTS / 2 - 6, row.macs, diagram.macs)):
        if row.aside:
            sheet.add(Text(at, middle - 7, count(part), 9, "left"))
            sheet.add(Text(at, middle + 8, "in training only", 8.2, "left", colour=QUIET))
        else:
            _share(at, middle, part, total, sheet)


def _share(x: float, middle: float, part: int, total: int, sheet: Sheet) -> None:
    """A count with its share of the whole as a bar."""
    share = part / total if total else 0.0
    percent = f"{100 * share:.0f}%" if share >= 0.095 or share == 0 else f"{100 * share:.1f}%"
    sheet.add(Text(x, middle - 7, count(part), 9, "left"))
    sheet.add(Text(x + BAR, middle - 7, percent, 8.2, "right", colour=QUIET))
    sheet.add(Rectangle(x, middle + 5, BAR, 5, "ground", radius=1))
    if share > 0:
        sheet.add(Rectangle(x, middle + 5, max(1.5, BAR * share), 5, "share", radius=1))


# -- what the marks mean -----------------------------------------------------------------------------

_MEANING = (
    (Chip("conv", ("3\N{MULTIPLICATION SIGN}3 /2", "64")), "convolution: kernel /stride, output channels"),
    (Chip("norm", ("bn",)), "batch norm"),
    (Chip("act", ("relu",)), "activation"),
    (Chip("linear", ("linear", "10")), "linear layer"),
    (Chip("pool", ("max", "2\N{MULTIPLICATION SIGN}2 /2")), "pooling"),
    (Chip("join", ("+",)), "paths join"),
    (Gate(("gate",)), "recalibration gate"),
    (Box("", Chain((Chip("act", ("relu",)),)), 2), "repeated in a row"),
    (Box("block", Chain((Chip("norm", ("bn",)),)), 3), "equal blocks in a row"),
)


def _legend(diagram: Diagram, x: float, y: float, right: float, sheet: Sheet) -> float:
    """The marks that occur, with words; the lowest y used."""
    found: dict[str, Item] = {}
    unread = False  # whether some part leaves channels out
    for row in diagram.rows:
        for item in _walk(row.chain):
            found.setdefault(_kind(item), item)
            unread |= isinstance(item, Fold) and _leaves_out(item)
    samples = [(found["Gate"] if isinstance(s, Gate) else s, words) for s, words in _MEANING if _kind(s) in found]
    lines: list[list[tuple[Item, str, float]]] = [[]]
    at = x
    for sample, words in samples:
        needed = item_size(sample).width + 7 + text_width(words, 8) + 22
        if lines[-1] and at + needed > right:
            lines.append([])
            at = x
        lines[-1].append((sample, words, at))
        at += needed
    for line in lines:
        y = _legend_line(line, y, sheet)
    return _fold_legend(x, y, unread, sheet) if "Fold" in found else y


def _legend_line(line: list[tuple[Item, str, float]], y: float, sheet: Sheet) -> float:
    """Samples with their words side by side; the y below them."""
    sizes = [item_size(sample) for sample, _, _ in line]
    axis = y + 8 + max((size.above for size in sizes), default=0)
    for (sample, words, at), size in zip(line, sizes, strict=True):
        draw_item(sample, at, axis, sheet)
        sheet.add(Text(at + size.width + 7, axis, words, 8, "left", colour=QUIET))
    return axis + max((size.below for size in sizes), default=0) + 6


def _leaves_out(fold: Fold) -> bool:
    """Whether a part of it does not read some channels of the glyph."""
    return any("empty" in row for row in cells(fold.kind, fold.parts, fold.current))


def _fold_legend(x: float, y: float, unread: bool, sheet: Sheet) -> float:
    """What the cells of a fold's glyph mean; `unread`: also those that a part leaves out."""
    axis = y + GLYPH / 2 + 4
    sheet.add(*glyph_marks(Fold("update", "", 6, True, Chain(())), x, axis))
    sheet.add(
        Text(
            x + GLYPH + 9,
            axis - 17,
            "a fold: a row for each part, in order; columns are channels, those of the input first",
            8,
            "left",
            colour=QUIET,
        )
    )
    for number, (style, words) in enumerate(
        (
            ("old", "read as it was given"),
            ("new", "read after an earlier part made it"),
            ("made", "made by this part"),
            *([("empty", "not read")] if unread else []),
        )
    ):
        at = x + GLYPH + 9 + number * 215
        sheet.add(Rectangle(at, axis + 4, 10, 10, style, radius=0))
        sheet.add(Text(at + 15, axis + 9, words, 8, "left", colour=QUIET))
    return y + GLYPH + 12


def _kind(item: Item) -> str:
    """What a legend tells apart."""
    if isinstance(item, Chip):
        return item.style
    if isinstance(item, Box) and item.count > 1:
        return "repeat" if item.title else "run"
    return type(item).__name__


def _walk(chain: Chain) -> Iterator[Item]:
    """Every item of a chain, nested ones included."""
    for item in (*chain.items, *(item for skip in chain.skips for item in skip.branch)):
        yield item
        if isinstance(item, Box | Fold):
            yield from _walk(item.chain)
