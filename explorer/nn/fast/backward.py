"""The backward pass of a fold: its parts in reverse, each run once more."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from explorer.nn.fast.forward import Begun, Run
from explorer.nn.fast.plan import Block, Bundle, Read
from explorer.nn.fast.reads import Maps, gather, read_back, scatter, stacked
from explorer.nn.fast.tape import Replayer, walk
from explorer.nn.fast.wiring import Part, Piece

Kept = tuple[list[Tensor], list[Any]]  # what a Recorder kept of one part: tensors and notes


class Back:
    """Gradients of a fold's ports and parameters.

    `maps` are its ports and outputs, `needed` tells which ports want a gradient, `given` are those of the outputs. An
    output's gradient is complete when the parts that read it have been gone through; then it is its part's.
    """

    def __init__(self, run: Run, maps: Maps, needed: tuple[bool, ...], given: tuple[Tensor | None, ...]) -> None:
        self.run, self.maps = run, maps
        wiring, ports = run.plan.wiring, len(needed)
        inside = {piece.tensor for part in wiring.parts for pieces in part.arguments for piece in pieces}
        outputs = [
            _copy(gradient, maps[tensor]) if tensor in inside else gradient
            for tensor, gradient in enumerate(given, ports)
        ]
        inputs = [torch.zeros_like(x) if need else None for need, x in zip(needed, maps, strict=False)]
        if wiring.in_place:
            inputs[0] = outputs[0]
        self.gradients: Maps = inputs + outputs
        self.of_parameters: dict[Tensor, Tensor] = {}

    def parts(self, tapes: list[Kept]) -> None:
        """Every part, then what outputs repeat of the ports."""
        end = len(tapes)
        for block in reversed(self.run.plan.blocks):
            begin = end - len(block.members)
            self.block(block, tapes[begin:end])
            end = begin
        for source, target in self.run.plan.wiring.copies:
            if self.gradients[target.tensor] is not None:
                scatter(self.gradients, (source,), gather(self.gradients, (target,)))

    def block(self, block: Block, tapes: list[Kept]) -> None:
        """The parts of a block, then the convolutions that they share."""
        begun: Begun = {}
        if not self.run.convolutions:
            with self.run.mixed.again():
                begun = self.run.begun(block, self.maps)
        ahead: dict[Read, Tensor] = {}
        for place in reversed(range(len(block.members))):
            of_layers = self.part(block, place, tapes[place], begun)
            for bundle, item in block.reads_of(place):
                ahead[item] = stacked([of_layers[layer] for layer in self.run.layers[item]], 1)
                self.rest(bundle, item, ahead[item])
        for bundle in block.bundles:
            if bundle.shared:
                self.shared(bundle, stacked([ahead[item] for item in bundle.reads], 1))

    def part(self, block: Block, place: int, kept: Kept, begun: Begun) -> dict[nn.Module, Tensor]:
        """Through a part; returns the gradients of its convolutions of the fold's maps."""
        part = block.members[place].part
        arguments, replay, results = self.replayed(block, place, kept, begun)
        weights, leaves = replay.weights, replay.leaves
        found = self.through(part, results, [*arguments.values(), *leaves.values(), *weights])
        for port, x in arguments.items():
            if x in found:
                scatter(self.gradients, part.arguments[port], found[x])
        self.of_parameters.update((p, found[p]) for p in weights if p in found)
        return {layer: found[z] if z in found else torch.zeros_like(z) for layer, z in leaves.items()}

    def replayed(
        self, block: Block, place: int, kept: Kept, begun: Begun
    ) -> tuple[dict[int, Tensor], Replayer, tuple[Tensor, ...]]:
        """A part under autograd: its arguments by port, what ran it, its results."""
        run, unit = self.run, self.run.unit(block.members[place].part)
        with run.mixed.again():
            given: dict[nn.Module, Any] = (
                {layer: None for _, item in block.reads_of(place) for layer in run.layers[item]}
                if run.convolutions
                else run.given(block, place, self.maps, begun)
            )
            replay = Replayer(run.convolutions, iter(kept[0]), iter(kept[1]), given)
            arguments = [x if x is None else _leaf(x) for x in run.arguments(block, place, self.maps)]
            with torch.enable_grad():
                results = walk(unit, arguments, replay)
        return {port: x for port, x in enumerate(arguments) if x is not None}, replay, results

    def through(self, part: Part, results: tuple[Tensor, ...], wanted: list[Tensor]) -> dict[Tensor, Tensor]:
        """Gradients of what is wanted, where there are any, from those of a part's results."""
        pairs = [
            (result, self.taken(piece).to(result.dtype))
            for piece, result in zip(part.results, results, strict=True)
            if piece is not None and self.gradients[piece.tensor] is not None
        ]
        if not pairs:
            return {}
        outputs, gradients = zip(*pairs, strict=True)
        found = torch.autograd.grad(outputs, wanted, gradients, allow_unused=True)
        return {x: gradient for x, gradient in zip(wanted, found, strict=True) if gradient is not None}

    def taken(self, piece: Piece) -> Tensor:
        """The gradient of a part's result. In place, its channels are the input's from now on."""
        wiring, gradient = self.run.plan.wiring, gather(self.gradients, (piece,))
        if not (wiring.in_place and piece.tensor == wiring.ports):
            return gradient
        taken = gradient.clone()
        gradient.zero_()
        return taken

    def rest(self, bundle: Bundle, item: Read, gradient: Tensor) -> None:
        """Through what a read has for itself; the gradients of its weights are begun."""
        layers = self.run.layers[item]
        for layer in layers:
            self.of_parameters[layer.weight] = torch.empty_like(layer.weight)
        found = read_back(self.maps, self.gradients, self.run.rest_weights(item), bundle.window, gradient)
        for (piece, column), of_weights in zip(item.rest, found, strict=True):
            self.fill([item], [column], piece, of_weights)
        of_biases = torch.split(gradient, [len(layer.weight) for layer in layers], 1)
        for layer, of_bias in zip(layers, of_biases, strict=True):
            if layer.bias is not None:
                self.of_parameters[layer.bias] = of_bias.sum((0, 2, 3))

    def shared(self, bundle: Bundle, gradient: Tensor) -> None:
        """Through what the reads of a bundle share."""
        found = read_back(self.maps, self.gradients, self.run.shared_weights(bundle), bundle.window, gradient)
        for i, (piece, of_weights) in enumerate(zip(bundle.shared, found, strict=True)):
            self.fill(bundle.reads, [item.columns[i] for item in bundle.reads], piece, of_weights)

    def fill(self, reads: Sequence[Read], columns: list[int], piece: Piece, of_weights: Tensor) -> None:
        """A piece's share of the gradients of weights, which stand one below the other."""
        row = 0
        for item, column in zip(reads, columns, strict=True):
            for layer in self.run.layers[item]:
                rows = of_weights[row : row + len(layer.weight)]
                self.of_parameters[layer.weight][:, column : column + piece.width] = rows
                row += len(rows)


def _leaf(x: Tensor) -> Tensor:
    return x.detach().requires_grad_()


def _copy(gradient: Tensor | None, like: Tensor) -> Tensor:
    """A gradient to add to, laid out as its map."""
    return torch.zeros_like(like) if gradient is None else torch.empty_like(like).copy_(gradient)
