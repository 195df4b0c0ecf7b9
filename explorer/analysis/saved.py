"""What each op calls in torch, what autograd keeps of it, and what its backward pass makes.

The layers are those of explorer/nn/layers.py. A call says which of its operands are saved for the backward pass (as
whole storages: a saved slice keeps what it was cut from), what else is, and how the gradients of its operands come
about. Sizes are bytes of a batch. Kernels' own workspace is not in here.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

from explorer.analysis.ledger import elements, row_of
from explorer.analysis.sliding_memory import WIDE, highest
from explorer.blocks.graph import Op, Shape

BLOCK = 512  # CUDA's caching allocator gives out multiples of it
INDEX = 8  # bytes of an index
STATISTIC = 4  # bytes of a statistic of batch norm on CUDA, also in half precision

# what a call makes: a tensor of its own, or a view of its first operand
NEW, VIEW, STRIDED, SPREAD = -1, 0, 1, 2  # views: as dense as the operand; a part of it; values repeated
FLATTENED = 3  # a view, except of repeated values: those are copied
HELD, TAKEN = 4, 5  # what was there before: counted elsewhere; counted from the start, and given up here
FOLD = 6  # several tensors, made as a fold's substitute does (fold_memory)

# the gradient of an operand: so many new bytes, or
PASSED, NARROWED = -1, -2  # the tensor that came; a part of it

# what a call copies: its input, in its backward pass the gradient that came and the input again, each if it is strided;
# there, too, the gradient it makes, if all is dense
INPUT, GRADIENT, INPUT_AGAIN, DENSE_RESULT = 1, 2, 4, 8


class Setting(NamedTuple):
    """How a network is run. element: bytes of a number, 4 in single precision, 2 in half."""

    batch: int
    element: int
    device: str  # cpu or cuda
    training: bool
    layers: str = "reference"  # nn.fast.choice.MODES

    def block(self, size: int) -> int:
        """What the allocator gives for a tensor of `size` bytes."""
        return size if self.device == "cpu" else -(-size // BLOCK) * BLOCK

    def values(self, shape: Shape, element: int | None = None) -> int:
        """Bytes of a batch of tensors."""
        return self.block(self.batch * elements(shape) * (element or self.element))

    def once(self, count: int) -> int:
        """Bytes of numbers that are there once for the batch: a parameter, a statistic."""
        return self.block(count * self.element)


class Call(NamedTuple):
    """One call of torch. Values inside an op are numbered: its inputs, then what its calls made."""

    reads: tuple[int, ...]
    size: int  # bytes of what it makes; of a view: of a copy of it
    form: int = NEW
    saves: tuple[int, ...] | None = ()  # operands, by position; None: each if the other needs a gradient
    keeps: bool = False  # its output is saved
    extra: int = 0  # made beside the output, and saved
    scratch: int = 0  # there during the call only
    packs: int = 0  # what it copies
    gradients: tuple[int, ...] = ()  # of each operand
    learned: int = 0  # gradients of parameters
    back: int = 0  # there during the call's backward pass only
    drops: tuple[int, ...] = ()  # values that are forgotten after it; those left, after the op
    fold: Any = None  # of a fold: which of its operands are parts of larger maps -> FoldMemory


Calls = list[Call]
NOTHING: tuple[int, ...] = ()


def _call(op: Op, at: Setting, **more: Any) -> Call:
    """From the op's only input to its output, each a tensor of its own."""
    return Call((0,), at.values(op.out), gradients=(at.values(op.ins[0]),), **more)


def _view(op: Op, at: Setting, form: int = VIEW) -> Calls:
    return [Call((0,), at.values(op.out), form, gradients=(PASSED,))]


def _unary(op: Op, at: Setting) -> Calls:
    return [_call(op, at)]


def _activation(op: Op, at: Setting) -> Calls:
    return [_call(op, at, keeps=True)]


def parameters(op: Op, at: Setting) -> int:
    """Bytes of an op's parameters."""
    row = row_of(op)
    scale_and_shift = 2 * at.once(row.norms // 2)
    return at.once(row.weights) + at.once(row.biases) + scale_and_shift


def buffers(op: Op, at: Setting) -> int:
    """Bytes of what an op's module keeps beside parameters: running statistics, tables of indices."""
    if op.kind == "bn":
        return 2 * at.once(op.out[0]) + at.block(INDEX)
    return sum(at.block(INDEX * side) for side in op.out[1:]) if op.kind == "upsample" else 0


def _learned(op: Op, at: Setting) -> int:
    return parameters(op, at) if at.training else 0


def _conv(op: Op, at: Setting) -> Calls:
    return [_call(op, at, saves=(0,), packs=INPUT | GRADIENT | INPUT_AGAIN, learned=_learned(op, at))]


def _linear(op: Op, at: Setting) -> Calls:
    return [_call(op, at, saves=(0,), learned=_learned(op, at))]


def _norm(op: Op, at: Setting) -> Calls:
    """On the CPU it works with a scale and a shift of its own, and may make its gradient twice."""
    vector, own = at.once(op.out[0]), at.device == "cpu"
    statistic = vector if own else at.block(op.out[0] * STATISTIC)
    return [
        _call(
            op,
            at,
            saves=(0,),
            extra=2 * statistic if at.training else 0,
            scratch=2 * vector if own else 0,
            packs=DENSE_RESULT if own else 0,
            learned=_learned(op, at),
        )
    ]


def _pool(op: Op, at: Setting) -> Calls:
    return [_pooled(op, at)]


def _pooled(op: Op, at: Setting, extra: int = 0) -> Call:
    return _call(op, at, saves=(0,), packs=INPUT | GRADIENT, extra=extra)


def _max_pool(op: Op, at: Setting) -> Calls:
    return [_pooled(op, at, at.values(op.out, INDEX))]


def _regional(op: Op, at: Setting) -> Calls:
    channels, height, width = op.ins[0]
    scale = op.attrs["scale"]
    if height % scale == 0 and width % scale == 0:
        return _pool(op, at)
    rows = [(channels, high, width) for high in _bands(scale, height)]
    columns = [(channels, scale, wide) for wide in _bands(scale, width)]
    between = (channels, scale, width)
    calls = _means(0, 1, op.ins[0], rows, (channels, 1, width), between, at)
    return calls + _means(len(calls), len(calls) + 1, between, columns, (channels, scale, 1), op.out, at)


def _bands(scale: int, side: int) -> list[int]:
    cuts = [-(-i * side // scale) for i in range(scale + 1)]
    return [b - a for a, b in pairwise(cuts)]


def _means(source: int, first: int, whole: Shape, bands: list[Shape], mean: Shape, out: Shape, at: Setting) -> Calls:
    """Slices of value `source`, their means and the concatenation of those; `first`: the number of the next value."""
    calls: Calls = []
    for band in bands:
        part = first + len(calls)
        calls.append(Call((source,), at.values(band), STRIDED, gradients=(at.values(whole),)))
        calls.append(Call((part,), at.values(mean), gradients=(at.values(band),), drops=(part,)))
    made = tuple(range(first + 1, first + len(calls), 2))
    return [*calls, Call(made, at.values(out), gradients=(NARROWED,) * len(bands))]


def _sliding(op: Op, at: Setting) -> Calls:
    if at.layers != "reference":
        return [_neighbours(op, at)]
    if op.attrs["shape"] == "diamond":
        return _diamond(op, at)
    rows = _pooled(op, at)
    return [rows, rows._replace(reads=(1,))]


def _diamond(op: Op, at: Setting) -> Calls:
    """Rows of a diamond: each a pooling along its row, shifted and added to a sum that begins at zero.

    The names of a round are given up as the next one takes them.
    """
    channels, height, width = op.out
    radius = min(op.attrs["radius"], height - 1)
    size = at.values(op.out)
    pooled, calls = _pooled(op, at), [Call((), size)]
    total, before = 1, NOTHING
    for offset in range(-radius, radius + 1):
        rows = len(calls) + 1
        part = at.values((channels, height - abs(offset), width))
        form, gradient = (STRIDED, size) if offset else (VIEW, PASSED)
        shifted = Call((rows,), part, form, gradients=(gradient,), drops=before)
        padded = Call((rows + 1,), size, gradients=(part,))
        added = Call((total, rows + 2), size, gradients=(PASSED, PASSED), drops=(total, rows + 2))
        calls += [pooled, shifted, padded, added]
        total, before = rows + 3, (rows, rows + 1)
    counts = Call((), at.once(height * width), drops=before)
    return [*calls, counts, Call((total, total + 1), size, saves=(1,), gradients=(size, 0))]


def _neighbours(op: Op, at: Setting) -> Call:
    """By partial sums (nn.fast.sliding). How many neighbours there are is saved."""
    size = at.values(op.out)
    forward, backward = highest(op, size, at.element)
    counts = at.block(op.out[1] * op.out[2] * max(at.element, WIDE))
    return _call(op, at, extra=counts, scratch=forward - size, back=backward - size)


def _upsample(op: Op, at: Setting) -> Calls:
    channels, height, width = op.out
    rows, columns = op.ins[0][1:]
    if (rows, columns) == (height, width):
        return _view(op, at)
    if rows in (1, height) and columns in (1, width):
        return [_call(op, at, form=SPREAD)]
    if height % rows == 0 and width % columns == 0:
        return _unary(op, at)
    between = at.values((channels, height, columns))
    first = Call((0,), between, gradients=(at.values(op.ins[0]),))
    return [first, Call((1,), at.values(op.out), gradients=(between,))]


def _flatten(op: Op, at: Setting) -> Calls:
    return _view(op, at, FLATTENED)


def _dropout(op: Op, at: Setting) -> Calls:
    if not at.training or op.attrs["rate"] == 0:
        return []
    return [_call(op, at, extra=at.values(op.out, at.element if at.device == "cpu" else 1))]


def _affine(op: Op, at: Setting) -> Calls:
    return [_call(op, at), Call((1,), at.values(op.out), gradients=(PASSED,))]


def _shuffle(op: Op, at: Setting) -> Calls:
    return _view(op, at) if op.attrs["groups"] in (1, op.out[0]) else _unary(op, at)


def _part(whole: Shape, start: int, stop: int, at: Setting) -> Call:
    """Channels of value 0; of a single image they are as dense as it is."""
    part = at.values((stop - start, *whole[1:]))
    if stop - start == whole[0]:
        return Call((0,), part, VIEW, gradients=(PASSED,))
    return Call((0,), part, VIEW if at.batch == 1 else STRIDED, gradients=(at.values(whole),))


def _slice(op: Op, at: Setting) -> Calls:
    return [_part(op.ins[0], op.attrs["start"], op.attrs["stop"], at)]


def _update(op: Op, at: Setting) -> Calls:
    whole, part = op.ins
    start = op.attrs["start"]
    parts = [_part(whole, 0, start, at), _part(whole, start + part[0], whole[0], at)]
    return [*parts, Call((2, 1, 3), at.values(op.out), gradients=(NARROWED, _cut(part, whole, at), NARROWED))]


def _concat(op: Op, at: Setting) -> Calls:
    gradients = tuple([_cut(part, op.out, at) for part in op.ins])
    return [Call(tuple(range(len(op.ins))), at.values(op.out), gradients=gradients)]


def _cut(part: Shape, whole: Shape, at: Setting) -> int:
    """The gradient of a part that was concatenated; of a single image its channels lie together."""
    return PASSED if at.batch == 1 or part[0] == whole[0] else NARROWED


def _pairs(operands: list[int], made: int, pair: Callable[[int], Call]) -> Calls:
    """Operands joined two by two from the left; `made`: the number of the next value."""
    calls: Calls = []
    running = operands[0]
    for right in operands[1:]:
        drops = (running,) if calls else ()
        calls.append(pair(right)._replace(reads=(running, right), drops=drops))
        running = made + len(calls) - 1
    return calls


def _add(op: Op, at: Setting) -> Calls:
    return sums(list(range(len(op.ins))), len(op.ins), at.values(op.out))


def sums(operands: list[int], made: int, size: int) -> Calls:
    """Operands added up from the left; `made`: the number of the next value."""
    return _pairs(operands, made, lambda right: Call((), size, gradients=(PASSED, PASSED)))


def _multiply(op: Op, at: Setting) -> Calls:
    size = at.values(op.out)

    def product(right: int) -> Call:
        gate = at.values(op.ins[right])
        broadcast = size if op.ins[right] != op.out else 0  # its gradient is made in full, then summed
        return Call((), size, saves=None, gradients=(size, gate), back=broadcast)

    return _pairs(list(range(len(op.ins))), len(op.ins), product)


def _mean(op: Op, at: Setting) -> Calls:
    return _mean_of(list(range(len(op.ins))), len(op.ins), at.values(op.out))


def _mean_of(operands: list[int], made: int, size: int) -> Calls:
    calls = sums(operands, made, size)
    last = made + len(calls) - 1 if calls else operands[0]
    return [*calls, Call((last,), size, gradients=(size,))]


def _shake(op: Op, at: Setting) -> Calls:
    if not at.training:
        return _mean(op, at)
    size = at.values(op.out)
    draws = at.once(at.batch * (2 if op.attrs["backward"] == "shake" else 1))
    return [Call((0, 1), size, extra=draws, scratch=2 * size, gradients=(size, size))]


def _fractal_join(op: Op, at: Setting) -> Calls:
    if not at.training:
        return _mean(op, at)
    size, n = at.values(op.out), len(op.ins)
    kept = [Call((i,), size, gradients=(size,)) for i in range(n)]
    return kept + _mean_of(list(range(n, 2 * n)), 2 * n, size)


CALLS: dict[str, Callable[[Op, Setting], Calls]] = {
    "conv": _conv,
    "linear": _linear,
    "bn": _norm,
    "relu": _activation,
    "sigmoid": _activation,
    "maxpool": _max_pool,
    "avgpool": _pool,
    "gap": _unary,
    "regional": _regional,
    "sliding": _sliding,
    "upsample": _upsample,
    "flatten": _flatten,
    "dropout": _dropout,
    "droppath": _unary,
    "affine": _affine,
    "shuffle": _shuffle,
    "shift": _unary,
    "slice": _slice,
    "pad": _unary,
    "add": _add,
    "multiply": _multiply,
    "mean": _mean,
    "shake": _shake,
    "fractaljoin": _fractal_join,
    "concat": _concat,
    "update": _update,
}


def loss_of(output: Shape, at: Setting) -> Calls:
    """Cross-entropy of a network's output."""
    size = at.values(output)
    soft = Call((0,), size, keeps=True, gradients=(size,))
    return [soft, Call((1,), at.once(1), saves=(0,), gradients=(size,))]
