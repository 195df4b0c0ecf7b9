"""GUNN's claim on memory (table 1): what the paper prints beside what a step of the same networks needs today.

The printed numbers are of a framework of 2018; nothing here is fitted to them. Algorithm 1 is no graph but another way
to run one: with the fast layers it becomes one more form, whose calls stand in place of those of its fold's body.
"""

from functools import cache
from typing import NamedTuple

from explorer.analysis.audit.figures import parse_figure
from explorer.analysis.audit.reported import reported
from explorer.analysis.memory import Memory, memory
from explorer.catalog.load import load
from explorer.grammar.expand import expand

BATCH = 64
METRIC = f"gpu_memory_batch{BATCH}"
FORMS = (
    ("wrn-28-10", "as it is"),
    ("gunn15", "naive: slices and concatenations"),
    ("sunn15", "SUNN form: all segments read the layer's input"),
)


class Form(NamedTuple):
    """A network in one way of running it; `printed`: bytes under decimal prefixes, None where the paper has no row."""

    network: str
    form: str
    printed: int | None
    predicted: Memory  # of a training step


@cache
def gunn_table1() -> tuple[Form, ...]:
    """WRN-28-10 and GUNN-15 at batch 64 on CUDA's allocator, in single precision."""
    printed = {row.network: int(parse_figure(row.printed).value) for row in reported() if row.metric == METRIC}
    return tuple(
        Form(network, form, printed.get(network), memory(expand(*load(network)), BATCH, device="cuda"))
        for network, form in FORMS
    )
