"""The modules that take the reference's place."""

from torch import nn

from explorer.blocks.graph import Op, Scope
from explorer.nn.fast.choice import BALANCED, REFERENCE, check_layers, choice_of
from explorer.nn.fast.fold import FoldModule
from explorer.nn.fast.plan import Plan
from explorer.nn.fast.recalibration import Recalibration
from explorer.nn.fast.sliding import DiamondByPartialSums, SquareByPartialSums
from explorer.nn.module import Substitute, reference


def substitute(layers: str, block: int | None = None) -> Substitute:
    """What stands in for a scope or an op (None: the reference).

    `layers`: `balanced` keeps of a fold the outputs of its convolutions, and leaves folds alone whose parts cannot read
    piece by piece; `lean` keeps nothing but a fold's input and output. `block`: parts that are made together, by
    default floor(sqrt(P)). Raises UserError for other words.
    """
    check_layers(layers)
    if layers == REFERENCE:
        return reference

    def made(node: Scope | Op) -> nn.Module | None:
        if isinstance(node, Op):
            return _sliding(node) if node.kind == "sliding" else None
        chosen = choice_of(node, layers, block)
        if isinstance(chosen, Plan):
            return FoldModule(node, chosen, layers == BALANCED)
        return None if chosen is None else Recalibration(node, chosen)

    return made


def _sliding(op: Op) -> nn.Module:
    _, height, width = op.ins[0]
    square, radius = op.attrs["shape"] == "square", op.attrs["radius"]
    return SquareByPartialSums(radius, height, width) if square else DiamondByPartialSums(radius)
