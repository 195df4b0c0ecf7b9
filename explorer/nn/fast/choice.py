"""Which scopes a substitute can stand in for, told from their structure. No torch here."""

from explorer.blocks.graph import Scope
from explorer.errors import UserError, nearest
from explorer.nn.fast.plan import Plan, plan_of
from explorer.nn.fast.scales import Scales, scales_of
from explorer.nn.fast.wiring import wiring_of

FOLDS = ("update", "aggregate", "windowed", "grow")
REFERENCE, BALANCED, LEAN = MODES = ("reference", "balanced", "lean")


def check_layers(layers: str) -> None:
    """Raises UserError for words that are no mode."""
    if layers not in MODES:
        raise UserError(f"layers are reference, balanced or lean, not '{layers}'; {nearest(layers, MODES)}")


def choice_of(scope: Scope, layers: str, block: int | None = None) -> Plan | Scales | None:
    """How a fold is made or how a recalibration reads; None where the reference stays."""
    if layers == REFERENCE:
        return None
    return _fold(scope, layers == BALANCED, block) if scope.kind in FOLDS else scales_of(scope)


def _fold(scope: Scope, balanced: bool, block: int | None) -> Plan | None:
    wiring = None if _has(scope, "fractaljoin") else wiring_of(scope)  # its draw is renewed between the two passes
    plan = wiring and plan_of(scope, wiring, block)
    return None if plan is None or (balanced and not plan.in_pieces) else plan


def _has(scope: Scope, kind: str) -> bool:
    nodes = [entry.node for entry in scope.body]
    return any(_has(node, kind) if isinstance(node, Scope) else node.kind == kind for node in nodes)
