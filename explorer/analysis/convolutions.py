"""What a convolution and its gradients run: how libraries pad, rearrange and unroll it.

Bytes are hot if they were just made or are about to be read, cold if they wait from the forward pass to the backward
pass. A step is one turn of a loop whose rate neither memory nor FLOPs explain, such as a CPU's sums in double
precision.
"""

from typing import NamedTuple

from explorer.analysis.ledger import elements, row_of
from explorer.blocks.graph import Op, Shape

PAGE = 4096  # bytes
FORWARD, INPUT, WEIGHT = "forward", "input_gradient", "weight_gradient"  # engines, as device.Achieved has them
PACKING = {FORWARD: 2, INPUT: 5, WEIGHT: 2}  # times that weights move for an image's product; transposed, by columns
ONEDNN_BATCH, ONEDNN_ELEMENTS = 16, 20480  # torch's use_mkldnn (aten/src/ATen/native/Convolution.cpp)


class Setting(NamedTuple):
    """How a network is run. lanes, group_lanes, reorders: see device.Form."""

    batch: int
    element: int  # bytes of a number
    training: bool
    lanes: int
    group_lanes: int
    reorders: bool
    threads: int  # of a CPU; 0: another device
    fused_updates: bool

    def values(self, shape: Shape) -> int:
        """Bytes of a batch of tensors."""
        return self.batch * self.element * int(elements(shape))


class Work(NamedTuple):
    """A kernel, or several alike. `calls`: of the host; 0: another call starts it too."""

    hot: float = 0
    cold: float = 0
    flops: float = 0  # those for padding included
    engine: str = ""
    summands: int = 0  # of each output
    channels: int = 0  # of a group's output
    outputs: int = 0
    steps: float = 0
    rate: str = ""
    ragged: float = 0  # those of the hot bytes that are rearranged although their channels do not fill lanes
    aliased: float = 0  # and of those from planes that a page's size divides, so that their rows meet in the cache
    reorders: bool = False
    by_image: bool = False  # a matrix product for each
    prepared: bool = False  # by the library, for its shape
    calls: int = 1
    kernels: int = 1
    rounds: int = 0  # images x groups, one by one


Works = list[Work]


def moves(*bytes_: float, calls: int = 1) -> Work:
    """Bytes that are only moved, all hot."""
    return Work(sum(bytes_), calls=calls, kernels=max(1, calls))


def _native(op: Op, at: Setting) -> bool:
    """Whether torch does not give a convolution to oneDNN: small ones on a single thread."""
    if not at.threads:
        return False
    kernel, groups = op.attrs["kernel"], op.attrs["groups"]
    point = kernel == 1 and op.attrs["stride"] == 1 and at.threads == 1 and at.batch < ONEDNN_BATCH
    small = groups == 1 and kernel <= 3 and at.batch == 1 and elements(op.ins[0]) <= ONEDNN_ELEMENTS
    return bool(point or small)


def _padded(op: Op, at: Setting, engine: str) -> float | None:
    """FLOPs done for each that is needed; None: the library has no kernel for such groups and unrolls windows."""
    groups = op.attrs["groups"]
    reads, makes = op.ins[0][0] // groups, op.out[0] // groups
    if at.group_lanes and groups > 1 and not (reads == makes == 1):
        if reads % at.group_lanes == 0 and makes % at.group_lanes == 0:
            return 1.0
        return 2.0 if engine != WEIGHT and 2 * reads == 2 * makes == at.group_lanes else None
    if groups > 1 and reads == 1:
        return 1.0
    lanes = at.lanes
    outputs = reads if engine == INPUT else makes
    padded = -(-outputs // lanes) * lanes / outputs
    summed = makes if engine == INPUT else reads
    return float(padded * (-(-summed // lanes) * lanes / summed if summed >= lanes else 1))


def convolution(op: Op, at: Setting, engine: str) -> Works:
    """The kernels of a convolution, or of one of its gradients."""
    a = op.attrs
    groups, window = a["groups"], a["kernel"] ** 2
    reads, makes = op.ins[0][0] // groups, op.out[0] // groups
    row = row_of(op)
    x, y, weights = at.values(op.ins[0]), at.values(op.out), row.weights * at.element
    summands, channels = (makes * window, reads) if engine == INPUT else (reads * window, makes)
    flops = 2.0 * row.macs * at.batch
    if engine == INPUT and a["kernel"] == 1 and at.threads:
        flops *= a["stride"]  # oneDNN computes it also where no output looks, for whole rows
    outputs = (x if engine == INPUT else y) // at.element  # the long sums of weight gradients are split
    cold = x if engine == WEIGHT else 0
    work = Work(x + y + weights - cold, cold, flops, engine, summands, channels, outputs)
    padded = None if _native(op, at) else _padded(op, at, engine)
    if padded is None:
        return _by_image(op, at, work)
    channels = groups * channels
    work = work._replace(flops=flops * padded, channels=channels, prepared=True)
    if not at.reorders:
        return [work]
    ragged = aliased = 0
    for size, (width, high, wide) in ((x, op.ins[0]), (y, op.out)):
        ragged += size if width % at.lanes and width > at.lanes // 2 else 0
        aliased += size if high * wide * at.element % PAGE == 0 else 0
    moved = 2.0 * (x + y + weights)
    return [work, Work(moved, ragged=2.0 * ragged, aliased=2.0 * aliased, reorders=True, calls=0)]


def _by_image(op: Op, at: Setting, work: Work) -> Works:
    """A matrix product for each image and group, its windows unrolled, its weights packed or its results added."""
    pixels, weights = op.out[1] * op.out[2], row_of(op).weights * at.element
    packing = PACKING[work.engine] * at.batch * weights
    work = work._replace(rounds=at.batch * op.attrs["groups"], hot=work.hot + packing, by_image=True)
    if work.engine != WEIGHT:
        work = work._replace(flops=work.flops * -(-pixels // at.lanes) * at.lanes / pixels)
    window = op.attrs["kernel"] ** 2
    if window == 1:
        return [work]
    unrolled = at.values((op.ins[0][0] * window, op.out[1], op.out[2]))
    return [moves(unrolled, unrolled, calls=0), work]
