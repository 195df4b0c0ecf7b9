"""Where the items of a chain go. All stand on one axis, paths beside the chain run above it."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache

from explorer.reports.diagram import glyph
from explorer.reports.diagram.items import Box, Chain, Chip, Fold, Gate, Item, Skip
from explorer.reports.diagram.marks import Path, Rectangle, Sheet, Text, text_width
from explorer.reports.style import QUIET, VERMILLION

GAP = 9.0  # between items
LINE = 11.5  # of text on chips
PAD = 8.0  # inside boxes
TITLE = 15.0
LANE = 9.0  # between a path and what is below it
BAR = (6.0, 24.0)
TEXT, SMALL = 8.2, 7.6  # points of text on chips and of titles


@dataclass(frozen=True)
class Size:
    """Width, and height above and below the axis."""

    width: float
    above: float
    below: float


@cache
def item_size(item: Item) -> Size:
    """The room an item takes."""
    if isinstance(item, Chip) and item.style in ("norm", "act"):
        return Size(BAR[0], BAR[1] / 2, BAR[1] / 2)
    if isinstance(item, Chip) and item.style == "join":
        return Size(max(15.0, text_width(item.lines[0], SMALL) + 8), 7.5, 7.5)
    if isinstance(item, Chip | Gate):
        width = max(text_width(line, TEXT) for line in item.lines) + 10
        half = (LINE * len(item.lines) + 6) / 2
        return Size(max(width, 26.0), half, half)
    inner = chain_size(item.chain)
    if isinstance(item, Fold):
        width = glyph.SIZE + 12 + inner.width
        half = glyph.SIZE / 2
        inner = Size(max(width, text_width(item.title, SMALL)), max(inner.above, half), max(inner.below, half))
    else:
        inner = replace(inner, width=max(inner.width, _title_width(item)))
    behind = _behind(item)
    return Size(inner.width + 2 * PAD + behind, inner.above + TITLE + PAD / 2 + behind, inner.below + PAD)


def _behind(item: Box | Fold) -> float:
    """How far the cards behind a repeated block stand out, upwards and to the right."""
    return 6.0 if isinstance(item, Box) and item.count > 1 and item.title else 0.0


def _title_width(box: Box) -> float:
    count = f"\N{MULTIPLICATION SIGN} {box.count}" if box.count > 1 else ""
    return text_width(box.title, SMALL) + (text_width(count, TEXT, True) + 12 if count else 0)


@cache
def chain_size(chain: Chain) -> Size:
    """The room a chain takes, with the paths above it."""
    if not chain.items:
        return Size(0, 0, 0)
    _, width = _places(chain)
    sizes = [item_size(item) for item in chain.items]
    above, below = max(size.above for size in sizes), max(size.below for size in sizes)
    return Size(width, max([above, *(top for _, top in _lanes(chain))]), below)


def _lanes(chain: Chain) -> list[tuple[Skip, float]]:
    """The paths beside a chain, inner ones first, each with the top of its room above the axis."""
    found: list[tuple[Skip, float]] = []
    for skip in sorted(chain.skips, key=lambda skip: (skip.end - skip.start, skip.start, len(skip.branch))):
        below = [item_size(item).above for item in chain.items[skip.start : skip.end + 1]]
        below += [top for other, top in found if other.start <= skip.end and skip.start <= other.end]
        found.append((skip, max(below) + LANE + _lane_height(skip)))
    return found


def _lane_height(skip: Skip) -> float:
    """Height of what lies on a path."""
    return _lane_axis(skip) + max((item_size(item).below for item in skip.branch), default=0.0)


def _lane_axis(skip: Skip) -> float:
    """How far the path runs below the top of its room: a label stands above it, items on it."""
    return max((item_size(item).above for item in skip.branch), default=13.0 if skip.label else 0.0)


def _branch_width(skip: Skip) -> float:
    inside = sum(item_size(item).width for item in skip.branch) + GAP * max(0, len(skip.branch) - 1)
    return max(inside, text_width(skip.label, SMALL) if skip.label else 0.0)


def _places(chain: Chain) -> tuple[list[float], float]:
    """Left edges of the items, and the width of all; wider where a path's items need it."""
    places: list[float] = []
    at = 0.0
    for index, item in enumerate(chain.items):
        for skip in chain.skips:
            if skip.end == index:
                begin = places[skip.start] if skip.start < len(places) else at
                at = max(at, begin + _branch_width(skip) + 2 * GAP)
        places.append(at)
        at += item_size(item).width + GAP
    return places, at - GAP


def draw_chain(chain: Chain, x: float, axis: float, sheet: Sheet) -> None:
    """Put a chain on the sheet, its left end at x."""
    places, width = _places(chain)
    if not places:
        return
    sheet.add(Path(((x - GAP / 2, axis), (x + width + GAP / 2, axis)), colour="#aab3bc"))
    arrived: Counter[int] = Counter()
    for skip, top in _lanes(chain):
        _draw_skip(chain, skip, places, x, axis, axis - top + _lane_axis(skip), arrived[skip.end], sheet)
        arrived[skip.end] += 1
    for item, place in zip(chain.items, places, strict=True):
        draw_item(item, x + place, axis, sheet)


def _draw_skip(
    chain: Chain,
    skip: Skip,
    places: list[float],
    x: float,
    axis: float,
    lane: float,
    number: int,
    sheet: Sheet,
) -> None:
    """A path beside the chain, and what lies on it; `number` paths arrive at the same item before it."""
    size = item_size(chain.items[skip.end])
    begin = x + places[skip.start] - GAP / 2
    end = x + places[skip.end] + min(size.width / 2, 12.0) + 3.5 * number
    sheet.add(Path(((begin, axis), (begin, lane), (end, lane), (end, axis - size.above)), arrow=True))
    at = (begin + end - _branch_width(skip)) / 2
    if skip.label and not skip.branch:
        sheet.add(Text((begin + end) / 2, lane - 7, skip.label, SMALL, colour=QUIET))
    for item in skip.branch:
        draw_item(item, at, lane, sheet)
        at += item_size(item).width + GAP


def draw_item(item: Item, x: float, axis: float, sheet: Sheet) -> None:
    """Put an item on the sheet, its left edge at x."""
    size = item_size(item)
    if isinstance(item, Chip | Gate):
        _draw_small(item, x, axis, size, sheet)
    elif isinstance(item, Fold):
        _frame(x, axis, size, "fold", item.title, sheet)
        sheet.add(*glyph.glyph_marks(item, x + PAD, axis))
        draw_chain(item.chain, x + PAD + glyph.SIZE + 12, axis, sheet)
    else:
        _draw_box(item, x, axis, size, sheet)


def _draw_small(item: Chip | Gate, x: float, axis: float, size: Size, sheet: Sheet) -> None:
    """A chip, bar, circle or gate."""
    style = "gate" if isinstance(item, Gate) else item.style
    top, height = axis - size.above, size.above + size.below
    if style == "join":
        sheet.add(Rectangle(x, top, size.width, height, style, radius=height / 2))
        sheet.add(Text(x + size.width / 2, axis, item.lines[0], SMALL))
        return
    sheet.add(Rectangle(x, top, size.width, height, style, radius=1.5 if style in ("norm", "act") else 3))
    if style in ("norm", "act"):
        return
    for number, line in enumerate(item.lines):
        y = axis + LINE * (number - (len(item.lines) - 1) / 2)
        sheet.add(Text(x + size.width / 2, y, line, TEXT, colour=VERMILLION if style == "gate" else "#1f2328"))


def _draw_box(box: Box, x: float, axis: float, size: Size, sheet: Sheet) -> None:
    """A block, or an untitled run, with its count."""
    behind = _behind(box)
    size = Size(size.width - behind, size.above - behind, size.below)
    for away in (behind, behind / 2) if behind else ():  # cards behind say that there are several
        sheet.add(_card(x + away, axis - away, size, "box"))
    _frame(x, axis, size, "box" if box.title else "run", box.title, sheet)
    if box.count > 1:
        count = f"\N{MULTIPLICATION SIGN} {box.count}"
        sheet.add(Text(x + size.width - PAD, axis - size.above + 8.5, count, TEXT, "right", bold=True))
    draw_chain(box.chain, x + PAD, axis, sheet)


def _frame(x: float, axis: float, size: Size, style: str, title: str, sheet: Sheet) -> None:
    """The frame of a box with its title."""
    sheet.add(_card(x, axis, size, style))
    if title:
        sheet.add(Text(x + PAD, axis - size.above + 8.5, title, SMALL, "left", colour=QUIET))


def _card(x: float, axis: float, size: Size, style: str) -> Rectangle:
    return Rectangle(x, axis - size.above, size.width, size.above + size.below, style, 4, style == "run")
