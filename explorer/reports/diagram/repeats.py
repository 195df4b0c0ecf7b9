"""Chains made short: repeats are drawn once with a count, and what is still too long loses its middle."""

from dataclasses import replace

from explorer.reports.diagram.items import Box, Chain, Chip, Item, Skip

LONGEST_PERIOD = 6  # items that repeat together
MOST = 24  # items of a chain
HEAD, TAIL = 14, 6  # of these, how many are kept


def folded(chain: Chain) -> Chain:
    """The chain with every run of equal items, or of equal groups of items, as one with a count."""
    items, skips = chain.items, chain.skips
    start = 0
    while start < len(items):
        period, times = _run(items, start, skips)
        if times > 1:
            one = _counted(items[start : start + period], times)
            skips = tuple(_moved(skip, start, period * times) for skip in skips)
            items = (*items[:start], one, *items[start + period * times :])
        start += 1
    return Chain(items, skips)


def _run(items: tuple[Item, ...], start: int, skips: tuple[Skip, ...]) -> tuple[int, int]:
    """The period and number of repeats, from `start`, that shorten most; (1, 1) where nothing repeats."""
    best = (1, 1)
    for period in range(1, LONGEST_PERIOD + 1):
        pattern = items[start : start + period]
        if period > 1 and all(isinstance(item, Chip) and item.style in ("norm", "act", "join") for item in pattern):
            continue
        times, free = 1, True
        while free and items[start + times * period : start + (times + 1) * period] == pattern:
            free = not any(_touches(skip, start, start + (times + 1) * period) for skip in skips)
            times += free
        block = isinstance(pattern[0], Box) if pattern else False
        if times < (2 if block or not skips else 3):  # in a block with paths around it two convolutions stay two
            continue
        if (times - 1) * period > (best[1] - 1) * best[0]:
            best = (period, times)
    return best


def _touches(skip: Skip, first: int, last: int) -> bool:
    """Whether a path begins inside a run or ends at one of its items."""
    return first < skip.start < last or first <= skip.end < last


def _counted(pattern: tuple[Item, ...], times: int) -> Item:
    """One item that stands for a repeated pattern."""
    if len(pattern) == 1 and isinstance(pattern[0], Box) and pattern[0].count == 1:
        return replace(pattern[0], count=times)
    return Box("", Chain(pattern), times)


def _moved(skip: Skip, start: int, length: int) -> Skip:
    """A path after `length` items from `start` on have become one."""
    first, last = (place if place <= start else place - length + 1 for place in (skip.start, skip.end))
    return replace(skip, start=first, end=last)


def shortened(chain: Chain) -> Chain:
    """The chain without its middle where it is too long; paths that touch the middle go with it."""
    total = len(chain.items)
    if total <= MOST:
        return chain
    gap = Chip("other", ("\N{HORIZONTAL ELLIPSIS}", f"{total - HEAD - TAIL} more"))
    kept = (*chain.items[:HEAD], gap, *chain.items[total - TAIL :])
    skips = []
    for skip in chain.skips:
        if skip.end < HEAD:
            skips.append(skip)
        elif skip.start >= total - TAIL:
            skips.append(_moved(skip, HEAD, total - HEAD - TAIL))
    return Chain(kept, tuple(skips))
