"""One ledger, every convention: what other tools and papers would print for a network, to the unit.

A convention is a table of integer weights over the ledger (`convention_tables.py`). Where a tool's count depends on
the place of an op, or on how the built module computes it, the ledger is refined first: see `counts_of`.
"""

from dataclasses import dataclass
from typing import NamedTuple

from explorer.analysis.convention_tables import COLUMNS, ONE_RELU, PLACES, TABLES, TRANSITIONS, Weights
from explorer.analysis.cost import Cost
from explorer.analysis.ledger import Ledger, Row, row_of
from explorer.analysis.units import Amount
from explorer.blocks.graph import Op, Scope
from explorer.blocks.loops import total_of
from explorer.blocks.quantity import Quantity, product
from explorer.errors import UserError, nearest

Counts = dict[str, tuple[Quantity, ...]]  # by rule; the ledger's columns and `pooled`
TRAIN = "_train"


@dataclass(frozen=True)
class Convention:
    """A way of counting: integer weights by rule and column. A place without its own weights has its kind's."""

    name: str
    amount: type[Amount]  # Macs or Flops
    counts: str  # what it counts, as a sentence
    source: str  # the tool and its version, or the paper
    weights: Weights
    note: str
    binary: bool  # whether its source prints units of 2^30

    @property
    def unit(self) -> str:
        """MACs or FLOPs."""
        return self.amount.unit

    def weight(self, rule: str, column: str) -> int:
        """How often one element of a column counts."""
        table = self.weights.get(rule)
        if table is None:
            table = self.weights.get(kind_of(rule), {})
        return table.get(column, 0)


class Difference(NamedTuple):
    """A part of the difference between two conventions: (second - first) x elements."""

    rule: str
    column: str
    first: int  # weights
    second: int
    elements: Quantity
    contribution: Quantity


def convention_names() -> list[str]:
    """All names: evaluation mode, then training mode."""
    return [*TABLES, *(name + TRAIN for name, table in TABLES.items() if table.train is not None)]


def convention(name: str) -> Convention:
    """The convention of that name. Raises UserError with the nearest known name."""
    table = TABLES.get(name.removesuffix(TRAIN))
    train = name.endswith(TRAIN)
    if table is None or (train and table.train is None):
        raise UserError(f"unknown convention '{name[:60]}'; {nearest(name, convention_names())}")
    weights = {**table.weights, **(table.train or {})} if train else table.weights
    return Convention(name, table.unit, table.counts, table.source, weights, table.note, table.binary)


def count(convention: Convention, what: Scope | Ledger) -> Quantity:
    """What a convention counts of one image: of a scope, or of a bare ledger, where nothing has a place."""
    total: Quantity = 0
    for rule, values in _counts(what).items():
        for column, value in zip(COLUMNS, values, strict=True):
            weight = convention.weight(rule, column)
            if weight:
                total = total + weight * value
    return total


def count_of(convention: Convention, cost: Cost) -> Quantity:
    """What a convention counts of a cost's network, for its batch."""
    return product(count(convention, cost.graph.root), cost.batch)


def difference(first: Convention, second: Convention, cost: Cost) -> list[Difference]:
    """The rows that make up count_of(second) - count_of(first); places that do not differ are one row."""
    merged: dict[tuple[str, str, int, int], dict[str, Quantity]] = {}
    counts = counts_of(cost.graph.root)
    for rule, values in counts.items():
        for column, value in zip(COLUMNS, values, strict=True):
            weights = first.weight(rule, column), second.weight(rule, column)
            if weights[0] != weights[1] and not _is_zero(value):
                merged.setdefault((kind_of(rule), column, *weights), {})[rule] = product(value, cost.batch)
    return [_row(key, parts, counts) for key, parts in merged.items()]


def _row(key: tuple[str, str, int, int], parts: dict[str, Quantity], counts: Counts) -> Difference:
    kind, column, first, second = key
    whole = len(parts) == sum(kind_of(rule) == kind for rule in counts)
    elements = sum(parts.values())
    rule = kind if whole else " and ".join(PLACES[rule] for rule in parts)
    return Difference(rule, column, first, second, elements, (second - first) * elements)


def _is_zero(value: Quantity) -> bool:
    return type(value) is int and value == 0


def kind_of(rule: str) -> str:
    """The kind of op that a rule is about."""
    return rule.partition("@")[0]


def _counts(what: Scope | Ledger) -> Counts:
    if isinstance(what, Scope):
        return counts_of(what)
    return {kind: (*row, 0) for kind, row in what.items()}


def counts_of(scope: Scope) -> Counts:
    """The ledger by rule instead of kind, with the column `pooled`; computed once for each shared scope."""
    counts: Counts | None = scope.memo.get("conventions")
    if counts is None:
        counts = scope.memo["conventions"] = {}
        again = _last_relu(scope)
        for position, entry in enumerate(scope.body):
            if isinstance(entry.node, Op):
                rule = _rule(entry.node.kind, scope.title, position < again)
                _add(counts, rule, (*row_of(entry.node), _pooled(entry.node, row_of(entry.node))))
            else:
                for rule, values in counts_of(entry.node).items():
                    _add(counts, rule, values)
        if (loop := scope.attrs.get("loop")) is not None:
            counts.update({rule: tuple(total_of(n, loop) for n in row) for rule, row in counts.items()})
    return counts


def _rule(kind: str, title: str, again: bool) -> str:
    if kind == "conv" and title in TRANSITIONS:
        return "conv@transition"
    return "relu@reused" if kind == "relu" and again else kind


def _last_relu(scope: Scope) -> int:
    """Where in the body the last ReLU stands, if the scope's ReLUs are one module."""
    if scope.title not in ONE_RELU:
        return -1
    places = (i for i, entry in enumerate(scope.body) if isinstance(entry.node, Op) and entry.node.kind == "relu")
    return max(places, default=-1)


def _add(counts: Counts, rule: str, values: tuple[Quantity, ...]) -> None:
    known = counts.get(rule)
    counts[rule] = values if known is None else tuple(a + b for a, b in zip(known, values, strict=True))


def _pooled(op: Op, row: Row) -> Quantity:
    """Elements that pooling functions read when the module of a regional or sliding mean (nn/layers.py) runs."""
    if op.kind == "regional":  # one pooling where the scale divides the map, sums of bands elsewhere
        _, height, width = op.ins[0]
        scale = op.attrs["scale"]
        return product(row.inputs, (height % scale == 0) & (width % scale == 0))
    return _slid(op, row) if op.kind == "sliding" else 0


def _slid(op: Op, row: Row) -> Quantity:
    if op.attrs["shape"] == "square":  # along the rows, then along the columns
        return 2 * row.inputs
    channels, height, width = op.ins[0]
    radius = op.attrs["radius"]
    if radius is None:
        raise UserError("sliding with shape = diamond is counted on plain integers only")
    rows = 2 * min(radius, height - 1) + 1  # one pooling for each row of the diamond: of the map, and of a map of ones
    return rows * height * width * (channels + 1)
