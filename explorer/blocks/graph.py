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
        self.nodes = 0  # ops and scopes inside, nested ones included
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


class Graph(NamedTuple):
    """An expanded network."""

    root: Scope
    canonical: str  # the network as canonical text
    input: Shape
    modifiers: tuple[str, ...]  # canonical text of each, in order; `changes` refer to them
    valid: Any  # True, or the boolean mask of an array walk
    assumptions: tuple[str, ...]  # of a symbolic walk

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over ops, attributes, shapes and wiring, not over names: what makes two networks the same."""
        flat, inputs, outputs = flatten(self)
        h = hashlib.sha256(repr((self.input, inputs, outputs)).encode())
        for node in flat:
            op = node.op
            text = (op.kind, sorted(op.attrs.items()), op.ins, op.out, node.inputs, node.output)
            h.update(repr(text).encode())
        return h.hexdigest()


class Flat(NamedTuple):
    """One op of the flattened graph: its path of names, the op, and global value numbers."""

    path: str
    op: Op
    inputs: tuple[int, ...]
    output: int


def flatten(graph: Graph) -> tuple[list[Flat], tuple[int, ...], tuple[int, ...]]:
    """All ops in order, with global value numbers; also the input values and the output values."""
    flat: list[Flat] = []
    counter = iter(range(10**9))
    inputs = tuple(next(counter) for _ in graph.root.ports)
    outputs = _flatten(graph.root, "", inputs, counter, flat)
    return flat, inputs, outputs


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
