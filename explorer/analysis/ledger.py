"""The ledger: what every op does, as exact counts. Every named quantity is a weighted sum over it.

Counts are per image. On array or symbolic shapes they are arrays or expressions.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from explorer.blocks.graph import Op, Scope, Shape
from explorer.blocks.loops import total_of
from explorer.blocks.quantity import Quantity, product
from explorer.blocks.walk import single
from explorer.blocks.windows import neighbours_total

ELEMENT_BYTES = 4  # single precision


class Row(NamedTuple):
    """Counts of one op, or of all ops of one kind in a scope."""

    macs: Quantity = 0  # multiply-adds of convolutions and linear layers
    inputs: Quantity = 0  # elements read
    outputs: Quantity = 0  # elements made
    windows: Quantity = 0  # window size x outputs, of pooling
    bias_adds: Quantity = 0
    weights: Quantity = 0
    biases: Quantity = 0
    norms: Quantity = 0  # scales and shifts of batch norms
    copied: Quantity = 0  # elements that are only moved

    @property
    def params(self) -> Quantity:
        """Learnable parameters."""
        return self.weights + self.biases + self.norms


Ledger = dict[str, Row]  # by op kind


def elements(shape: Shape) -> Quantity:
    """Elements of a tensor of one image."""
    channels, height, width = shape
    if type(channels) is int and type(height) is int:
        return channels * height * width if type(width) is int else product(*shape)
    return product(*shape)


def _conv(op: Op, read: Quantity, made: Quantity) -> Row:
    a = op.attrs
    groups, width = a["groups"], a["width"]
    per_output = (op.ins[0][0] if type(groups) is int and groups == 1 else op.ins[0][0] // groups) * a["kernel"] ** 2
    weights = product(width, per_output)
    biases, bias_adds = (width, made) if a["bias"] else (0, 0)
    return Row(product(per_output, made), read, made, 0, bias_adds, weights, biases)


def _linear(op: Op, read: Quantity, made: Quantity) -> Row:
    weights = product(read, made)
    biases = made if op.attrs["bias"] else 0
    return Row(weights, read, made, 0, biases, weights, biases)


def _norm(op: Op, read: Quantity, made: Quantity) -> Row:
    return Row(0, read, made, norms=2 * op.ins[0][0])


def _pool(op: Op, read: Quantity, made: Quantity) -> Row:
    return Row(0, read, made, product(op.attrs["kernel"] ** 2, made))


def _partition(op: Op, read: Quantity, made: Quantity) -> Row:
    return Row(0, read, made, read)


def _sliding(op: Op, read: Quantity, made: Quantity) -> Row:
    channels, height, width = op.ins[0]
    radius = op.attrs["radius"]
    if radius is None:  # symbols: the neighbourhoods' sizes have no simple closed form
        return Row(0, read, made)
    return Row(0, read, made, channels * neighbours_total(single(height), single(width), radius, op.attrs["shape"]))


def _plain(op: Op, read: Quantity, made: Quantity) -> Row:
    return Row(0, read, made)


def _copy(op: Op, read: Quantity, made: Quantity) -> Row:
    return Row(0, read, made, copied=made)


def _view(op: Op, read: Quantity, made: Quantity) -> Row:
    return Row(0, made, made)


ROWS: dict[str, Callable[[Op, Quantity, Quantity], Row]] = {
    "conv": _conv,
    "linear": _linear,
    "bn": _norm,
    "relu": _plain,
    "sigmoid": _plain,
    "maxpool": _pool,
    "avgpool": _pool,
    "gap": _partition,
    "regional": _partition,
    "sliding": _sliding,
    "upsample": _copy,
    "flatten": _view,
    "dropout": _plain,
    "droppath": _plain,
    "affine": _plain,
    "shuffle": _copy,
    "shift": _copy,
    "slice": _view,
    "pad": _copy,
    "add": _plain,
    "multiply": _plain,
    "mean": _plain,
    "shake": _plain,
    "fractaljoin": _plain,
    "concat": _copy,
    "update": _copy,
}


def row_of(op: Op) -> Row:
    """The ledger's row of one op."""
    row: Row | None = op.row
    if row is None:
        ins = op.ins
        read = elements(ins[0]) if len(ins) == 1 else sum(elements(shape) for shape in ins)
        row = op.row = ROWS[op.kind](op, read, elements(op.out))
    return row


def ledger_of(scope: Scope) -> Ledger:
    """Totals by op kind of a scope and all below it; computed once for each shared scope."""
    ledger: Ledger | None = scope.memo.get("ledger")
    if ledger is None:
        totals: dict[str, list[Any]] = {}
        for entry in scope.body:
            node = entry.node
            if isinstance(node, Op):
                _add(totals, node.kind, node.row or row_of(node))
            else:
                for kind, row in ledger_of(node).items():
                    _add(totals, kind, row)
        ledger = scope.memo["ledger"] = {kind: Row(*total) for kind, total in totals.items()}
        loop = scope.attrs.get("loop")
        if loop is not None:
            ledger.update({kind: Row(*[total_of(count, loop) for count in row]) for kind, row in ledger.items()})
    return ledger


def _add(totals: dict[str, list[Any]], kind: str, row: Row) -> None:
    total = totals.get(kind)
    if total is None:
        totals[kind] = list(row)
        return
    total[1] = total[1] + row[1]  # not in place: array counts belong to the ops
    total[2] = total[2] + row[2]
    if kind in _ELEMENTWISE:
        return
    for i in (0, 3, 4, 5, 6, 7, 8):
        total[i] = total[i] + row[i]


_ELEMENTWISE = frozenset(kind for kind, make in ROWS.items() if make is _plain or make is _view)


_MULTIPLIES = ("conv", "linear", "matmul")  # matmul, norm and parameter: of traced modules only
_OTHER_PARAMS = ("bn", "norm", "parameter")


class Totals(NamedTuple):
    """The quantities that every table shows."""

    params: Quantity
    macs: Quantity
    activations: Quantity


def totals_of(ledger: Ledger) -> Totals:
    """params; macs and activations (output elements) of convolutions and linear layers."""
    params: Quantity = 0
    macs: Quantity = 0
    activations: Quantity = 0
    for kind in _MULTIPLIES:
        row = ledger.get(kind)
        if row is not None:
            params = params + row.weights + row.biases
            macs = macs + row.macs
            activations = activations + row.outputs
    for kind in _OTHER_PARAMS:
        row = ledger.get(kind)
        if row is not None:
            params = params + row.weights + row.norms
    return Totals(params, macs, activations)
