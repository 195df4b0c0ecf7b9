"""The cost of anyone's torch module: FILE.py:FUNCTION, timm:NAME, or a module at hand. Torch is loaded when asked."""

import re
from typing import TYPE_CHECKING, Any

from explorer.analysis.cost import Cost, cost_of
from explorer.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from explorer.nn.tracing.trace import Trace

Size = tuple[int, int, int]
_FOREIGN = re.compile(r"\s*(timm:|[^\n(){}]*\.py\s*(:|$))")


def is_foreign(text: str) -> bool:
    """Whether a user's words mean a torch module: FILE.py:FUNCTION or timm:NAME."""
    return _FOREIGN.match(text) is not None


def foreign_cost(text: str, input: Size | None = None, batch: int = 1) -> Cost:
    """The cost of the module that `text` names, for images of `input` (by default what the model says it reads).

    Raises UserError when the module cannot be found, made or run.
    """
    from explorer.nn.tracing.named import named

    named(text)  # what is not there is told before torch is loaded
    from explorer.nn.tracing.load import foreign_module

    with foreign_module(text) as module:
        return module_cost(module, foreign_size(module, text, input), text, batch)


def foreign_size(module: "nn.Module", text: str, input: Size | None) -> Size:
    """The size of images that a module is run on: `input`, by default what the model says it reads. UserError: none."""
    size = input or _own_size(module)
    if size is None:
        raise UserError(f"'{text.strip()[:100]}' does not say what it reads: give --input, such as --input 3x224x224")
    return size


def module_cost(module: "nn.Module", input: Size, name: str | None = None, batch: int = 1) -> Cost:
    """The cost of a module in evaluation, by one forward pass without values; the module is left as it was."""
    from explorer.analysis.traced import graph_of
    from explorer.nn.tracing.trace import trace

    return cost_of(graph_of(trace(module, input), name or type(module).__name__), batch=batch)


def trace_of(cost: Cost) -> "Trace | None":
    """The trace that a cost was counted on; None for a network written in the grammar."""
    found: Trace | None = cost.graph.root.attrs.get("trace")
    return found


def remarks(cost: Cost) -> list[str]:
    """How complete a traced cost is, in sentences; none for a network written in the grammar."""
    trace = trace_of(cost)
    if trace is None:
        return []
    calls = {verdict: sum(op.calls for op in trace.operators if op.verdict == verdict) for verdict in VERDICTS}
    lines = [", ".join(f"{calls[verdict]:,} {words}" for verdict, words in VERDICTS.items())]
    lines[0] = f"{sum(calls.values()):,} operations: {lines[0]}"
    if trace.unknown:
        listed = ", ".join(f"{name} x{count}" for name, count in trace.unknown.items())
        lines.append(f"not counted, no rule says what they compute: {listed}")
    if trace.unused:
        shown = list(trace.unused)[:6]
        more = f", and {len(trace.unused) - len(shown)} more" if len(trace.unused) > len(shown) else ""
        total = sum(trace.unused.values())
        lines.append(f"parameters that this pass does not read: {', '.join(shown)}{more} ({total:,} elements)")
    return [*lines, *trace.notes]


VERDICTS = {"counted": "with multiply-adds", "zero": "without, for a stated reason", "unknown": "unknown"}


def trace_dict(cost: Cost) -> dict[str, Any] | None:
    """The trace for JSON: each operator's verdict, reason and calls; unknown operators, unused parameters, notes."""
    trace = trace_of(cost)
    if trace is None:
        return None
    return {
        "operators": [vars(op) for op in trace.operators],
        "unknown": trace.unknown,
        "unused": trace.unused,
        "notes": list(trace.notes),
    }


def _own_size(module: "nn.Module") -> Size | None:
    """What timm's models say they read."""
    for attribute in ("pretrained_cfg", "default_cfg"):
        size = dict(getattr(module, attribute, None) or {}).get("input_size")
        if size is not None:
            channels, height, width = size
            return channels, height, width
    return None
