"""The expanded network: primitive ops with shapes in nested scopes. No torch here.

A scope is a template: equal sub-networks are one object, used by several entries. What is computed once
for a template (cost, depth) therefore serves all its uses.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from explorer.blocks.quantity import Quantity

Shape = tuple[Quantity, Quantity, Quantity]  # channels, height, width; a vector is (channels, 1, 1)


class Op:
    """One primitive operation: kind, attributes, input shapes and output shape."""

    __slots__ = ("attrs", "ins", "kind", "out", "row")

    def __init__(self, kind: str, attrs: dict[str, Any], ins: tuple[Shape, ...], out: Shape) -> None:
        self.kind = kind
        self.attrs = attrs
        self.ins = ins
        self.out = out
        self.row: Any = None  # the ledger's row, once asked for

    def __repr__(self) -> str:
        attrs = ", ".join(f"{k}={v}" for k, v in self.attrs.items())
        return f"{self.kind}({attrs}) {self.ins} -> {self.out}"


class Entry(NamedTuple):
    """A use of an op or a scope inside a scope."""

    name: str
    node: "Op | Scope"
    inputs: tuple[int, ...]  # values of the surrounding scope
    outputs: tuple[int, ...]  # the values it makes there


class Scope:
    """A sub-network: numbered values, `ports` are its inputs, `outputs` its results (the first is main)."""

    __slots__ = (
        "attrs",
        "body",
        "changes",
        "kind",
        "memo",
        "nodes",
        "outputs",
        "ports",
        "shapes",
        "taps",
        "title",
    )

    def __init__(self, kind: str, title: str, attrs: dict[str, Any]) -> None:
        self.kind = kind  # block, section, network, update, windowed, aggregate, grow, part of a fold
        self.title = title  # what it was called in the text: the block's name
        self.attrs = attrs
        self.body: tuple[Entry, ...] = ()
        self.ports: tuple[int, ...] = ()
        self.outputs: tuple[int, ...] = ()
        self.taps: tuple[str, ...] = ()  # names of outputs[1:]
        self.shapes: dict[int, Shape] = {}
        self.nodes: Quantity = 0  # ops and scopes inside, nested ones included
        self.changes: tuple[Change, ...] = ()
        self.memo: dict[str, Any] = {}  # what readers have computed for this template

    @property
    def out(self) -> Shape:
        """The main output's shape."""
        return self.shapes[self.outputs[0]]


class Change(NamedTuple):
    """What modifiers did inside a scope: places changed, or left with a reason."""

    modifier: int
    reason: str | None  # None: changed
    places: int


class Auxiliary(NamedTuple):
    """A head that helps in training only: it reads value `source` of the root, and its loss counts `weight` times."""

    name: str
    weight: Quantity
    scope: Scope
    source: int


class Graph(NamedTuple):
    """An expanded network. The root is what runs in evaluation; auxiliary heads stand beside it."""

    root: Scope
    canonical: str  # the network as canonical text
    input: Shape
    modifiers: tuple[str, ...]  # canonical text of each, in order; `changes` refer to them
    valid: Any  # True, or the boolean mask of an array walk
    assumptions: tuple[str, ...]  # of a symbolic walk
    auxiliaries: tuple[Auxiliary, ...] = ()

    @property
    def main(self) -> "Graph":
        """The network without its auxiliary heads: what is left of it in evaluation."""
        return self._replace(auxiliaries=())

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over ops, attributes, shapes and wiring, not over names: what makes two networks the same."""
        h = hashlib.sha256()
        _hash(h, self.input, self.root)
        for head in self.auxiliaries:
            _hash(h, (head.weight, self.root.outputs.index(head.source)), head.scope)
        return h.hexdigest()


class Flat(NamedTuple):
    """One op of the flattened graph: its path of names, the op, and global value numbers."""

    path: str
    op: Op
    inputs: tuple[int, ...]
    output: int


def flatten(graph: Graph) -> tuple[list[Flat], tuple[int, ...], tuple[int, ...]]:
    """All ops in order, with global value numbers; also the input values and the output values."""
    return _flat(graph.root)


def _flat(root: Scope) -> tuple[list[Flat], tuple[int, ...], tuple[int, ...]]:
    flat: list[Flat] = []
    counter = iter(range(10**9))
    inputs = tuple(next(counter) for _ in root.ports)
    outputs = _flatten(root, "", inputs, counter, flat)
    return flat, inputs, outputs


def _hash(h: Any, what: tuple[Quantity, ...], root: Scope) -> None:
    flat, inputs, outputs = _flat(root)
    h.update(repr((what, inputs, outputs)).encode())
    for node in flat:
        op = node.op
        text = (op.kind, sorted(op.attrs.items()), op.ins, op.out, node.inputs, node.output)
        h.update(repr(text).encode())


def _flatten(
    scope: Scope, prefix: str, arguments: tuple[int, ...], counter: Iterator[int], flat: list[Flat]
) -> tuple[int, ...]:
    values = dict(zip(scope.ports, arguments, strict=True))
    for entry in scope.body:
        inputs = tuple(values[i] for i in entry.inputs)
        path = f"{prefix}{entry.name}"
        if isinstance(entry.node, Op):
            values[entry.outputs[0]] = number = next(counter)
            flat.append(Flat(path, entry.node, inputs, number))
        else:
            made = _flatten(entry.node, f"{path}.", inputs, counter, flat)
            values.update(zip(entry.outputs, made, strict=True))
    return tuple(values[i] for i in scope.outputs)
