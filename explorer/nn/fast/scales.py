"""How a recalibration with regional scales reads (MS-SAR). No torch here."""

from typing import NamedTuple

from explorer.blocks.graph import Entry, Op, Scope


class Gate(NamedTuple):
    """One scale of a recalibration, a scope that pools first and up-samples last: its place in the body.

    Where the regions are single positions there is nothing to up-sample.
    """

    place: int
    upsamples: bool
    scale: int


class Scales(NamedTuple):
    """How a recalibration reads: its gates, and which port they weight and which one they pool."""

    gates: tuple[Gate, ...]
    weighted: int
    pooled: int


def scales_of(scope: Scope) -> Scales | None:
    """How a scope recalibrates; None where it is another kind of network."""
    body = list(scope.body)
    if not body or not _is(body[-1], "multiply") or len(body[-1].inputs) != 2 or body[-1].outputs != scope.outputs:
        return None
    weighted, weights = body.pop().inputs
    made: tuple[int, ...] = (weights,)
    if body and _is(body[-1], "mean"):
        if body[-1].outputs != made:
            return None
        made = body.pop().inputs
    pooled = {entry.inputs for entry in body}
    if len(pooled) != 1 or tuple(value for entry in body for value in entry.outputs) != made:
        return None
    source = pooled.pop()
    gates = [gate for place, entry in enumerate(body) if (gate := _gate(place, entry)) is not None]
    if len(gates) < len(body) or len(source) != 1 or not {*source, weighted} <= set(scope.ports):
        return None
    if len({gate.scale for gate in gates}) < len(gates):
        return None
    return Scales(tuple(gates), scope.ports.index(weighted), scope.ports.index(source[0]))


def _gate(place: int, entry: Entry) -> Gate | None:
    """A gate: a chain from regional to upsample that treats every region alike and by itself."""
    scope = entry.node
    if not isinstance(scope, Scope):
        return None
    first, *between = scope.body
    upsamples = bool(between) and _is(between[-1], "upsample")
    reads = [value for inner in scope.body for value in inner.inputs]
    whole = reads.count(scope.ports[0]) == 1 and scope.body[-1].outputs == scope.outputs
    if not (whole and _is(first, "regional") and all(map(_is_pointwise, between[:-1] if upsamples else between))):
        return None
    assert isinstance(first.node, Op)
    return Gate(place, upsamples, first.node.attrs["scale"])


def _is_pointwise(entry: Entry) -> bool:
    op = entry.node
    if not isinstance(op, Op):
        return False
    a = op.attrs
    return op.kind in ("bn", "relu", "sigmoid") or (
        op.kind == "conv" and a["kernel"] == a["stride"] == a["groups"] == 1 and not a["pad"]
    )


def _is(entry: Entry, kind: str) -> bool:
    return isinstance(entry.node, Op) and entry.node.kind == kind
