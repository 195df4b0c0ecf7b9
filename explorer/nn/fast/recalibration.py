"""MS-SAR with regional scales: one pass over the map for all of them, and no map of gates.

Where K divides K', each region of the coarser grid is a union of regions of the finer one, on maps of any size:
floor(floor(r K' / H) / (K' / K)) = floor(r K / H). So the finest grid is pooled from the map and the coarser ones from
it (where regions are of equal size, so that a mean of means is the mean), and the gates are added up on the finest
grid. Of that only rows are drawn out, to be multiplied with each row of the map that they belong to.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from explorer.blocks.graph import Scope
from explorer.nn.fast.guard import Guard
from explorer.nn.fast.scales import Gate, Scales
from explorer.nn.fast.tape import walk
from explorer.nn.layers import Regional, Upsample
from explorer.nn.module import ScopeModule


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
            made[gate.scale] = _layers(module, gate)[0](x)
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

    return walk(_scope(module, gate), (None,), call)[0].view(n, scale, scale, -1).permute(0, 3, 1, 2).contiguous()


def _weighted(module: ScopeModule, scales: Scales, x: Tensor, grids: dict[int, Tensor]) -> Tensor:
    """x times the sum of gates on these grids."""
    n, channels, height, width = x.shape
    scale = max(grids)
    if len(grids) == scale == 1:
        return x * grids[1]
    if len(grids) == 1 and _is_even(x, scale):
        rows = grids[scale].repeat_interleave(width // scale, 3).unsqueeze(3)
        return (x.view(n, channels, scale, height // scale, width) * rows).view(x.shape)
    layers = {gate.scale: _layers(module, gate)[-1] for gate in scales.gates if gate.upsamples}
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


def _scope(module: ScopeModule, gate: Gate) -> ScopeModule:
    scope = module._modules[module.plan[gate.place][0]]
    assert isinstance(scope, ScopeModule)
    return scope


def _layers(module: ScopeModule, gate: Gate) -> list[Any]:
    """A gate's layers: it pools first, and up-samples last if it does."""
    scope = _scope(module, gate)
    return [scope._modules[name] for name, *_ in scope.plan]
