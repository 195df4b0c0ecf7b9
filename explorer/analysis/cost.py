"""What a network costs: totals, and the same per stage and block."""

from dataclasses import dataclass
from typing import Any

from explorer.analysis.ledger import Ledger, ledger_of, row_of, totals_of
from explorer.analysis.paths import chain_of, depth_of
from explorer.blocks.graph import Entry, Graph, Op, Scope
from explorer.blocks.quantity import Quantity, product

COLUMNS = ("params", "macs", "activations")


@dataclass(frozen=True)
class Cost:
    """Exact counts of a network. MACs and activations are those of `batch` images."""

    network: str  # as typed
    canonical: str
    input: tuple[Quantity, Quantity, Quantity]
    batch: int
    params: Quantity
    macs: Quantity
    activations: Quantity
    depth: int  # layers as the papers count them
    chain: int  # layers that must run one after the other
    ledger: Ledger  # of one image
    graph: Graph

    def tree(self, depth: int | None = None) -> dict[str, Any]:
        """Nested {name, kind, shape, columns, children}, `depth` levels deep (None: all)."""
        return _node(self.graph.root.title, self.graph.root, self.batch, depth)

    def as_dict(self, depth: int | None = None) -> dict[str, Any]:
        """The JSON of `explorer cost`."""
        return {
            "network": self.network,
            "canonical": self.canonical,
            "input": list(self.input),
            "batch": self.batch,
            "params": self.params,
            "macs": self.macs,
            "activations": self.activations,
            "depth": self.depth,
            "chain": self.chain,
            "convention": "macs",
            "count": self.macs,
            "tree": self.tree(depth),
        }


def cost_of(graph: Graph, network: str | None = None, batch: int = 1) -> Cost:
    """The cost of an expanded network."""
    ledger = ledger_of(graph.root)
    totals = totals_of(ledger)
    return Cost(
        network=graph.canonical if network is None else network,
        canonical=graph.canonical,
        input=graph.input,
        batch=batch,
        params=totals.params,
        macs=product(totals.macs, batch),
        activations=product(totals.activations, batch),
        depth=depth_of(graph.root),
        chain=chain_of(graph.root),
        ledger=ledger,
        graph=graph,
    )


def _node(name: str, node: Op | Scope, batch: int, depth: int | None) -> dict[str, Any]:
    entries: tuple[Entry, ...]
    if isinstance(node, Op):
        totals = totals_of({node.kind: row_of(node)})
        kind, shape, entries = node.kind, node.out, ()
    else:
        totals = totals_of(ledger_of(node))
        kind, shape, entries = node.title if node.kind == "block" else node.kind, node.out, node.body
    below = None if depth is None else depth - 1
    children = [_child(entry, batch, below) for entry in entries] if depth is None or depth > 0 else []
    return {
        "name": name,
        "kind": kind,
        "shape": list(shape),
        "columns": {
            "params": totals.params,
            "macs": product(totals.macs, batch),
            "activations": product(totals.activations, batch),
        },
        "children": children,
    }


def _child(entry: Entry, batch: int, depth: int | None) -> dict[str, Any]:
    return _node(entry.name, entry.node, batch, depth)
