"""What a printed column may have counted: parameters or FLOPs by several named conventions."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from explorer.analysis.conventions import TRAIN, convention, convention_names, count_of
from explorer.analysis.cost import Cost
from explorer.analysis.ledger import Row, ledger_of, row_of, totals_of
from explorer.blocks.graph import Op, Scope

MACS = "macs"


class Counting(NamedTuple):
    """One way to count: `count` gives an exact integer. `named`: a tool's or a paper's own convention."""

    name: str
    says: str
    count: Callable[[Cost], int]
    named: bool = True
    binary: bool = False  # its figures are printed in units of 2^20 or 2^30


def _of_norms(cost: Cost) -> int:
    return int(cost.ledger.get("bn", Row()).norms)


def _biases(cost: Cost) -> int:
    return int(sum(row.biases for row in cost.ledger.values()))


PARAMS = (
    Counting("params", "all learnable parameters", lambda cost: int(cost.params)),
    Counting(
        "weights", "without biases and batch norm", lambda c: int(c.params - _of_norms(c) - _biases(c)), named=False
    ),
    Counting("no norms", "without batch norm", lambda cost: int(cost.params - _of_norms(cost)), named=False),
    Counting(
        "state",
        "with the running statistics of batch norm",
        lambda cost: int(cost.params + _of_norms(cost)),
        named=False,
    ),
)


def _without(title: str) -> Callable[[Cost], int]:
    return lambda cost: int(cost.macs - macs_in(cost.graph.root, title))


def macs_in(scope: Scope, title: str) -> int:
    """MACs inside the scopes of one title, such as `shortcut`."""
    if scope.title == title:
        return int(totals_of(ledger_of(scope)).macs)
    key = f"macs in {title}"
    found: int | None = scope.memo.get(key)
    if found is None:
        found = sum(macs_in(entry.node, title) for entry in scope.body if not isinstance(entry.node, Op))
        scope.memo[key] = found
    return found


OMISSIONS = (
    Counting("no projections", "leaving out the projection shortcuts", _without("shortcut"), named=False),
    Counting(
        "no transitions",
        "leaving out the convolutions of dense transitions",
        _without("dense_transition"),
        named=False,
    ),
    Counting("no gates", "leaving out the recalibration", _without("mssar"), named=False),
    Counting(
        "no classifier",
        "leaving out the linear layers",
        lambda cost: int(cost.macs - cost.ledger.get("linear", Row()).macs),
        named=False,
    ),
    Counting("no first convolution", "leaving out the first convolution", lambda c: int(c.macs - _first(c.graph.root)),
             named=False),
)  # fmt: skip


def _first(scope: Scope) -> int:
    node = scope.body[0].node
    return int(totals_of({node.kind: row_of(node)}).macs) if isinstance(node, Op) else _first(node)


@cache
def countings(metric: str) -> tuple[Counting, ...]:
    """The ways to count a column of params or flops; the first is the plain one."""
    return PARAMS if metric == "params" else (_by_convention(MACS), *OMISSIONS, *map(_by_convention, _names()))


def _names() -> list[str]:
    return [name for name in convention_names() if name != MACS and not name.endswith(TRAIN)]


def _by_convention(name: str) -> Counting:
    found = convention(name)
    return Counting(name, found.counts, lambda cost: int(count_of(found, cost)), binary=found.binary)
