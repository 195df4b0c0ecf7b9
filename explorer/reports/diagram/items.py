"""What a drawing shows, as plain values: chips for ops, boxes for blocks, folds and gates, chains of these.

Values that look the same are equal, which is how repeats are found and drawn once with a count.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Chip:
    """One op. Its style decides its shape: plain, a thin bar, or a circle where paths join."""

    style: str  # conv, linear, pool, other; norm, act (bars); join (circle)
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Gate:
    """A recalibration: what it is called and at which scales."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Skip:
    """A path beside the chain: from before item `start` into item `end`, over the items of `branch`."""

    start: int
    end: int
    branch: tuple["Item", ...] = ()
    label: str = ""


@dataclass(frozen=True)
class Chain:
    """Items one after the other, and the paths around them."""

    items: tuple["Item", ...]
    skips: tuple[Skip, ...] = ()


@dataclass(frozen=True)
class Box:
    """A named block, or (no title) a run of items drawn once; repeated `count` times."""

    title: str
    chain: Chain
    count: int = 1


@dataclass(frozen=True)
class Fold:
    """A group fold: how its parts read one another, and what one part does."""

    kind: str  # grow, sparse, aggregate, windowed, update
    title: str
    parts: int
    current: bool  # parts read what earlier parts have made
    chain: Chain  # of one part


Item = Chip | Gate | Box | Fold


@dataclass(frozen=True)
class Row:
    """One stage: its name, its output shape, what is in it and what share of the cost it has.

    `aside`: an auxiliary head, which only training has and no total counts.
    """

    name: str
    shape: str
    chain: Chain
    params: int
    macs: int
    count: int = 1
    aside: bool = False


@dataclass(frozen=True)
class Diagram:
    """A whole network. `links`: pairs of rows between which a value passes; -1 is the network's input."""

    title: str
    input: str
    rows: tuple[Row, ...]
    params: int
    macs: int
    links: tuple[tuple[int, int], ...] = ()
