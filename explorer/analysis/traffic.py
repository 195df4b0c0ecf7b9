"""What multiply-adds cannot see: kernel launches and bytes moved by the reference module in evaluation.

A launch is a call of torch that computes or copies. It reads each input and its weights once and writes its output
once. Views are free: slices, flattening, dropout in evaluation, the up-sampling of a single value. What such an
up-sampled value holds in memory, not what it stands for, is what its readers read. Nothing is fused.
"""

from collections.abc import Callable
from typing import NamedTuple

from explorer.analysis.ledger import ELEMENT_BYTES, elements, row_of
from explorer.blocks.graph import Op, Scope

INDEX = 2  # elements of four bytes in an index, which has eight
Held = tuple[int | None, ...]  # elements that each value has in memory; None: as many as its shape says


class Launch(NamedTuple):
    """A call, or several alike: elements of an image read and written, and those moved once for the whole batch."""

    read: int
    written: int
    shared: int = 0  # weights, statistics, tables of indices
    copies: bool = False  # elements are only moved
    calls: int = 1


class Traffic(NamedTuple):
    """Launches, and the elements they move."""

    launches: int = 0
    moved: int = 0  # for every image
    shared: int = 0  # once for the whole batch
    copied: int = 0  # the part of `moved` by launches that only copy
    shared_copied: int = 0  # and of `shared`

    def bytes_moved(self, batch: int = 1) -> int:
        """Bytes read and written in single precision."""
        return ELEMENT_BYTES * (batch * self.moved + self.shared)

    def bytes_copied(self, batch: int = 1) -> int:
        """The part of them that concatenation, update, padding and up-sampling move."""
        return ELEMENT_BYTES * (batch * self.copied + self.shared_copied)


class Flow(NamedTuple):
    """The traffic of a scope: in all, of each entry, what each entry is given and what the scope hands on."""

    total: Traffic
    parts: tuple[Traffic, ...]
    given: tuple[Held, ...]
    made: Held


Launches = list[Launch]
Reads = tuple[int, ...]  # elements in memory of each input


def _weighted(op: Op, reads: Reads) -> Launches:
    row = row_of(op)
    return [Launch(reads[0], row.outputs, row.weights + row.biases)]


def _norm(op: Op, reads: Reads) -> Launches:
    return [Launch(reads[0], elements(op.out), 4 * op.out[0])]  # scale, shift, mean, variance


def _single(op: Op, reads: Reads) -> Launches:
    return [Launch(sum(reads), elements(op.out))]


def _max_pool(op: Op, reads: Reads) -> Launches:
    return [Launch(reads[0], (1 + INDEX) * elements(op.out))]  # torch writes the places of the maxima too


def _nothing(op: Op, reads: Reads) -> Launches:
    return []


def _copy(op: Op, reads: Reads) -> Launches:
    return [Launch(sum(reads), elements(op.out), copies=True)]


def _update(op: Op, reads: Reads) -> Launches:
    whole, part = op.ins
    kept = reads[0] * (whole[0] - part[0]) // whole[0]
    return [Launch(kept + reads[1], elements(op.out), copies=True)]


def _pairwise(op: Op, reads: Reads) -> Launches:
    made = elements(op.out)
    running = reads[0]
    launches = []
    for read in reads[1:]:
        launches.append(Launch(running + read, made))
        running = made
    return launches


def _mean(op: Op, reads: Reads) -> Launches:
    made = elements(op.out)
    return [*_pairwise(op, reads), Launch(made if len(reads) > 1 else reads[0], made)]


def _regional(op: Op, reads: Reads) -> Launches:
    channels, height, width = op.ins[0]
    scale = op.attrs["scale"]
    if height % scale == 0 and width % scale == 0:
        return _single(op, reads)
    return [*_bands(scale, reads[0], channels * width), *_bands(scale, channels * scale * width, channels * scale)]


def _bands(scale: int, read: int, band: int) -> Launches:
    """Means over `scale` bands, `band` elements made by each, then their concatenation."""
    made = scale * band
    return [Launch(read, made, calls=scale), Launch(made, made, copies=True)]


def _sliding(op: Op, reads: Reads) -> Launches:
    made, (_, height, width) = elements(op.out), op.out
    if op.attrs["shape"] == "square":  # along rows, then along columns
        return [Launch(reads[0], made), Launch(made, made)]
    radius = min(op.attrs["radius"], height - 1)
    place = height * width
    ones = [Launch(0, 0, place), *(_shared(launch) for launch in _diamond(radius, place, place, height))]
    return [*_diamond(radius, reads[0], made, height), *ones, Launch(made, made, place)]


def _diamond(radius: int, read: int, made: int, height: int) -> Launches:
    """Sums over the rows of a diamond, each a pooling along its row, shifted and added; they begin at zero."""
    rows = 2 * radius + 1
    shifted = made // height * (rows * height - radius * (radius + 1))  # what is shifted out is not read
    return [
        Launch(0, made),
        Launch(rows * read, rows * made, calls=rows),
        Launch(shifted, rows * made, copies=True, calls=rows),
        Launch(2 * rows * made, rows * made, calls=rows),
    ]


def _shared(launch: Launch) -> Launch:
    """The same for something that the images have in common."""
    return Launch(0, 0, launch.read + launch.written, launch.copies, launch.calls)


def _upsample(op: Op, reads: Reads) -> Launches:
    channels, height, width = op.out
    rows, columns = op.ins[0][1:]
    if _spread(op):
        return []
    if height % rows == 0 and width % columns == 0:
        return _copy(op, reads)
    between = channels * height * columns
    return [
        Launch(reads[0], between, INDEX * height, copies=True),
        Launch(between, elements(op.out), INDEX * width, copies=True),
    ]


def _spread(op: Op) -> bool:
    """Whether up-sampling is a view: no side is both more than one value and longer afterwards."""
    sides = zip(op.ins[0][1:], op.out[1:], strict=True)
    return all(small in (1, large) for small, large in sides)


def _flatten(op: Op, reads: Reads) -> Launches:
    return [] if reads[0] == elements(op.ins[0]) else _copy(op, reads)


def _affine(op: Op, reads: Reads) -> Launches:
    made = elements(op.out)
    return [Launch(reads[0], made), Launch(made, made)]


def _shuffle(op: Op, reads: Reads) -> Launches:
    return [] if op.attrs["groups"] in (1, op.out[0]) else _copy(op, reads)


LAUNCHES: dict[str, Callable[[Op, Reads], Launches]] = {
    "conv": _weighted,
    "linear": _weighted,
    "bn": _norm,
    "relu": _single,
    "sigmoid": _single,
    "maxpool": _max_pool,
    "avgpool": _single,
    "gap": _single,
    "regional": _regional,
    "sliding": _sliding,
    "upsample": _upsample,
    "flatten": _flatten,
    "dropout": _nothing,
    "droppath": _single,
    "affine": _affine,
    "shuffle": _shuffle,
    "shift": _copy,
    "slice": _nothing,
    "pad": _copy,
    "add": _pairwise,
    "multiply": _pairwise,
    "mean": _mean,
    "shake": _mean,
    "fractaljoin": _mean,
    "concat": _copy,
    "update": _update,
}


def held_by(op: Op, reads: Reads) -> int | None:
    """Elements that the output has in memory where these are fewer than its shape says: views of views."""
    if op.kind == "upsample":
        return reads[0] if _spread(op) and reads[0] != elements(op.out) else None
    if op.kind not in ("slice", "dropout") or reads[0] == elements(op.ins[0]):
        return None
    width: int = op.out[0]
    return reads[0] * width // int(op.ins[0][0])


def traffic_of(op: Op, reads: Reads) -> Traffic:
    """What one op launches and moves, given the elements of its inputs in memory."""
    number = moved = shared = copied = shared_copied = 0
    for read, written, once, copies, calls in LAUNCHES[op.kind](op, reads):
        number += calls
        moved += read + written
        shared += once
        if copies:
            copied += read + written
            shared_copied += once
    return Traffic(number, moved, shared, copied, shared_copied)


def flow_of(scope: Scope, given: Held | None = None) -> Flow:
    """The traffic of a scope and all below it. Shapes must be plain integers; each shared scope is walked once."""
    held = (None,) * len(scope.ports) if given is None else given
    flows: dict[Held, Flow] = scope.memo.setdefault("traffic", {})
    if held not in flows:
        flows[held] = _walk(scope, held)
    return flows[held]


def _walk(scope: Scope, given: Held) -> Flow:
    held: dict[int, int | None] = dict(zip(scope.ports, given, strict=True))
    parts, inputs = [], []
    for entry in scope.body:
        node, own = entry.node, tuple([held[i] for i in entry.inputs])
        if isinstance(node, Op):
            reads = tuple([elements(s) if h is None else h for s, h in zip(node.ins, own, strict=True)])
            parts.append(traffic_of(node, reads))
            held[entry.outputs[0]] = held_by(node, reads)
        else:
            flow = flow_of(node, own)
            parts.append(flow.total)
            held.update(zip(entry.outputs, flow.made, strict=True))
        inputs.append(own)
    total = Traffic(*[sum(column) for column in zip(*parts, strict=True)])
    return Flow(total, tuple(parts), tuple(inputs), tuple([held[i] for i in scope.outputs]))
