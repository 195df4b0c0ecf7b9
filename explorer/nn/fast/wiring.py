"""Which channels of which tensor the parts of a fold read and make: the fold's own wiring, run on channel ranges.

A fold (update, aggregate, windowed) is written as slices, concatenations and updates of whole maps. Run on ranges of
channels instead of maps, the same ops tell where each channel that a part reads was made, so that no map needs to be
put together. No torch here.
"""

from collections.abc import Callable, Iterable
from functools import reduce
from typing import NamedTuple

from explorer.blocks.graph import Op, Scope


class Piece(NamedTuple):
    """Channels [start, stop) of one of a fold's tensors: its ports, then its outputs."""

    tensor: int
    start: int
    stop: int

    @property
    def width(self) -> int:
        """Channels."""
        return self.stop - self.start


Pieces = tuple[Piece, ...]


class Part(NamedTuple):
    """One part of a fold: what it reads, port by port, and where each of its results goes (None: nowhere)."""

    entry: int  # its place in the scope's body
    arguments: tuple[Pieces, ...]
    results: tuple[Piece | None, ...]


class Wiring(NamedTuple):
    """A fold as parts that read and make channels of shared tensors."""

    ports: int
    parts: tuple[Part, ...]
    widths: tuple[int, ...]  # channels of each output
    copies: tuple[tuple[Piece, Piece], ...]  # channels of ports that an output repeats: from, to
    in_place: bool  # see _in_place
    updates: bool  # outputs have the type of the ports too, as whole maps with parts replaced


def wiring_of(scope: Scope) -> Wiring | None:
    """A fold's wiring; None where its body does anything else than part, slice, concat and update."""
    ports = len(scope.ports)
    values: dict[int, Pieces] = {
        value: (Piece(port, 0, scope.shapes[value][0]),) for port, value in enumerate(scope.ports)
    }
    parts: list[Part] = []
    for place, entry in enumerate(scope.body):
        given = tuple(values[i] for i in entry.inputs)
        if isinstance(entry.node, Scope):
            made = tuple(Piece(ports + value, 0, scope.shapes[value][0]) for value in entry.outputs)
            parts.append(Part(place, given, made))
            values.update((value, (piece,)) for value, piece in zip(entry.outputs, made, strict=True))
        elif entry.node.kind in MOVES:
            values[entry.outputs[0]] = MOVES[entry.node.kind](entry.node, given)
        else:
            return None
    return _located(scope, [values[value] for value in scope.outputs], parts) if parts else None


def _update(op: Op, given: tuple[Pieces, ...]) -> Pieces:
    whole, part = given
    start = op.attrs["start"]
    return joined([*cut(whole, 0, start), *part, *cut(whole, start + width_of(part), width_of(whole))])


MOVES: dict[str, Callable[[Op, tuple[Pieces, ...]], Pieces]] = {
    "slice": lambda op, given: cut(given[0], op.attrs["start"], op.attrs["stop"]),
    "concat": lambda op, given: joined(piece for pieces in given for piece in pieces),
    "update": _update,
}


def _located(scope: Scope, outputs: list[Pieces], parts: list[Part]) -> Wiring | None:
    """What parts make, named by its place in the outputs; None where something that is read has no single place."""
    ports = len(scope.ports)
    whole = {piece for part in parts for piece in part.results if piece}
    places: dict[int, Piece] = {}
    copies: list[tuple[Piece, Piece]] = []
    for output, pieces in enumerate(outputs, ports):
        start = 0
        for piece in pieces:
            place = Piece(output, start, start + piece.width)
            start = place.stop
            if piece.tensor < ports:
                copies.append((piece, place))
            elif piece.tensor in places or piece not in whole:
                return None
            else:
                places[piece.tensor] = place
    if any(p.tensor >= ports and p.tensor not in places for part in parts for pieces in part.arguments for p in pieces):
        return None
    located = tuple(
        Part(
            part.entry,
            tuple(joined(_moved(piece, places) for piece in pieces) for pieces in part.arguments),
            tuple(places.get(piece.tensor) for piece in part.results if piece),
        )
        for part in parts
    )
    updates = any(isinstance(entry.node, Op) and entry.node.kind == "update" for entry in scope.body)
    return Wiring(ports, located, tuple(map(width_of, outputs)), tuple(copies), _in_place(scope, located), updates)


def _moved(piece: Piece, places: dict[int, Piece]) -> Piece:
    place = places.get(piece.tensor)
    return piece if place is None else Piece(place.tensor, place.start + piece.start, place.start + piece.stop)


def _in_place(scope: Scope, parts: tuple[Part, ...]) -> bool:
    """Whether the output can take the input's place: each part, in order of channels, reads the input from its own
    channels on and the output before them only (GUNN; WSeqConv of equal widths). Their gradients then share one tensor,
    a copy of the output's, which is there if some part reads the output.
    """
    ports, start = len(scope.ports), 0
    read = {piece.tensor for part in parts for pieces in part.arguments for piece in pieces}
    if scope.shapes[scope.ports[0]] != scope.out or ports not in read:
        return False
    for part in parts:
        own = part.results[0]
        if own is None or own.start != start:
            return False
        for piece in (p for pieces in part.arguments for p in pieces):
            if (piece.tensor == 0 and piece.start < start) or (piece.tensor == ports and piece.stop > start):
                return False
        start = own.stop
    return True


# --- ranges of channels ---


def width_of(pieces: Iterable[Piece]) -> int:
    """Channels in all."""
    return sum(piece.width for piece in pieces)


def cut(pieces: Pieces, start: int, stop: int) -> Pieces:
    """Channels [start, stop) of what the pieces make side by side."""
    found: list[Piece] = []
    offset = 0
    for tensor, first, last in pieces:
        a, b = max(start - offset, 0), min(stop - offset, last - first)
        if a < b:
            found.append(Piece(tensor, first + a, first + b))
        offset += last - first
    return tuple(found)


def joined(pieces: Iterable[Piece]) -> Pieces:
    """The same channels, neighbours as one piece."""
    result: list[Piece] = []
    for piece in pieces:
        if result and result[-1].tensor == piece.tensor and result[-1].stop == piece.start:
            piece = Piece(piece.tensor, result.pop().start, piece.stop)
        result.append(piece)
    return tuple(result)


def common(views: list[Pieces]) -> Pieces:
    """The channels that all views have."""
    return reduce(lambda a, b: tuple(p for x in a for y in b if (p := _overlap(x, y)).width > 0), views)


def without(view: Pieces, taken: Iterable[Piece]) -> Pieces:
    """The channels of a view that are not among those taken."""
    for piece in taken:
        view = tuple(
            rest
            for p in view
            for rest in (
                (p,)
                if _overlap(p, piece).width <= 0
                else (Piece(p.tensor, p.start, piece.start), Piece(p.tensor, piece.stop, p.stop))
            )
            if rest.width > 0
        )
    return view


def column(view: Pieces, wanted: Piece) -> int:
    """Where a view's channels, side by side, hold those wanted (which are part of one of its pieces)."""
    offset = 0
    for piece in view:
        if piece.tensor == wanted.tensor and piece.start <= wanted.start and wanted.stop <= piece.stop:
            return offset + wanted.start - piece.start
        offset += piece.width
    raise LookupError(wanted)


def _overlap(a: Piece, b: Piece) -> Piece:
    if a.tensor != b.tensor:
        return Piece(a.tensor, 0, 0)
    return Piece(a.tensor, max(a.start, b.start), min(a.stop, b.stop))
