"""A trace as a graph: nested scopes as the modules were called, ops with the ledger's rows."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from explorer.analysis.ledger import Row
from explorer.blocks.graph import Entry, Graph, Op, Scope, Shape
from explorer.nn.tracing.trace import Trace
from explorer.nn.tracing.tree import Call, Node, calls
from explorer.nn.tracing.values import IMAGE, START


class _Built(NamedTuple):
    scope: Scope
    made: dict[int, None]  # values, in order
    reads: Counter[int]


def graph_of(trace: Trace, name: str) -> Graph:
    """The trace as a graph called `name`; `root.attrs["trace"]` is the trace itself.

    Values keep their numbers in all scopes. What reads no value reads the second port of the root.
    """
    reads = Counter(trace.outputs)
    shapes: dict[int, Shape] = {IMAGE: trace.input, START: (0, 1, 1)}
    for call in calls(trace.root):
        reads.update(_inputs(call))
        shapes[call.makes] = call.out
    root = _build(trace.root, "network", reads, shapes).scope
    root.ports = (IMAGE, START) if reads[START] else (IMAGE,)
    root.attrs["trace"] = trace
    return Graph(root, name, trace.input, (), True, ())


def _inputs(call: Call) -> tuple[int, ...]:
    return call.reads or (START,)


def _build(node: Node, kind: str, reads: Counter[int], shapes: dict[int, Shape]) -> _Built:
    """The scope of one module call; `reads` says how often each value is read in the whole network."""
    scope = Scope(kind, node.title, {})
    made: dict[int, None] = {}
    read: Counter[int] = Counter()
    entries: list[Entry] = []
    names = _names(node.children)
    for name, child in zip(names, node.children, strict=True):
        if isinstance(child, Call):
            entries.append(Entry(name, _op(child), _inputs(child), (child.makes,)))
            read.update(_inputs(child))
            made[child.makes] = None
            scope.nodes += 1
            continue
        inner = _build(child, "block", reads, shapes)
        read.update(inner.reads)
        made.update(inner.made)
        scope.nodes += 1 + inner.scope.nodes
        if inner.scope.body:
            entries.append(_entry(name, child, inner.scope))
    scope.body = tuple(entries)
    scope.ports = tuple(sorted(v for v in read if v not in made))
    returned = {v: shape for v, shape in node.results if v in made or v in read}
    used = [v for v in made if reads[v] > read[v]]
    fallback = list(made)[-1:] or [IMAGE]
    scope.outputs = tuple(dict.fromkeys([*list(returned)[:1], *used])) or tuple(fallback)
    scope.shapes = {v: shapes[v] for v in (*scope.ports, *made, IMAGE)} | returned
    return _Built(scope, made, read)


def _entry(name: str, node: Node, scope: Scope) -> Entry:
    """A module that is one operation stands for it; others are scopes."""
    only = scope.body[0]
    if node.leaf and len(scope.body) == 1 and scope.outputs == only.outputs:
        return Entry(name, only.node, only.inputs, only.outputs)
    return Entry(name, scope, scope.ports, scope.outputs)


def _op(call: Call) -> Op:
    op = Op(call.kind, call.attrs, call.ins, call.out)
    op.row = Row(**call.counts)
    return op


def _names(children: Iterable[Call | Node]) -> list[str]:
    """Operations are numbered where a kind occurs twice, further calls of a module are marked."""
    children = list(children)
    total = Counter(child.name for child in children if isinstance(child, Call))
    seen: Counter[str] = Counter()
    names: list[str] = []
    taken: Counter[str] = Counter()
    for child in children:
        name = child.name
        if isinstance(child, Call) and total[name] > 1:
            seen[name] += 1
            name = f"{name}{seen[name]}"
        taken[name] += 1
        names.append(name if taken[name] == 1 else f"{name}#{taken[name]}")
    return names
