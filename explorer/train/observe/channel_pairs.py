"""How close every two channels of a layer are to being one neuron (GUNN, sections 4.1 to 4.3).

Neurons p and q have collapsed into each other where y_p = y_q for every x: an overlap singularity (Orhan and Pitkow
2018). Here x are images, and y_p is what channel p holds at all of their positions. The distance of a pair is

    mean (y_p - y_q)^2 / (var y_p + var y_q)

0 for one neuron, 1 for two that are unrelated but for their mean, and more where means differ or signs are opposite.
Below the line stand variances and not norms: an offset that two channels share, as those have that come from a ReLU,
does not make them alike. Neurons that differ by a factor or an offset are two by the paper's definition, though the
next convolution cannot tell them apart any better; for these there is the greatest correlation of a pair, without
its sign. A channel that is constant is dead, another singularity (of elimination), and is in no pair.

Looked at are the layers that the paper's claims are about: y is the output of a fold whose parts make segments of it
(update, aggregate, windowed). An update whose segments all read the original input is the simultaneous layer, plain or
residual, so that plain, SUNN and GUNN forms of a network are compared in the same tensors and the same segments. Any
convolution is such a layer with `+ gunn(1, residual = no)`.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from explorer.blocks.graph import Scope
from explorer.nn.module import NetworkModule, ScopeModule, child_names

PARTS = {"update": "parts", "aggregate": "groups", "windowed": "groups"}  # folds, and what says how many segments
EDGES = (0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5)  # distances that are counted apart
POSITIONS = 4096  # at a time
DEAD = 1e-8  # variance of a constant channel, at most, in mean squares of the layer: what rounding leaves


def channel_pairs(module: NetworkModule, images: Tensor) -> dict[str, Any]:
    """Of each layer its channels, segments, dead channels, and the pairs `within` and `across` segments.

    Of pairs: how many, how many between neighbouring EDGES, the smallest distance and the greatest correlation (None
    where there are none). `images` [N, C, H, W], at least one.
    """
    found: list[dict[str, Any]] = []

    def look(name: str, segments: int, layer: nn.Module, given: Any, made: Any) -> None:
        found.append({"layer": name, **_layer(made[0] if isinstance(made, tuple) else made, segments)})

    with ExitStack() as hooks:
        for name, layer, segments in _folds(module, module.graph.root, ""):
            hooks.callback(layer.register_forward_hook(partial(look, name, segments)).remove)
        module(images)
    return {"images": len(images), "edges": list(EDGES), "layers": found}


def _folds(module: ScopeModule, scope: Scope, prefix: str) -> Iterator[tuple[str, nn.Module, int]]:
    """The outermost folds that make segments: name, module and number of segments."""
    for child, entry in zip(child_names(scope), scope.body, strict=True):
        inside = module._modules[child]
        if isinstance(entry.node, Scope) and isinstance(inside, ScopeModule):
            if entry.node.kind in PARTS:
                yield prefix + child, inside, int(entry.node.attrs[PARTS[entry.node.kind]])
            else:
                yield from _folds(inside, entry.node, f"{prefix}{child}.")


def _layer(y: Tensor, segments: int) -> dict[str, Any]:
    """What is told of a layer's output [N, C, H, W]."""
    channels = y.shape[1]
    mean, covariance = _moments(y.movedim(1, -1).flatten(0, -2).float())
    variance = covariance.diagonal()
    living = variance > DEAD * (variance + mean.square()).mean()
    segment = torch.tensor([i * channels // segments for i in range(1, segments)], dtype=torch.long)
    segment = torch.bucketize(torch.arange(channels), segment, right=True)
    same = segment[:, None] == segment
    pairs = (living[:, None] & living).triu(1)
    told = partial(_pairs, mean, covariance)
    return {
        "channels": channels,
        "segments": segments,
        "dead": int((~living).sum()),
        "within": told(pairs & same),
        "across": told(pairs & ~same),
    }


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Means [C] and covariances [C, C] of values [positions, C], on the CPU."""
    mean = values.mean(0)
    squares = values.new_zeros(len(mean), len(mean))
    with torch.autocast(values.device.type, enabled=False):
        for part in torch.split(values, POSITIONS):  # no second copy of the layer
            centred = part - mean
            squares.addmm_(centred.T, centred)
    return mean.cpu().double(), squares.cpu().double() / len(values)


def _pairs(mean: Tensor, covariance: Tensor, chosen: Tensor) -> dict[str, Any]:
    """What is told of the pairs that a mask [C, C] chooses; no channel of theirs is constant."""
    p, q = chosen.nonzero(as_tuple=True)
    variance, shared = covariance.diagonal(), covariance[p, q]
    total = variance[p] + variance[q]
    distance = ((total - 2 * shared + (mean[p] - mean[q]).square()) / total).clamp(min=0)
    correlation = shared.abs() / (variance[p] * variance[q]).sqrt()
    bins = torch.bucketize(distance, torch.tensor(EDGES, dtype=torch.double), right=True)
    return {
        "pairs": len(p),
        "counts": torch.bincount(bins, minlength=len(EDGES) + 1).tolist(),
        "smallest": float(distance.min()) if len(p) else None,
        "correlation": min(1.0, float(correlation.max())) if len(p) else None,
    }
