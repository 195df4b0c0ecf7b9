"""Which convolutions read a fold's maps, and how much of that is done at once for a block of parts.

A convolution is linear in the channels it reads. Of what a part reads, most was known before its neighbours were
made; that share is done for a block of parts as one large convolution, and only the rest part by part. No
multiply-add is done twice and none on zeros.

With P parts of c channels, each reading all N = P c, a block of b parts reads about N once and b c channels b times:
N / b + b c channels for each part, fewest at b = sqrt(P).
"""

from collections.abc import Iterator
from math import isqrt
from typing import NamedTuple

from explorer.blocks.graph import Op, Scope
from explorer.nn.fast.wiring import Part, Piece, Pieces, Wiring, column, common, without

Path = tuple[int, ...]  # places in scopes' bodies, outermost first


class Window(NamedTuple):
    """What must be equal of convolutions that are done as one."""

    kernel: int
    stride: int
    pad: int


class Read(NamedTuple):
    """A part's convolutions of the same channels: some are read with the block, the rest for this part alone.

    `paths` are the convolutions. `columns` are the first weight columns of each piece that the block shares, `rest`
    pieces with theirs.
    """

    part: int  # in the block
    paths: tuple[Path, ...]  # from the fold
    columns: tuple[int, ...]
    rest: tuple[tuple[Piece, int], ...]


class Bundle(NamedTuple):
    """Convolutions of a block of parts that share most of what they read."""

    window: Window
    shared: Pieces
    reads: tuple[Read, ...]


class Member(NamedTuple):
    """A part, and which of its arguments are read by the block's bundles alone."""

    part: Part
    bundled: tuple[bool, ...]


class Block(NamedTuple):
    """Neighbouring parts."""

    members: tuple[Member, ...]
    bundles: tuple[Bundle, ...]

    def reads_of(self, place: int) -> Iterator[tuple[Bundle, Read]]:
        """The reads of one of its parts, each with its bundle."""
        return ((bundle, item) for bundle in self.bundles for item in bundle.reads if item.part == place)


class Plan(NamedTuple):
    """A fold, block by block."""

    wiring: Wiring
    blocks: tuple[Block, ...]

    @property
    def in_pieces(self) -> bool:
        """Whether no part has several pieces put together to read them."""
        return all(
            bundled or len(pieces) == 1
            for block in self.blocks
            for member in block.members
            for pieces, bundled in zip(member.part.arguments, member.bundled, strict=True)
        )


def plan_of(scope: Scope, wiring: Wiring, size: int | None = None) -> Plan:
    """Blocks of `size` parts, by default of floor(sqrt(P))."""
    size = size or isqrt(len(wiring.parts))
    starts = range(0, len(wiring.parts), size)
    return Plan(wiring, tuple(_block(scope, wiring.parts[i : i + size]) for i in starts))


def _block(scope: Scope, parts: tuple[Part, ...]) -> Block:
    members: list[Member] = []
    found: dict[Window, dict[tuple[int, Pieces], list[Path]]] = {}
    for place, part in enumerate(parts):
        unit = scope.body[part.entry].node
        assert isinstance(unit, Scope)
        readers = [_readers(unit, port) for port in range(len(unit.ports))]
        members.append(Member(part, tuple(reader is not None for reader in readers)))
        for reader, pieces in zip(readers, part.arguments, strict=True):
            for path, op in reader or ():
                window = Window(op.attrs["kernel"], op.attrs["stride"], op.attrs["pad"])
                found.setdefault(window, {}).setdefault((place, pieces), []).append((part.entry, *path))
    made = [piece for part in parts for piece in part.results if piece]
    bundles = tuple(_bundle(window, reads, made) for window, reads in found.items())
    return Block(tuple(members), bundles)


def _bundle(window: Window, reads: dict[tuple[int, Pieces], list[Path]], made: list[Piece]) -> Bundle:
    shared = without(common([pieces for _, pieces in reads]), made)
    return Bundle(
        window,
        shared,
        tuple(
            Read(
                place,
                tuple(paths),
                tuple(column(pieces, piece) for piece in shared),
                tuple((piece, column(pieces, piece)) for piece in without(pieces, shared)),
            )
            for (place, pieces), paths in reads.items()
        ),
    )


def _readers(scope: Scope, port: int) -> list[tuple[Path, Op]] | None:
    """The convolutions that read a port of a scope, if ungrouped convolutions are all that does."""
    value = scope.ports[port]
    if value in scope.outputs:
        return None
    found: list[tuple[Path, Op]] = []
    for place, entry in enumerate(scope.body):
        for position in (i for i, given in enumerate(entry.inputs) if given == value):
            node = entry.node
            if isinstance(node, Scope):
                inner = _readers(node, position)
                if inner is None:
                    return None
                found += [((place, *path), op) for path, op in inner]
            elif node.kind == "conv" and node.attrs["groups"] == 1:
                found.append(((place,), node))
            else:
                return None
    return found
