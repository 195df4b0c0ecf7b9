"""How heavily each group of a sequential convolution uses its input and the groups before it (SeqConv, section 4.5).

In the exploded view a layer is its groups, one row each in the order in which they are computed, and what they read:
first the input, then the groups that others read, one column each. The value of a connection is the mean absolute
weight with which the group reads that column's channels: over its outputs, those channels and the kernel (as DenseNet's
experiment has it, Huang et al. 2017, section 5). It is None where the group does not take part.

The input's columns are as wide as a group where that divides it, as in a stack of such layers, and else one column
for each range of channels that is read as a whole: a dense block's input is one column, as in DenseNet's figure.

Which channels a group reads is found by running the fold on ranges of channels (nn.fast.wiring), and which of its
convolutions read them by the same inside the group, where BN, ReLU and what else keeps channels apart is looked
through. So aggregate, windowed, grow and update are served alike, and by plain layers and their substitutes, which
hold the same parameters under the same names.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from explorer.blocks.graph import Op, Scope
from explorer.nn.fast.choice import FOLDS
from explorer.nn.fast.wiring import MOVES, Piece, Pieces, Wiring, wiring_of
from explorer.nn.module import NetworkModule, ScopeModule, child_names

KEEPS_CHANNELS = ("bn", "relu", "sigmoid", "dropout", "droppath", "affine", "shift")
DIGITS = 4  # that are kept of a mean


class Read(NamedTuple):
    """A convolution of a group, and the fold's channels that it reads."""

    layer: nn.Conv2d
    channels: Pieces


def group_weights(module: NetworkModule, images: Tensor) -> dict[str, Any]:
    """The matrices of all sequential convolutions, by their names, in the order of the network. `images` are not used.

    Each is a list of `rows`, one for each group; the first `inputs` columns are the input, the others the groups.
    """
    return {"layers": [{"layer": name, **matrix} for name, matrix in _folds(module, module.graph.root, "")]}


def _folds(module: ScopeModule, scope: Scope, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The outermost folds whose wiring is known and whose groups have convolutions."""
    for child, entry in zip(child_names(scope), scope.body, strict=True):
        inside, node = module._modules[child], entry.node
        if not isinstance(node, Scope) or not isinstance(inside, ScopeModule):
            continue
        if node.kind not in FOLDS:
            yield from _folds(inside, node, f"{prefix}{child}.")
        elif (wiring := wiring_of(node)) is not None and any(reads := _groups(inside, node, wiring)):
            yield prefix + child, _matrix(reads, wiring)


def _groups(fold: ScopeModule, scope: Scope, wiring: Wiring) -> list[list[Read]]:
    """What each group reads."""
    names, found = child_names(scope), []
    for part in wiring.parts:
        reads: list[Read] = []
        _follow(fold._modules[names[part.entry]], scope.body[part.entry].node, part.arguments, reads)
        found.append(reads)
    return found


def _follow(module: nn.Module | None, node: Scope | Op, given: tuple[Pieces, ...], reads: list[Read]) -> list[Pieces]:
    """Collect the convolutions that read given channels; returns what comes out unmixed (nothing of what is mixed)."""
    if isinstance(node, Op):
        if isinstance(module, nn.Conv2d) and given[0]:
            reads.append(Read(module, given[0]))
        move = _move(node) if all(given) else None
        return [() if move is None else move(node, given)]
    assert isinstance(module, ScopeModule)
    values = dict(zip(node.ports, given, strict=True))
    for child, entry in zip(child_names(node), node.body, strict=True):
        made = _follow(module._modules[child], entry.node, tuple(values[i] for i in entry.inputs), reads)
        values.update(zip(entry.outputs, made, strict=True))
    return [values[i] for i in node.outputs]


def _matrix(reads: list[list[Read]], wiring: Wiring) -> dict[str, Any]:
    """The rows of one layer."""
    groups = [part.results[0] for part in wiring.parts if part.results[0] is not None]
    channels = [piece for group in reads for read in group for piece in read.channels]
    inputs = _input_columns(channels, groups, wiring)
    columns = [*inputs, *(group for group in groups if any(_shared(group, piece) for piece in channels))]
    return {"inputs": len(inputs), "rows": [_row(group, columns) for group in reads]}


def _move(op: Op) -> Callable[[Op, tuple[Pieces, ...]], Pieces] | None:
    """What an op does to ranges of channels, if it moves or keeps them."""
    return (lambda op, known: known[0]) if op.kind in KEEPS_CHANNELS else MOVES.get(op.kind)


def _input_columns(channels: list[Piece], groups: list[Piece], wiring: Wiring) -> list[Piece]:
    """The input's channels that any group reads, cut into columns."""
    found: list[Piece] = []
    for tensor in range(wiring.ports):
        edges = {edge for piece in channels if piece.tensor == tensor for edge in (piece.start, piece.stop)}
        first, last, widths = min(edges, default=0), max(edges, default=0), {group.width for group in groups}
        if len(widths) == 1 and (last - first) % max(widths) == 0:
            edges |= set(range(first, last, max(widths)))
        found += [Piece(tensor, *edge) for edge in pairwise(sorted(edges))]
    return found


def _row(reads: list[Read], columns: list[Piece]) -> list[float | None]:
    """The mean absolute weight of each column's channels, over all convolutions of a group that read them."""
    total, number = [0.0] * len(columns), [0] * len(columns)
    for read in reads:
        means, weights = _by_channel(read.layer)
        offset = 0
        for piece in read.channels:
            own = means[offset : offset + piece.width]
            offset += piece.width
            for place, column in enumerate(columns):
                if shared := _shared(piece, column):
                    a, b = shared
                    total[place] += weights * float(own[a - piece.start : b - piece.start].sum())
                    number[place] += weights * (b - a)
    return [_rounded(a / b) if b else None for a, b in zip(total, number, strict=True)]


def _shared(a: Piece, b: Piece) -> tuple[int, int] | None:
    """The channels that two pieces have in common."""
    start, stop = max(a.start, b.start), min(a.stop, b.stop)
    return (start, stop) if a.tensor == b.tensor and start < stop else None


def _by_channel(layer: nn.Conv2d) -> tuple[Tensor, int]:
    """For each channel that a convolution reads the mean absolute weight [C], and how many weights that is."""
    weight = layer.weight.detach()
    weight = weight.reshape(layer.groups, -1, *weight.shape[1:])  # subgroups, outputs, channels, kernel, kernel
    number = weight[0, :, 0].numel()
    return torch.linalg.vector_norm(weight, 1, (1, 3, 4), dtype=torch.double).flatten().cpu() / number, number


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
