"""What a fold's substitute keeps and takes (explorer/nn/fast): its program, followed with sizes in place of tensors.

The methods are those of nn.fast.forward.Run and nn.fast.backward.Back, line by line: names here live as long as there.
Random states, which the tape keeps for layers that draw, are left out (some kilobytes each).
"""

from collections.abc import Sequence
from typing import NamedTuple

from explorer.analysis.fold_units import First, Second, Tensor, Tensors, first, second
from explorer.analysis.heap import Heap, Storage
from explorer.analysis.ledger import row_of
from explorer.analysis.liveness import ops_in
from explorer.analysis.saved import Setting
from explorer.blocks.graph import Op, Scope
from explorer.nn.fast.plan import Block, Bundle, Path, Plan, Read, Window
from explorer.nn.fast.wiring import Part, Piece, Pieces

POINT = Window(1, 1, 0)
Begun = dict[Read, Storage]


class Came(NamedTuple):
    """A gradient of convolutions' outputs: bytes, and whether it is part of a map."""

    size: int
    strided: bool
    storage: Storage | None


class Weights(NamedTuple):
    """Those of some convolutions for a piece: a view, or put together."""

    piece: Piece
    rows: int  # outputs
    size: int  # bytes
    strided: bool
    storage: Storage | None  # of a copy


Pairs = list[Weights]


class Forward(NamedTuple):
    """A fold's forward pass: the most there is, its outputs, and what is kept for the backward pass.

    `kept` has the number of a convolution among the fold's ops, and bytes.
    """

    high: int
    outputs: tuple[int, ...]
    kept: tuple[tuple[int, int], ...]


class Backward(NamedTuple):
    """A fold's backward pass: the most there is, of it gradients of parameters, and what is left.

    `gradients` are those of the ports that want one.
    """

    high: int
    learned_at_high: int
    learned: int
    gradients: tuple[int, ...]


class FoldMemory:
    """A fold. `keeps`: the outputs of convolutions (balanced). `strided`: which ports are parts of larger maps."""

    def __init__(self, scope: Scope, plan: Plan, keeps: bool, strided: tuple[bool, ...], at: Setting) -> None:
        self.scope, self.plan, self.keeps, self.at = scope, plan, keeps, at._replace(layers="reference")
        self.shapes = [scope.shapes[i] for i in (*scope.ports, *scope.outputs)]
        self.strided = [*strided, *(False for _ in scope.outputs)]
        reads = [item for block in plan.blocks for bundle in block.bundles for item in bundle.reads]
        self.convs = {item: [_conv(scope, path) for path in item.paths] for item in reads}
        self.heap = Heap()
        self.firsts: dict[tuple[int, Tensors, bool, bool], First] = {}
        self.seconds: dict[tuple[int, Tensors, Tensors], Second] = {}

    # --- forward.Run ---

    def forward(self, records: bool) -> Forward:
        """For autograd, or without."""
        heap = self.heap = Heap()
        keeps = self.keeps and records
        outputs: dict[int, Storage] = {}
        tapes: dict[Storage, int] = {}
        for block in self.plan.blocks:
            begun = self.begun(block)
            for place, (part, _) in enumerate(block.members):
                given = self.given(block, place, begun)
                arguments = self.arguments(block, place)
                if keeps:
                    tapes = {**given, **tapes}
                taken = not keeps and self.at.batch > 1 and not set(given) & set(begun.values())
                unit = self.first(part, block, place, keeps, taken)
                if taken:
                    given.clear()
                heap.reach(unit.high)
                results = [heap.new(size) for size in unit.results]  # until the next part has made its own
                if unit.outside:
                    results += given
                tapes.update((heap.new(size), self.number((part.entry,)) + op) for op, size in unit.kept)
                del arguments, given
                for piece in part.results:
                    if piece is not None and piece.tensor not in outputs:
                        outputs[piece.tensor] = heap.new(self.size(piece.tensor))
        return Forward(
            heap.high, tuple([self.size(i) for i in self.outputs]), tuple([(op, s.size) for s, op in tapes.items()])
        )

    def arguments(self, block: Block, place: int) -> list[Storage]:
        """What is put together of several pieces."""
        part, bundled = block.members[place]
        given = zip(part.arguments, bundled, strict=True)
        return [self.gathered(pieces) for pieces, elsewhere in given if not elsewhere and len(pieces) > 1]

    def begun(self, block: Block) -> Begun:
        """The convolutions of what the block's parts share."""
        found: Begun = {}
        for bundle in block.bundles:
            if bundle.shared:
                made = self.read(self.shared_weights(bundle), bundle.window, self.made(bundle.reads))
                found.update(dict.fromkeys(bundle.reads, made))
        return found

    def given(self, block: Block, place: int, begun: Begun) -> dict[Storage, int]:
        """With the numbers of their convolutions."""
        made: dict[Storage, int] = {}
        for bundle, item in block.reads_of(place):
            whole, width = begun.get(item), self.made(bundle.reads)
            if item.rest or whole is None:
                width = self.made([item])
                whole = self.read(self.rest_weights(item), bundle.window, width, whole)
            for path, conv in zip(item.paths, self.convs[item], strict=True):
                z, size = whole, self.at.values(conv.out)  # noqa: F841  (a view of it, until the next one)
                made.setdefault(
                    whole if self.at.batch == 1 or size == width else self.heap.new(size), self.number(path)
                )
        return made

    def made(self, reads: Sequence[Read]) -> int:
        """Bytes of what the convolutions of some reads make."""
        return sum([self.at.values(conv.out) for item in reads for conv in self.convs[item]])

    def shared_weights(self, bundle: Bundle) -> Pairs:
        """The pieces that its reads share, with the weights of all of them."""
        return [self.weights(bundle.reads, piece) for piece in bundle.shared]

    def rest_weights(self, item: Read) -> Pairs:
        """The pieces that a read does not share, with its weights."""
        return [self.weights([item], piece) for piece, _ in item.rest]

    def weights(self, reads: Sequence[Read], piece: Piece) -> Weights:
        """Those of all convolutions of some reads for a piece; of a single one a view."""
        convs = [conv for item in reads for conv in self.convs[item]]
        rows = sum([conv.out[0] for conv in convs])
        size = self.at.once(rows * piece.width * convs[0].attrs["kernel"] ** 2)
        if len(convs) > 1:
            return Weights(piece, rows, size, False, self.heap.new(size))
        return Weights(piece, rows, size, rows > 1 and piece.width < convs[0].ins[0][0], None)

    # --- reads ---

    def read(self, pairs: Pairs, window: Window, size: int, onto: Storage | None = None) -> Storage:
        """The convolution of all pieces together, `size` bytes."""
        made = onto
        for weights in pairs:
            piece = weights.piece
            if not self.is_product(piece, window):
                self.heap.reach(size + self.copied(weights))
            elif self.is_small(weights):
                self.heap.reach(size + self.in_a_row(piece))
                if self.at.batch > 1 or made is not None:
                    self.heap.reach(2 * size)
            made = self.heap.new(size)
        assert made is not None
        return made

    def read_back(self, pairs: Pairs, window: Window, gradient: Came) -> list[Storage]:
        """Gradients of the weights; those of the maps are added to what is there."""
        found = []
        for weights in pairs:
            piece, size = weights.piece, weights.size
            of_x = self.piece(piece) if self.has[piece.tensor] else 0
            if not self.is_product(piece, window):
                self.heap.reach(self.copied(weights) + (gradient.size if gradient.strided else 0) + of_x + size)
            elif self.is_small(weights):
                alone = self.at.batch == 1 or (weights.rows == 1 and not gradient.strided)
                row = 0 if alone else gradient.size
                self.heap.reach(row + max(of_x, self.in_a_row(piece) + size))
            else:
                self.heap.reach((self.at.batch + 1) * size)
            found.append(self.heap.new(size))
        return found

    def is_small(self, weights: Weights) -> bool:
        """As nn.fast.reads has it."""
        _, height, width = self.shapes[weights.piece.tensor]
        inputs, outputs = weights.piece.width, weights.rows
        return bool(height * width * (inputs + outputs) < inputs * outputs)

    def in_a_row(self, piece: Piece) -> int:
        """Bytes of the copy that puts a piece's channels in a row."""
        return 0 if self.at.batch == 1 or self.shapes[piece.tensor][0] == 1 else self.piece(piece)

    def is_product(self, piece: Piece, window: Window) -> bool:
        """As nn.fast.reads has it."""
        return window == POINT and not self.strided[piece.tensor]

    def copied(self, weights: Weights) -> int:
        """What a convolution copies to read a piece."""
        piece = weights.piece
        return (self.piece(piece) if self.is_strided(piece) else 0) + (weights.size if weights.strided else 0)

    def gathered(self, pieces: Pieces) -> Storage:
        """Several pieces put together."""
        return self.heap.new(sum(map(self.piece, pieces)))

    # --- backward.Back ---

    def backward(self, needed: tuple[bool, ...], given: tuple[bool, ...]) -> Backward:
        """`needed`: ports that want a gradient; `given`: outputs that have one."""
        heap = self.heap = Heap()
        wiring, ports = self.plan.wiring, len(needed)
        inside = {piece.tensor for part in wiring.parts for pieces in part.arguments for piece in pieces}
        outputs = [heap.new(self.size(i)) if i in inside else None for i in self.outputs]
        inputs = [heap.new(self.size(i)) if need else None for i, need in enumerate(needed)]
        if wiring.in_place:
            inputs[0] = outputs[0]
        self.has = [*needed, *(i in inside or there for i, there in zip(self.outputs, given, strict=True))]
        if wiring.in_place:
            self.has[0] = self.has[ports]
        for block in reversed(self.plan.blocks):
            self.block(block)
        left = tuple([self.size(i) for i in range(ports) if needed[i]])
        return Backward(heap.high, heap.learned_at_high, heap.learned, left)

    def block(self, block: Block) -> None:
        """The parts of a block, then the convolutions that they share."""
        begun: Begun = {}
        if not self.keeps:
            begun = self.begun(block)
        ahead: dict[Read, Came] = {}
        for place in reversed(range(len(block.members))):
            of_layers = self.part(block, place, begun)
            for bundle, item in block.reads_of(place):
                ahead[item] = self.stacked([of_layers[self.number(path)] for path in item.paths])
                self.rest(bundle, item, ahead[item])
        for bundle in block.bundles:
            if bundle.shared:
                self.shared(bundle, self.stacked([ahead[item] for item in bundle.reads]))

    def stacked(self, gradients: list[Came]) -> Came:
        """Put together; a single one as it is."""
        if len(gradients) == 1:
            return gradients[0]
        size = sum([gradient.size for gradient in gradients])
        return Came(size, False, self.heap.new(size))

    def part(self, block: Block, place: int, begun: Begun) -> dict[int, Came]:
        """By the numbers of convolutions among the fold's ops."""
        part = block.members[place].part
        given = {} if self.keeps else self.given(block, place, begun)
        arguments = self.arguments(block, place)
        unit = self.second(part, block, place)
        self.heap.reach(unit.high, unit.learned_at_high)
        del arguments, given
        self.heap.learn(unit.learned)
        storages = {made.storage: self.heap.new(made.size) for made in unit.gradients}
        first = self.number((part.entry,))
        return {first + g.conv: Came(g.of, g.strided, storages[g.storage]) for g in unit.gradients}

    def rest(self, bundle: Bundle, item: Read, gradient: Came) -> None:
        """Through what a read has for itself; the gradients of its weights are begun."""
        for conv in self.convs[item]:
            self.heap.learn(self.at.once(row_of(conv).weights))
        found = self.read_back(self.rest_weights(item), bundle.window, gradient)
        self.heap.learn(sum([self.at.once(row_of(conv).biases) for conv in self.convs[item]]))
        del found

    def shared(self, bundle: Bundle, gradient: Came) -> None:
        """Through what the reads of a bundle share."""
        self.read_back(self.shared_weights(bundle), bundle.window, gradient)

    # --- parts ---

    def first(self, part: Part, block: Block, place: int, keeps: bool, taken: bool) -> First:
        """A part's first run, found once for parts that are alike."""
        scope, given = self.unit(part), self.tensors(block, place)
        key = id(scope), given, keeps, taken
        if key not in self.firsts:
            self.firsts[key] = first(scope, given, self.at, keeps, taken)
        return self.firsts[key]

    def second(self, part: Part, block: Block, place: int) -> Second:
        """A part's second run and its backward pass, found once for parts that are alike."""
        scope, given, seeds = self.unit(part), self.tensors(block, place), tuple(map(self.taken, part.results))
        key = id(scope), given, seeds
        if key not in self.seconds:
            self.seconds[key] = second(scope, given, self.at, self.keeps, seeds)
        return self.seconds[key]

    def taken(self, piece: Piece | None) -> Tensor | None:
        """The gradient of a part's result."""
        if piece is None or not self.has[piece.tensor]:
            return None
        wiring = self.plan.wiring
        if wiring.in_place and piece.tensor == wiring.ports:
            return Tensor(self.piece(piece), own=True)
        return Tensor(self.piece(piece), self.is_strided(piece))

    def tensors(self, block: Block, place: int) -> Tensors:
        """A part's arguments; None where the block's bundles read for it."""
        part, bundled = block.members[place]
        return tuple(
            [
                None
                if elsewhere
                else Tensor(sum(map(self.piece, pieces)), len(pieces) == 1 and self.is_strided(pieces[0]))
                for pieces, elsewhere in zip(part.arguments, bundled, strict=True)
            ]
        )

    def unit(self, part: Part) -> Scope:
        """A part's scope."""
        unit = self.scope.body[part.entry].node
        assert isinstance(unit, Scope)
        return unit

    # --- sizes ---

    @property
    def outputs(self) -> range:
        """Their numbers among the fold's tensors."""
        return range(self.plan.wiring.ports, len(self.shapes))

    def size(self, tensor: int) -> int:
        """Bytes of one of the fold's tensors."""
        return self.at.values(self.shapes[tensor])

    def piece(self, piece: Piece) -> int:
        """Bytes of a copy of a piece."""
        return self.at.values((piece.width, *self.shapes[piece.tensor][1:]))

    def is_strided(self, piece: Piece) -> bool:
        """Whether a piece, or the map that it is of, is part of a larger one."""
        part = self.at.batch > 1 and piece.width < self.shapes[piece.tensor][0]
        return part or self.strided[piece.tensor]

    def number(self, path: Path) -> int:
        """Of a path's op among all of the fold's; of a path to a scope, that of its first."""
        scope, number = self.scope, 0
        for place in path:
            number += sum([ops_in(entry.node) for entry in scope.body[:place]])
            node = scope.body[place].node
            if isinstance(node, Scope):
                scope = node
        return number


def _conv(scope: Scope, path: Path) -> Op:
    for place in path[:-1]:
        inner = scope.body[place].node
        assert isinstance(inner, Scope)
        scope = inner
    conv = scope.body[path[-1]].node
    assert isinstance(conv, Op)
    return conv
