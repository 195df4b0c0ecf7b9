"""GUNN's claim on memory (table 1): what the paper prints beside what a step of the same networks needs today.

The printed numbers are of a framework of 2018; nothing here is fitted to them. Algorithm 1 is no graph but another way
to run one: the `lean` layers are that algorithm, and `balanced` ones keep the outputs of convolutions in addition.
"""

from functools import cache
from typing import NamedTuple

from explorer.analysis.audit.figures import parse_figure
from explorer.analysis.audit.reported import reported
from explorer.analysis.ledger import ledger_of, totals_of
from explorer.analysis.memory import Memory, memory
from explorer.analysis.substituted import chosen_for
from explorer.blocks.graph import Scope
from explorer.catalog.load import load
from explorer.grammar.expand import expand
from explorer.nn.fast.choice import BALANCED, LEAN, REFERENCE
from explorer.nn.fast.plan import Plan

BATCH = 64
METRIC = f"gpu_memory_batch{BATCH}"
FORMS = (
    ("wrn-28-10", REFERENCE, "as it is"),
    ("gunn15", REFERENCE, "naive: slices and concatenations"),
    ("sunn15", REFERENCE, "SUNN form: all segments read the layer's input"),
    ("gunn15", LEAN, "Algorithm 1 (`lean`)"),
    ("gunn15", BALANCED, "outputs of convolutions kept (`balanced`)"),
    ("sunn15", LEAN, "SUNN form, `lean`"),
)


class Form(NamedTuple):
    """A network in one way of running it.

    `printed`: bytes under decimal prefixes, of each network once; None where the paper has no row.
    """

    network: str
    layers: str
    form: str
    printed: int | None
    predicted: Memory  # of a training step
    recomputed: int  # MACs of an image that the backward pass does once more
    macs: int  # of an image, forward


@cache
def gunn_table1(device: str = "cuda") -> tuple[Form, ...]:
    """WRN-28-10 and GUNN-15 at batch 64, in single precision."""
    printed = {row.network: int(parse_figure(row.printed).value) for row in reported() if row.metric == METRIC}
    return tuple(_form(*form, printed, device) for form in FORMS)


def _form(network: str, layers: str, form: str, printed: dict[str, int], device: str) -> Form:
    graph = expand(*load(network))
    return Form(
        network,
        layers,
        form,
        printed.get(network) if layers == REFERENCE else None,
        memory(graph, BATCH, device=device, layers=layers),
        recomputed_macs(graph.root, layers),
        _macs(graph.root),
    )


def recomputed_macs(scope: Scope, layers: str) -> int:
    """MACs of a forward pass that the backward pass does once more: of folds of which nothing is kept, all."""
    if layers != LEAN:
        return 0
    inside = [entry.node for entry in scope.body if isinstance(entry.node, Scope)]
    return sum(
        _macs(inner) if isinstance(chosen_for(inner, layers), Plan) else recomputed_macs(inner, layers)
        for inner in inside
    )


def _macs(scope: Scope) -> int:
    return int(totals_of(ledger_of(scope)).macs)
