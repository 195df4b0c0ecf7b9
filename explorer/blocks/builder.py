"""Builds the scopes of a graph: symbolic tensors, ports, shared templates, limits."""

from functools import lru_cache
from typing import Any, NamedTuple

from explorer.blocks.graph import Change, Entry, Op, Scope, Shape
from explorer.blocks.quantity import Quantity, check, is_array, product
from explorer.blocks.walk import decide
from explorer.errors import ArchError

MAX_NODES = 200_000
MAX_DEPTH = 60


class Tensor:
    """A value of the scope being built: its number there and its shape. `image`: the network's input."""

    __slots__ = ("image", "index", "shape")

    def __init__(self, index: int, shape: Shape, image: bool = False) -> None:
        self.index = index
        self.shape = shape
        self.image = image


class Record:
    """A tensor with named companions: what a chain with taps returns."""

    __slots__ = ("main", "taps")

    def __init__(self, main: Tensor, taps: dict[str, Tensor]) -> None:
        self.main = main
        self.taps = taps


Value = Tensor | Record


def main_of(value: Value) -> Tensor:
    """The tensor that is meant where a tensor is wanted."""
    return value.main if isinstance(value, Record) else value


class Port(NamedTuple):
    """How a scope's input is found where it is used: a visible tensor, whole or the current fold part of it."""

    formal: int
    part: bool


class Template(NamedTuple):
    """A finished scope, how to feed it, and how many following steps it took into itself."""

    scope: Scope
    ports: tuple[Port, ...]
    absorbed: int


class Segment(NamedTuple):
    """The channels [start, stop) of `total` that a fold is at."""

    start: Quantity
    stop: Quantity
    total: Quantity


def _too_many() -> str:
    return f"the network has more than {MAX_NODES:,} operations"


class Same:
    """Stands for one array in a key: equal to itself only, and keeps it alive as long as the key."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value


def shape_key(shape: tuple[Quantity, ...]) -> Any:
    """A hashable stand-in for a shape that may hold arrays."""
    return tuple([side if type(side) is int else Same(side) if is_array(side) else side for side in shape])


class Builder:
    """A scope under construction."""

    __slots__ = (
        "absorbed", "changes", "depth", "entries", "labels", "next", "nodes", "ordinals", "part_ports", "ports",
        "scope", "segment", "slices", "used",
    )  # fmt: skip

    def __init__(self, kind: str, title: str, depth: int, attrs: dict[str, Any] | None = None) -> None:
        if depth > MAX_DEPTH:
            raise ArchError(f"blocks are nested more than {MAX_DEPTH} deep; does a block contain itself?")
        self.scope = Scope(kind, title, attrs or {})
        self.depth = depth
        self.entries: list[tuple[str, Op | Scope, tuple[int, ...], tuple[int, ...]]] = []
        self.ports: dict[int, Port] = {}  # by value number
        self.part_ports: dict[int, Tensor] = {}
        self.used: set[int] = set()
        self.next = 0
        self.nodes: Quantity = 0
        self.changes: dict[tuple[int, str | None], int] = {}
        self.segment: Segment | None = None  # set on a fold's own scope
        self.slices: dict[int, Tensor] = {}
        self.absorbed = 0
        self.ordinals: dict[int, int] = {}  # of entries made by sections: which of its label's they are
        self.labels: dict[str, int] = {}  # how often each was used so far

    def tensor(self, shape: Shape, image: bool = False) -> Tensor:
        """A new value."""
        made = Tensor(self.next, shape, image)
        self.scope.shapes[self.next] = shape
        self.next += 1
        return made

    def port(self, formal: int, like: Tensor) -> Tensor:
        """An input standing for the visible tensor `formal` of the surrounding scope."""
        made = self.tensor(like.shape, like.image)
        self.ports[made.index] = Port(formal, False)
        return made

    def op(self, op: Op, inputs: tuple[int, ...], name: str | None = None) -> Tensor:
        """Append a primitive."""
        index = self.next
        self.next = index + 1
        self.scope.shapes[index] = op.out
        self.entries.append((name or op.kind, op, inputs, (index,)))
        self.used.update(inputs)
        self.nodes += 1
        if type(self.nodes) is not int or self.nodes > MAX_NODES:
            self._count(0)
        return Tensor(index, op.out)

    def _count(self, nodes: Quantity) -> None:
        self.nodes = self.nodes + nodes
        if type(self.nodes) is not int:  # behind a loop of an array walk
            check(self.nodes <= MAX_NODES, _too_many)
        elif self.nodes > MAX_NODES:
            raise ArchError(_too_many())

    def part(self, tensor: Tensor, width: Quantity) -> Tensor:
        """The current segment's channels of a tensor from outside the fold's body."""
        if self.segment is not None:
            return self._sliced(tensor, self.segment)
        port = self.ports.get(tensor.index)
        if port is None or port.part:
            raise ArchError("part(...) takes a tensor from outside the fold, not one made inside it")
        made = self.part_ports.get(port.formal)
        if made is None:
            made = self.tensor((width, *tensor.shape[1:]))
            self.ports[made.index] = Port(port.formal, True)
            self.part_ports[port.formal] = made
        return made

    def _sliced(self, tensor: Tensor, segment: Segment) -> Tensor:
        start, stop, total = segment
        if tensor.shape[0] is not total and decide(tensor.shape[0] != total):
            raise ArchError(f"part of a tensor of {tensor.shape[0]} channels in a fold over {total}")
        made = self.slices.get(tensor.index)
        if made is None:
            out = (stop - start, *tensor.shape[1:])
            op = Op("slice", {"start": start, "stop": stop}, (tensor.shape,), out)
            made = self.slices[tensor.index] = self.op(op, (tensor.index,), "part")
        return made

    def at_segment(self, start: Quantity, stop: Quantity, total: Quantity) -> None:
        """Move the fold to its next segment."""
        self.segment = Segment(start, stop, total)
        self.slices = {}

    def use(self, name: str, template: Template, formals: list[Tensor]) -> Value:
        """Append a finished scope; returns its result as values of this scope."""
        inner = template.scope
        given = [
            self.part(formals[p.formal], inner.shapes[i][0]) if p.part else formals[p.formal]
            for p, i in zip(template.ports, inner.ports, strict=True)
        ]
        inputs = tuple([t.index for t in given])
        made: list[Tensor] = []
        for index in inner.outputs:
            if index in inner.ports:  # an input handed through is that very tensor
                made.append(given[inner.ports.index(index)])
            else:
                made.append(self.tensor(inner.shapes[index]))
        fresh = [t.index for t in made]
        self.used.update(inputs)
        if inner.body:
            self.entries.append((name, inner, inputs, tuple(fresh)))
        self._count(inner.nodes + 1)
        for change in inner.changes:
            self.changed(*change)
        if inner.taps:
            return Record(made[0], dict(zip(inner.taps, made[1:], strict=True)))
        return made[0]

    def changed(self, modifier: int, reason: str | None, places: int = 1) -> None:
        """Note what a modifier did here."""
        key = (modifier, reason)
        self.changes[key] = self.changes.get(key, 0) + places

    def close(self, result: Value) -> Template:
        """Finish the scope with its result."""
        scope = self.scope
        if isinstance(result, Record):
            scope.outputs = (result.main.index, *[t.index for t in result.taps.values()])
            scope.taps = tuple(result.taps)
        else:
            scope.outputs = (result.index,)
        self.used.update(scope.outputs)
        used = [(index, port) for index, port in self.ports.items() if index in self.used]
        scope.ports = tuple(index for index, _ in used)
        loop = scope.attrs.get("loop")
        scope.nodes = self.nodes if loop is None else product(loop.times, self.nodes) - 1  # as if there were no loop
        scope.changes = tuple([Change(m, r, n) for (m, r), n in self.changes.items()])
        scope.body = tuple([Entry(n, *entry[1:]) for n, entry in zip(self._names(), self.entries, strict=True)])
        template = Template(scope, tuple(port for _, port in used), self.absorbed)
        return self._collapsed(template)

    def _names(self) -> tuple[str, ...]:
        """Names within the scope: as given where unique, else numbered from 1."""
        given = tuple([entry[0] for entry in self.entries])
        return numbered(given, tuple(self.ordinals.items()))

    def _collapsed(self, template: Template) -> Template:
        """A plain wrapper around one scope becomes that scope."""
        scope = template.scope
        if scope.kind not in ("section", "part") or len(scope.body) != 1:
            return template
        _, inner, inputs, outputs = scope.body[0]
        if (
            not isinstance(inner, Scope)
            or "loop" in inner.attrs
            or outputs != scope.outputs
            or scope.taps != inner.taps
        ):
            return template
        if scope.changes != inner.changes:
            return template
        by_port = dict(zip(scope.ports, template.ports, strict=True))
        return Template(inner, tuple(by_port[i] for i in inputs), template.absorbed)


@lru_cache(maxsize=4096)
def numbered(given: tuple[str, ...], ordinals: tuple[tuple[int, int], ...]) -> tuple[str, ...]:
    """Unique names. `ordinals`: numbers that entries (by index) already have."""
    total: dict[str, int] = {}
    for name in given:
        total[name] = total.get(name, 0) + 1
    if len(total) == len(given):
        return given
    known = dict(ordinals)
    taken = {name for name, n in total.items() if n == 1}
    seen: dict[str, int] = {}
    names = []
    for index, base in enumerate(given):
        name = base
        if total[base] > 1:
            seen[base] = known.get(index, seen.get(base, 0) + 1)
            name = f"{base}{seen[base]}"
            while name in taken:
                name += "_"
            taken.add(name)
        names.append(name)
    return tuple(names)
