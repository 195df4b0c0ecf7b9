"""What a network costs: totals, and the same per stage and block."""

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from explorer.analysis.ledger import Ledger, Totals, ledger_of, row_of, totals_of
from explorer.analysis.paths import chain_of, depth_of
from explorer.analysis.traffic import Held, Traffic, flow_of
from explorer.blocks.graph import Graph, Op, Scope
from explorer.blocks.quantity import Quantity, product

if TYPE_CHECKING:
    from explorer.analysis.memory import Memory
    from explorer.analysis.reach import Reach, Stage

COLUMNS = ("params", "macs", "activations")
TRAFFIC = ("launches", "bytes_moved", "bytes_copied")
MEMORY = ("train_memory", "infer_memory")  # predicted


@dataclass(frozen=True)
class Cost:
    """Exact counts of a network in evaluation, auxiliary heads apart. MACs and activations are of `batch` images."""

    network: str  # as typed
    canonical: str
    input: tuple[Quantity, Quantity, Quantity]
    batch: int
    params: Quantity
    macs: Quantity
    activations: Quantity
    ledger: Ledger  # of one image
    graph: Graph

    @property
    def depth(self) -> int:
        """Layers as the papers count them."""
        depth: int = depth_of(self.graph.root)
        return depth

    @property
    def chain(self) -> int:
        """Layers that must run one after the other."""
        chain: int = chain_of(self.graph.root)
        return chain

    @property
    def auxiliaries(self) -> dict[str, Totals]:
        """What the heads that only help in training add, by name; no other number here counts them."""
        heads = {head.name: totals_of(ledger_of(head.scope)) for head in self.graph.auxiliaries}
        return {
            name: Totals(one.params, product(one.macs, self.batch), product(one.activations, self.batch))
            for name, one in heads.items()
        }

    @property
    def traffic(self) -> Traffic | None:
        """Launches and elements moved; None for arrays, symbols and foreign modules."""
        plain = type(self.params) is int and type(self.activations) is int
        return flow_of(self.graph.root).total if plain and "trace" not in self.graph.root.attrs else None

    @property
    def launches(self) -> int | None:
        """Calls of torch in evaluation that compute or copy."""
        return None if self.traffic is None else self.traffic.launches

    @property
    def bytes_moved(self) -> int | None:
        """Bytes that they read and write, in single precision."""
        return None if self.traffic is None else self.traffic.bytes_moved(self.batch)

    @property
    def bytes_copied(self) -> int | None:
        """The part of them that only copies: concatenation, update, padding, up-sampling."""
        return None if self.traffic is None else self.traffic.bytes_copied(self.batch)

    @property
    def intensity(self) -> Fraction | None:
        """FLOPs (2 x MACs) for each byte moved."""
        return Fraction(2 * self.macs, self.bytes_moved) if self.bytes_moved else None

    @property
    def stages(self) -> "tuple[Stage, ...]":
        """Depth and receptive field over the channels of each stage; none where `traffic` is None."""
        from explorer.analysis.reach import stages_of

        return () if self.traffic is None else stages_of(self.graph.root)

    @property
    def feature_map(self) -> "Stage | None":
        """The last stage larger than 1 x 1, which all that follows reads."""
        return next((stage for stage in reversed(self.stages) if stage.a_map), None)

    @property
    def reach(self) -> "Reach | None":
        """Depth and receptive field over the channels of the feature map, from the image."""
        return None if self.feature_map is None else self.feature_map.from_image

    def memory(self, mode: str, layers: str = "reference") -> "Memory | None":
        """What a step (`train`) or an inference (`infer`) of `batch` images is predicted to take; None as `traffic`."""
        from explorer.analysis.memory import memory, predictable

        return memory(self.graph, self.batch, mode, layers=layers) if predictable(self.graph) else None

    @property
    def train_memory(self) -> int | None:
        """Predicted peak bytes of a training step of `batch` images."""
        found = self.memory("train")
        return None if found is None else found.peak

    @property
    def infer_memory(self) -> int | None:
        """Predicted peak bytes of an inference of `batch` images."""
        found = self.memory("infer")
        return None if found is None else found.peak

    def tree(self, depth: int | None = None, saved: bool = False) -> dict[str, Any]:
        """Nested {name, kind, shape, columns, children}, `depth` levels deep (None: all).

        `saved`: also the bytes that each part is predicted to save for the backward pass.
        """
        root = self.graph.root
        tree = _node(root.title, root, self.batch, depth, self.traffic, (None,) * len(root.ports))
        step = self.memory("train") if saved else None
        if step is not None:
            _add_saved(tree, step.tree(depth))
        return tree

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
            "launches": self.launches,
            "bytes_moved": self.bytes_moved,
            "bytes_copied": self.bytes_copied,
            "intensity": None if self.intensity is None else float(self.intensity),
            "train_memory": self.train_memory,
            "infer_memory": self.infer_memory,
            "memory": self._memory_as_dict(),
            "convention": "macs",
            "count": self.macs,
            "auxiliaries": {name: totals._asdict() for name, totals in self.auxiliaries.items()},
            "reach": self._reach_as_dict(),
            "tree": self.tree(depth, saved=True),
        }

    def _memory_as_dict(self) -> dict[str, Any] | None:
        found = {mode: self.memory(mode) for mode in ("train", "infer")}
        return {mode: one.as_dict() for mode, one in found.items() if one is not None} or None

    def _reach_as_dict(self) -> dict[str, Any] | None:
        if self.feature_map is None or self.reach is None:
            return None
        stages = [
            {"name": stage.name, "own": stage.own.as_dict(), "from_image": stage.from_image.as_dict()}
            for stage in self.stages
            if stage.own is not None and stage.from_image is not None
        ]
        return {"map": self.feature_map.name, **self.reach.as_dict(), "stages": stages}


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
        ledger=ledger,
        graph=graph,
    )


def _node(
    name: str, node: Op | Scope, batch: int, depth: int | None, traffic: Traffic | None, given: Held
) -> dict[str, Any]:
    if isinstance(node, Op):
        totals = totals_of({node.kind: row_of(node)})
        kind, shape = node.kind, node.out
    else:
        totals = totals_of(ledger_of(node))
        kind, shape = node.title if node.kind == "block" else node.kind, node.out
    columns = {
        "params": totals.params,
        "macs": product(totals.macs, batch),
        "activations": product(totals.activations, batch),
    }
    if traffic is not None:
        columns |= {
            "launches": traffic.launches,
            "bytes_moved": traffic.bytes_moved(batch),
            "bytes_copied": traffic.bytes_copied(batch),
        }
    children = [] if isinstance(node, Op) or depth == 0 else _children(node, batch, depth, traffic, given)
    return {"name": name, "kind": kind, "shape": list(shape), "columns": columns, "children": children}


def _add_saved(node: dict[str, Any], saved: dict[str, Any]) -> None:
    """Bytes that each part saves for the backward pass; those of auxiliary heads, which the tree has not, come last."""
    node["columns"]["saved"] = saved["saved"]
    for child, own in zip(node["children"], saved["children"], strict=False):
        _add_saved(child, own)


def _children(
    scope: Scope, batch: int, depth: int | None, traffic: Traffic | None, given: Held
) -> list[dict[str, Any]]:
    below = None if depth is None else depth - 1
    if traffic is None:
        return [_node(entry.name, entry.node, batch, below, None, ()) for entry in scope.body]
    flow = flow_of(scope, given)
    return [
        _node(entry.name, entry.node, batch, below, part, own)
        for entry, part, own in zip(scope.body, flow.parts, flow.given, strict=True)
    ]
