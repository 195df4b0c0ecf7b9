"""What each op of the reference module runs on a device, forward and backward: FLOPs, bytes and steps of each kernel.

The calls are those of explorer/nn/layers.py, batch norm reading its input twice in training.
"""

from collections.abc import Callable
from typing import NamedTuple

from explorer.analysis.convolutions import FORWARD, INPUT, WEIGHT, Setting, Work, Works, convolution, moves
from explorer.analysis.ledger import elements, row_of
from explorer.blocks.graph import Op, Shape

INDEX = 8  # bytes
MAXIMUM, MEAN = 8, 10  # steps that pooling takes for an output, beside one for each place of its window
MEAN_BACK = 4  # places that such a step takes backward
TABLE = 64  # tensors that one call of a fused optimiser updates
EVALUATION, FORWARD_PASS, BACKWARD_PASS = "evaluation", "forward pass", "backward pass"
INPUT_PASS, WEIGHT_PASS = "input gradient", "weight gradient"  # the backward pass of a convolution in two

Make = Callable[[Op, Setting], Works]


def _conv(op: Op, at: Setting) -> Works:
    return convolution(op, at, FORWARD)


def _conv_back(op: Op, at: Setting) -> Works:
    return convolution(op, at, WEIGHT)


def _product(op: Op, at: Setting) -> Work:
    """A matrix product; the weights are packed before they are read."""
    row = row_of(op)
    moved = at.batch * (row.inputs + row.outputs) + 3 * row.weights
    flops = 2.0 * row.macs * at.batch
    outputs = at.batch * row.outputs
    return Work(moved * at.element, 0, flops, "matmul", row.inputs, row.outputs, outputs)


def _linear(op: Op, at: Setting) -> Works:
    return [_product(op, at)]


def _linear_back(op: Op, at: Setting) -> Works:
    return [_product(op, at), moves(at.values(op.out))]  # and of the biases


def _loop(op: Op, at: Setting, rate: str, steps: int, *bytes_: float, calls: int = 1) -> Work:
    return Work(sum(bytes_), steps=at.batch * steps, rate=rate, calls=calls)


def _norm(op: Op, at: Setting) -> Works:
    x, n = at.values(op.out), int(elements(op.out))
    apply = _loop(op, at, "normalise", n, x, x)
    return [_loop(op, at, "statistics", n, x), apply] if at.training else [apply]  # and batches are counted


def _norm_back(op: Op, at: Setting) -> Works:
    x, n = at.values(op.out), int(elements(op.out))
    return [Work(x, x, steps=at.batch * n, rate="normalise"), moves(x, x, x, calls=0)]


def _relu(op: Op, at: Setting) -> Works:
    return [moves(at.values(op.out), at.values(op.out))]


def _mask_back(op: Op, at: Setting) -> Works:
    return [moves(*[at.values(op.out)] * 3)]


def _sigmoid(op: Op, at: Setting) -> Works:
    y = at.values(op.out)
    return [_loop(op, at, "uneven", int(elements(op.out)), y, y)]


def _pool(op: Op, at: Setting) -> Works:
    return [_averages(op, at, row_of(op).windows)]


def _pool_back(op: Op, at: Setting) -> Works:
    return [_averages(op, at, row_of(op).windows // MEAN_BACK)]


def _averages(op: Op, at: Setting, visits: int, calls: int = 1) -> Work:
    steps = calls * MEAN * int(elements(op.out)) + visits
    work = _loop(op, at, "pooling", steps, at.values(op.ins[0]), at.values(op.out), calls=calls)
    return work._replace(kernels=calls)


def _max_pool(op: Op, at: Setting) -> Works:
    y, index = at.values(op.out), at.batch * INDEX * int(elements(op.out))
    steps = row_of(op).windows + MAXIMUM * int(elements(op.out))
    return [_loop(op, at, "maxima", steps, at.values(op.ins[0]), y, index)]


def _max_pool_back(op: Op, at: Setting) -> Works:
    n = int(elements(op.out))
    return [_loop(op, at, "uneven", n, at.values(op.ins[0]), 3 * at.values(op.out), at.batch * INDEX * n)]


def _gap(op: Op, at: Setting) -> Works:
    return [moves(at.values(op.ins[0]))]


def _gap_back(op: Op, at: Setting) -> Works:
    return [_loop(op, at, "uneven", int(elements(op.ins[0])), at.values(op.ins[0]))]


def _divides(op: Op) -> bool:
    scale = op.attrs["scale"]
    return bool(op.ins[0][1] % scale == 0 and op.ins[0][2] % scale == 0)


def _regional(op: Op, at: Setting) -> Works:
    if _divides(op):
        return _pool(op, at)
    scale = op.attrs["scale"]
    return [moves(at.values(op.ins[0]), calls=scale), moves(at.values(op.out), calls=scale + 2)]


def _regional_back(op: Op, at: Setting) -> Works:
    """Each band's gradient is spread, put into zeros of the whole map's size, and added."""
    if _divides(op):
        return _pool_back(op, at)
    scale, x = op.attrs["scale"], at.values(op.ins[0])
    spread = _loop(op, at, "uneven", int(elements(op.ins[0])), x, calls=scale)
    return [spread, moves(x * scale, 2 * x, calls=scale), moves(3 * x * (scale - 1), calls=0)]


def _sliding(op: Op, at: Setting) -> Works:
    _, height, width = op.ins[0]
    radius, x, n = op.attrs["radius"], at.values(op.out), int(elements(op.out))
    if op.attrs["shape"] == "square":
        return [_averages(op, at, n * (2 * min(radius, side - 1) + 1)) for side in (height, width)]
    rows = 2 * min(radius, height - 1) + 1
    return [_averages(op, at, row_of(op).windows, rows), moves(6 * x * rows, calls=2 * rows), moves(2 * x)]


def _upsample(op: Op, at: Setting) -> Works:
    if op.ins[0] == op.out or 1 in op.ins[0][1:]:
        return _view(op, at)
    return [moves(at.values(op.ins[0]), at.values(op.out))]


def _upsample_back(op: Op, at: Setting) -> Works:
    return [] if op.ins[0] == op.out else [moves(at.values(op.out), at.values(op.ins[0]))]


def _view(op: Op, at: Setting) -> Works:
    """Only the host has work: nothing is copied."""
    return [Work(kernels=0)]


def _drops(op: Op, at: Setting) -> bool:
    return at.training and op.attrs["rate"] != 0


def _dropout(op: Op, at: Setting) -> Works:
    x = at.values(op.out)
    drawn = _loop(op, at, "random", int(elements(op.out)), x)
    return [drawn, moves(x, x), moves(x, x, x, calls=0)] if _drops(op, at) else _view(op, at)


def _dropout_back(op: Op, at: Setting) -> Works:
    return _mask_back(op, at) if _drops(op, at) else []


def _affine(op: Op, at: Setting) -> Works:
    x = at.values(op.out)
    return [moves(x, x), moves(x, x)]


def _copy(op: Op, at: Setting) -> Works:
    return [moves(at.values(op.out), at.values(op.out))]


def _shuffle(op: Op, at: Setting) -> Works:
    return [] if op.attrs["groups"] in (1, op.out[0]) else _copy(op, at)


def _cut_back(op: Op, at: Setting) -> Works:
    """A gradient put into zeros of the whole map's size."""
    return [moves(at.values(op.ins[0]), 2 * at.values(op.out))]


def _pad(op: Op, at: Setting) -> Works:
    return [moves(2 * at.values(op.ins[0]), at.values(op.out))]


def _pad_back(op: Op, at: Setting) -> Works:
    return [moves(2 * at.values(op.ins[0]))]


def _add(op: Op, at: Setting) -> Works:
    return [moves(*[at.values(op.out)] * 3) for _ in op.ins[1:]]


def _multiply(op: Op, at: Setting) -> Works:
    y = at.values(op.out)
    return [moves(y, y, at.values(gate)) for gate in op.ins[1:]]


def _multiply_back(op: Op, at: Setting) -> Works:
    y = at.values(op.out)
    works: Works = []
    for gate in op.ins[1:]:
        works += [moves(y, y, at.values(gate)), Work(2 * y, y)]
        if gate != op.out:
            works.append(moves(y, at.values(gate)))
    return works


def _mean(op: Op, at: Setting) -> Works:
    return [*_add(op, at), *_copy(op, at)]


def _shake(op: Op, at: Setting) -> Works:
    if not at.training:
        return _mean(op, at)
    y = at.values(op.out)
    return [moves(calls=4), moves(2 * y), moves(2 * y), moves(3 * y)]


def _branches(op: Op, at: Setting) -> Works:
    return [_copy(op, at)[0] for _ in op.ins]


def _fractal_join(op: Op, at: Setting) -> Works:
    return [*_branches(op, at), *_mean(op, at)] if at.training else _mean(op, at)


def _fractal_join_back(op: Op, at: Setting) -> Works:
    return [*_branches(op, at), *_copy(op, at)]


def _update_back(op: Op, at: Setting) -> Works:
    """The gradients of what stays, put into zeros of the whole map's size one by one, and added."""
    whole, part = op.ins
    x, start = at.values(whole), op.attrs["start"]
    left = [start, whole[0] - start - part[0]]
    kept = [x * width // whole[0] for width in left if width]
    return [moves(x, 2 * size) for size in kept] + [moves(3 * x)] * (len(kept) - 1)


class Run(NamedTuple):
    """An op's kernels in the forward pass, and in the backward pass those it always needs."""

    forward: Make
    backward: Make


RUNS: dict[str, Run] = {
    "conv": Run(_conv, _conv_back),
    "linear": Run(_linear, _linear_back),
    "bn": Run(_norm, _norm_back),
    "relu": Run(_relu, _mask_back),
    "sigmoid": Run(_sigmoid, _mask_back),
    "maxpool": Run(_max_pool, _max_pool_back),
    "avgpool": Run(_pool, _pool_back),
    "gap": Run(_gap, _gap_back),
    "regional": Run(_regional, _regional_back),
    "sliding": Run(_sliding, _sliding),
    "upsample": Run(_upsample, _upsample_back),
    "flatten": Run(_view, _view),
    "dropout": Run(_dropout, _dropout_back),
    "droppath": Run(_copy, _copy),
    "affine": Run(_affine, _copy),
    "shuffle": Run(_shuffle, _shuffle),
    "shift": Run(_pad, _pad_back),
    "slice": Run(_view, _cut_back),
    "pad": Run(_pad, _pad_back),
    "add": Run(_add, _view),
    "multiply": Run(_multiply, _multiply_back),
    "mean": Run(_mean, _copy),
    "shake": Run(_shake, _branches),
    "fractaljoin": Run(_fractal_join, _fractal_join_back),
    "concat": Run(_copy, _view),
    "update": Run(_copy, _update_back),
}


def forward_works(op: Op, at: Setting, strided: bool = False) -> Works:
    """Kernels of the forward pass. strided: the input is a slice, which convolutions and pooling copy first."""
    return [*_packing(op, at, strided), *RUNS[op.kind].forward(op, at)]


def backward_works(op: Op, at: Setting, strided: bool = False, wants: bool = True, learns: bool = True) -> Works:
    """Kernels of the backward pass. wants: the input needs a gradient; learns: so do the parameters."""
    works = [*_packing(op, at, strided), *RUNS[op.kind].backward(op, at)] if learns else []
    if not wants or op.kind not in ("conv", "linear"):
        return works
    if op.kind == "linear":
        return [_product(op, at), *works]
    inputs = convolution(op, at, INPUT)
    return [*(work._replace(calls=0) for work in inputs), *works] if learns else inputs


def _packing(op: Op, at: Setting, strided: bool) -> Works:
    return [moves(2 * at.values(op.ins[0]), calls=0)] if strided and op.kind in PACKED else []


PACKED = frozenset(("conv", "maxpool", "avgpool", "regional"))


def update_works(op: Op, at: Setting) -> Works:
    """SGD with momentum on an op's parameters: buf *= m; buf += g; p -= lr buf."""
    row = row_of(op)
    tensors = 2 if row.norms or row.biases else 1 if row.weights else 0
    if not tensors:
        return []
    size = (row.weights + row.biases + row.norms) * at.element
    calls = 3 * tensors
    kernels = calls / TABLE if at.fused_updates else calls
    return [Work(cold=8.0 * size, calls=kernels, kernels=kernels)]  # type: ignore[arg-type]


def loss_works(output: Shape, at: Setting) -> tuple[Works, Works]:
    """Cross-entropy, forward and backward."""
    size = at.values(output)
    return [moves(size, size), moves(size)], [moves(size), moves(size, size, size)]


def gradient_sum(shape: Shape, at: Setting) -> Work:
    """Two gradients of a value, added in place."""
    return moves(*[at.values(shape)] * 3)
