"""What a trace records: operations, in a tree of module calls."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from explorer.blocks.graph import Shape


@dataclass(slots=True)
class Call:
    """One operation: what it reads and makes, with the ledger's columns for one image."""

    name: str  # as the tree shows it, before numbering
    kind: str
    attrs: dict[str, Any]
    reads: tuple[int, ...]
    makes: int
    ins: tuple[Shape, ...]
    out: Shape
    counts: dict[str, int]


@dataclass(slots=True)
class Node:
    """One call of a module: what ran inside, in order, and the values it returned."""

    name: str
    title: str
    leaf: bool = False  # without modules of its own
    children: "list[Call | Node]" = field(default_factory=list)
    results: list[tuple[int, Shape]] = field(default_factory=list)


def calls(node: Node) -> Iterator[Call]:
    """All operations inside a module call, in order."""
    for child in node.children:
        if isinstance(child, Call):
            yield child
        else:
            yield from calls(child)
