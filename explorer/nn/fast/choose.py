"""Which substitute takes the reference's place where."""

from torch import nn

from explorer.blocks.graph import Op, Scope
from explorer.errors import UserError, nearest
from explorer.nn.fast.fold import FoldModule
from explorer.nn.fast.plan import plan_of
from explorer.nn.fast.recalibration import Recalibration, scales_of
from explorer.nn.fast.sliding import DiamondByPartialSums, SquareByPartialSums
from explorer.nn.fast.wiring import wiring_of
from explorer.nn.module import Substitute, reference

FOLDS = ("update", "aggregate", "windowed", "grow")
MODES = ("reference", "balanced", "lean")


def substitute(layers: str, block: int | None = None) -> Substitute:
    """What stands in for a scope or an op (None: the reference).

    `layers`: `balanced` keeps of a fold the outputs of its convolutions, and leaves folds alone whose parts cannot read
    piece by piece; `lean` keeps nothing but a fold's input and output. `block`: parts that are made together, by
    default floor(sqrt(P)). Raises UserError for other words.
    """
    if layers not in MODES:
        raise UserError(f"layers are reference, balanced or lean, not '{layers}'; {nearest(layers, MODES)}")
    if layers == "reference":
        return reference

    def made(node: Scope | Op) -> nn.Module | None:
        if isinstance(node, Op):
            return _sliding(node) if node.kind == "sliding" else None
        if node.kind in FOLDS:
            return _fold(node, layers == "balanced", block)
        scales = scales_of(node)
        return None if scales is None else Recalibration(node, scales)

    return made


def _fold(scope: Scope, balanced: bool, block: int | None) -> nn.Module | None:
    wiring = None if _has(scope, "fractaljoin") else wiring_of(scope)  # its draw is renewed between the two passes
    plan = wiring and plan_of(scope, wiring, block)
    return None if plan is None or (balanced and not plan.in_pieces) else FoldModule(scope, plan, balanced)


def _has(scope: Scope, kind: str) -> bool:
    nodes = [entry.node for entry in scope.body]
    return any(_has(node, kind) if isinstance(node, Scope) else node.kind == kind for node in nodes)


def _sliding(op: Op) -> nn.Module:
    _, height, width = op.ins[0]
    square, radius = op.attrs["shape"] == "square", op.attrs["radius"]
    return SquareByPartialSums(radius, height, width) if square else DiamondByPartialSums(radius)
