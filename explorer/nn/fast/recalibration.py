"""MS-SAR with regional scales: one pass over the map for all of them, and no map of gates.

Where K divides K', each region of the coarser grid is a union of regions of the finer one, on maps of any size:
floor(floor(r K' / H) / (K' / K)) = floor(r K / H). So the finest grid is pooled from the map and the coarser ones from
it (where regions are of equal size, so that a mean of means is the mean), and the gates are added up on the finest
grid. Of that only rows are drawn out, to be multiplied with each row of the map that they belong to.
"""

from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from explorer.blocks.graph import Entry, Op, Scope
from explorer.nn.fast.guard import Guard
from explorer.nn.fast.tape import walk
from explorer.nn.layers import Regional, Upsample
from explorer.nn.module import ScopeModule, child_names


class Gate(NamedTuple):
    """One scale of a recalibration: its module's name, and those of its layers that pool and up-sample.

    Where the regions are single positions there is nothing to up-sample.
    """

    name: str
    pool: str
    upsample: str | None
    scale: int


class Scales(NamedTuple):
    """How a recalibration reads: its gates, and which port they weight and which one they pool."""

    gates: tuple[Gate, ...]
    weighted: int
    pooled: int


class Recalibration(ScopeModule):
    """multiply { it | mean K in scales { from, regional(K), ..., upsample(it) } }"""

    def __init__(self, scope: Scope, scales: Scales) -> None:
        super().__init__(scope)
        self.fast = scales, Guard(self)

    def forward(self, *arguments: Tensor) -> Any:
        """The scope's tensors [N, C, H, W] to what is recalibrated."""
        scales, guard = self.fast
        if guard.parameters(self) is None:
            return super().forward(*arguments)
        means = _means(self, scales, arguments[scales.pooled])
        gates = {gate.scale: _made(self, gate, means[gate.scale]) for gate in scales.gates}
        grids = {scale: grid / len(gates) for scale, grid in _on_finest(gates).items()}
        return _weighted(self, scales, arguments[scales.weighted], grids)


def _means(module: ScopeModule, scales: Scales, x: Tensor) -> dict[int, Tensor]:
    """[N, C, H, W] -> of each scale [N, C, K, K], the finest first."""
    made: dict[int, Tensor] = {}
    for gate in sorted(scales.gates, key=lambda gate: -gate.scale):
        finer = [k for k in made if k % gate.scale == 0 and _is_even(x, k)]
        if finer or _is_even(x, gate.scale):
            made[gate.scale] = _even_means(made[min(finer)] if finer else x, gate.scale)
        else:
            made[gate.scale] = module.get_submodule(f"{gate.name}.{gate.pool}")(x)
    return made


def _is_even(x: Tensor, scale: int) -> bool:
    return x.shape[2] % scale == 0 == x.shape[3] % scale


def _even_means(x: Tensor, scale: int) -> Tensor:
    """Means over regions of equal size, first over their rows."""
    n, channels, height, width = x.shape
    rows = x.view(n, channels, scale, height // scale, width).mean(3)
    return rows.view(n, channels, scale, scale, width // scale).mean(4)


def _made(module: ScopeModule, gate: Gate, means: Tensor) -> Tensor:
    """A gate's layers between pooling and up-sampling, [N, C, K, K] -> [N, C', K, K], one vector for each region."""
    n, channels, scale, _ = means.shape
    vectors = means.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1)

    def call(layer: nn.Module, *inputs: Tensor) -> Tensor:
        if isinstance(layer, Regional):
            return vectors
        if isinstance(layer, nn.Conv2d):
            return F.linear(inputs[0].flatten(1), layer.weight.flatten(1), layer.bias)[:, :, None, None]
        made: Tensor = inputs[0] if isinstance(layer, Upsample) else layer(*inputs)
        return made

    scope = module._modules[gate.name]
    assert isinstance(scope, ScopeModule)
    return walk(scope, (None,), call)[0].view(n, scale, scale, -1).permute(0, 3, 1, 2).contiguous()


def _weighted(module: ScopeModule, scales: Scales, x: Tensor, grids: dict[int, Tensor]) -> Tensor:
    """x times the sum of gates on these grids."""
    n, channels, height, width = x.shape
    scale = max(grids)
    if len(grids) == scale == 1:
        return x * grids[1]
    if len(grids) == 1 and _is_even(x, scale):
        rows = grids[scale].repeat_interleave(width // scale, 3).unsqueeze(3)
        return (x.view(n, channels, scale, height // scale, width) * rows).view(x.shape)
    layers = {
        gate.scale: module.get_submodule(f"{gate.name}.{gate.upsample}") for gate in scales.gates if gate.upsample
    }
    gates: list[Tensor] = [layers[scale](grid) if scale in layers else grid for scale, grid in grids.items()]
    return x * sum(gates[1:], gates[0])


def _on_finest(gates: dict[int, Tensor]) -> dict[int, Tensor]:
    """Gates added up on the finest grid that each of them fits on."""
    grids: dict[int, Tensor] = {}
    for scale, gate in sorted(gates.items()):
        for coarser in [k for k in grids if scale % k == 0]:
            times = scale // coarser
            gate = gate + grids.pop(coarser).repeat_interleave(times, 2).repeat_interleave(times, 3)
        grids[scale] = gate
    return grids


def scales_of(scope: Scope) -> Scales | None:
    """How a scope recalibrates; None where it is another kind of network."""
    names, body = child_names(scope), list(scope.body)
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
    gates = [gate for name, entry in zip(names, body, strict=False) if (gate := _gate(name, entry)) is not None]
    if len(gates) < len(body) or len(source) != 1 or not {*source, weighted} <= set(scope.ports):
        return None
    if len({gate.scale for gate in gates}) < len(gates):
        return None
    return Scales(tuple(gates), scope.ports.index(weighted), scope.ports.index(source[0]))


def _gate(name: str, entry: Entry) -> Gate | None:
    """A gate: a chain from regional to upsample that treats every region alike and by itself."""
    scope = entry.node
    if not isinstance(scope, Scope):
        return None
    names, (first, *between) = child_names(scope), scope.body
    upsample = names[-1] if between and _is(between[-1], "upsample") else None
    reads = [value for inner in scope.body for value in inner.inputs]
    whole = reads.count(scope.ports[0]) == 1 and scope.body[-1].outputs == scope.outputs
    if not (whole and _is(first, "regional") and all(map(_is_pointwise, between[:-1] if upsample else between))):
        return None
    assert isinstance(first.node, Op)
    return Gate(name, names[0], upsample, first.node.attrs["scale"])


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
