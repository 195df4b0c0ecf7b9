"""The forward pass of a fold, block by block."""

from typing import Any

import torch
from torch import Tensor, nn

from explorer.nn.fast.plan import Block, Bundle, Path, Plan, Read
from explorer.nn.fast.reads import Maps, Pairs, gather, read, stacked
from explorer.nn.fast.tape import Mixed, Recorder, walk
from explorer.nn.fast.wiring import Part, Piece
from explorer.nn.module import ScopeModule

Begun = dict[Read, Tensor]  # convolutions of what a block's parts share


class Run:
    """A fold as it is run once. `convolutions`: whether their outputs are kept for the backward pass."""

    def __init__(self, fold: ScopeModule, plan: Plan, convolutions: bool, mixed: Mixed) -> None:
        self.fold, self.plan, self.convolutions, self.mixed = fold, plan, convolutions, mixed
        self.layers = {
            item: [_layer(fold, path) for path in item.paths]
            for block in plan.blocks
            for bundle in block.bundles
            for item in bundle.reads
        }

    def forward(self, ports: tuple[Tensor, ...], tapes: list[Recorder] | None) -> tuple[Tensor, ...]:
        """The fold's outputs; to `tapes`, if any, what each part leaves for the backward pass."""
        maps: Maps = [*(x.detach() for x in ports), *(None for _ in self.plan.wiring.widths)]
        with self.mixed.again():
            for block in self.plan.blocks:
                begun = self.begun(block, maps)
                for place, (part, _) in enumerate(block.members):
                    tape = Recorder(self.convolutions and tapes is not None, self.given(block, place, maps, begun))
                    results = walk(self.unit(part), self.arguments(block, place, maps), tape)
                    for piece, result in zip(part.results, results, strict=True):
                        if piece is not None:
                            self.write(maps, piece, result)
                    if tapes is not None:
                        tapes.append(tape)
        return tuple(maps[len(ports) :])

    def unit(self, part: Part) -> ScopeModule:
        """A part's module."""
        unit = _inside(self.fold, part.entry)
        assert isinstance(unit, ScopeModule)
        return unit

    # --- what a part reads ---

    def arguments(self, block: Block, place: int, maps: Maps) -> list[Tensor | None]:
        """A part's arguments by port; None where the block's bundles read for it."""
        part, bundled = block.members[place]
        return [
            None if elsewhere else gather(maps, pieces)
            for pieces, elsewhere in zip(part.arguments, bundled, strict=True)
        ]

    def begun(self, block: Block, maps: Maps) -> Begun:
        """The convolutions of what the block's parts share."""
        found: Begun = {}
        for bundle in block.bundles:
            if bundle.shared:
                made = read(maps, self.shared_weights(bundle), bundle.window, self.mixed.dtype)
                found.update(zip(bundle.reads, torch.split(made, self.widths(bundle), 1), strict=True))
        return found

    def given(self, block: Block, place: int, maps: Maps, begun: Begun) -> dict[nn.Module, Tensor]:
        """The outputs of a part's convolutions of the fold's maps."""
        made: dict[nn.Module, Tensor] = {}
        for bundle, item in block.reads_of(place):
            whole = begun.get(item)
            if item.rest or whole is None:
                whole = read(maps, self.rest_weights(item), bundle.window, self.mixed.dtype, whole)
            layers = self.layers[item]
            for layer, z in zip(layers, torch.split(whole, [len(layer.weight) for layer in layers], 1), strict=True):
                made[layer] = z.contiguous()
                if layer.bias is not None:
                    made[layer] += layer.bias[:, None, None]
        return made

    def widths(self, bundle: Bundle) -> list[int]:
        """Channels that each of its reads makes."""
        return [sum(len(layer.weight) for layer in self.layers[item]) for item in bundle.reads]

    def shared_weights(self, bundle: Bundle) -> Pairs:
        """The pieces that its reads share, with the weights of all of them, one below the other."""
        return [
            (piece, stacked([w for item in bundle.reads for w in self.weights(item, item.columns[i], piece)], 0))
            for i, piece in enumerate(bundle.shared)
        ]

    def rest_weights(self, item: Read) -> Pairs:
        """The pieces that a read does not share, with its weights."""
        return [(piece, stacked(self.weights(item, column, piece), 0)) for piece, column in item.rest]

    def weights(self, item: Read, column: int, piece: Piece) -> list[Tensor]:
        """The weights of a read's convolutions for a piece."""
        return [layer.weight[:, column : column + piece.width] for layer in self.layers[item]]

    # --- what a part makes ---

    def write(self, maps: Maps, piece: Piece, result: Tensor) -> None:
        """A part's result to its place in an output."""
        if maps[piece.tensor] is None:
            maps[piece.tensor] = self.output(maps, piece.tensor, result)
        gather(maps, (piece,)).copy_(result)

    def output(self, maps: Maps, tensor: int, result: Tensor) -> Tensor:
        """An output that holds so far what it repeats of the ports."""
        wiring, x = self.plan.wiring, maps[0]
        shape = (len(result), wiring.widths[tensor - wiring.ports], *result.shape[2:])
        dtype = torch.promote_types(result.dtype, x.dtype) if wiring.updates else result.dtype
        last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        order = torch.channels_last if last else torch.contiguous_format
        made = torch.empty(shape, dtype=dtype, device=result.device, memory_format=order)
        for source, target in wiring.copies:
            if target.tensor == tensor:
                made[:, target.start : target.stop] = gather(maps, (source,))
        return made


def _layer(fold: ScopeModule, path: Path) -> nn.Conv2d:
    """A convolution by its path: it may have been exchanged since the fold was built."""
    module: Any = fold
    for place in path:
        module = _inside(module, place)
    assert isinstance(module, nn.Conv2d)
    return module


def _inside(scope: ScopeModule, place: int) -> Any:
    """The module of an entry of a scope's body."""
    return scope._modules[scope.plan[place][0]]
