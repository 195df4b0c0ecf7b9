"""trace(module, (3, 224, 224)): what one forward pass of any module does, operation by operation.

The pass runs on torch's meta device, where tensors have sizes and no values. A module that asks for values, or
uses an operator without a meta implementation, is run again on the CPU with random numbers.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from explorer.errors import UserError
from explorer.nn.tracing.failures import place, short
from explorer.nn.tracing.guard import decomposed, same_randomness, set_mode, substitute, untouched
from explorer.nn.tracing.operators import UNKNOWN
from explorer.nn.tracing.recorder import Recorder, ValuesNeeded
from explorer.nn.tracing.tree import Node, calls
from explorer.nn.tracing.values import IMAGE

Size = tuple[int, int, int]
META, CPU = torch.device("meta"), torch.device("cpu")


@dataclass(frozen=True)
class OperatorCalls:
    """One of torch's operators in a trace: how often it ran and what became of it."""

    name: str  # aten.relu
    verdict: str  # counted, zero or unknown
    reason: str
    calls: int


@dataclass(frozen=True)
class Trace:
    """One forward pass: its operations in a tree of module calls, and what is known about its completeness."""

    root: Node
    input: Size
    outputs: tuple[int, ...]  # values returned, the main one first
    operators: tuple[OperatorCalls, ...]  # every operator that torch dispatched
    unused: dict[str, int]  # parameters that the pass did not read: name, elements
    notes: tuple[str, ...]

    @property
    def unknown(self) -> dict[str, int]:
        """OperatorCalls that no rule covers, with the number of their calls."""
        return {op.name: op.calls for op in self.operators if op.verdict == UNKNOWN}


def trace(module: nn.Module, size: Size, *, batch: int = 1, train: bool = False) -> Trace:
    """Record one forward pass of `module` on images of `size`, in evaluation unless `train`.

    The module is left as it was. Counts are those of one image. Raises UserError when the pass fails.
    """
    module = getattr(module, "_orig_mod", module)  # what torch.compile wraps
    lazy = [name for name, p in module.named_parameters() if is_lazy(p)]
    if lazy:
        raise UserError(f"'{lazy[0]}' has no size yet: run a lazy module once before it is traced")
    try:
        return _run(module, size, batch, train, META, ())
    except (Exception, SystemExit) as error:
        reason = _asks(error) or f"a run without values fails with {short(error, 80)}"
        if any(t.device == META for t in (*module.parameters(), *module.buffers())):
            raise UserError(_failure(size, error)) from None
    note = f"run on the CPU with random numbers, because {reason}; other numbers may take another way"
    try:
        return _run(module, size, batch, train, CPU, (note,))
    except (Exception, SystemExit) as error:
        raise UserError(_failure(size, error)) from None


def _run(module: nn.Module, size: Size, batch: int, train: bool, device: torch.device, notes: tuple[str, ...]) -> Trace:
    with ExitStack() as stack:
        for context in (untouched(module), same_randomness(), decomposed()):
            stack.enter_context(context)
        recorder = Recorder(module, batch, device)
        substitute(module, recorder.twin)
        set_mode(module, train)
        image = _image(module, (batch, *size), device)
        recorder.values.hold(image, IMAGE)
        with recorder.watching():
            module(image)
        unused = dict(recorder.unread)
        recorder.finish()
    return Trace(
        root=recorder.root,
        input=size,
        outputs=tuple(dict.fromkeys(value for value, _ in recorder.root.results)),
        operators=tuple(OperatorCalls(*what, n) for what, n in sorted(recorder.seen.items())),
        unused=unused,
        notes=(*notes, *_remarks(recorder)),
    )


def _image(module: nn.Module, size: tuple[int, ...], device: torch.device) -> Tensor:
    """Of the type of the module's parameters; random numbers where values exist."""
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    if device == META:
        return torch.empty(size, dtype=dtype, device=device)
    return torch.randn(size, generator=torch.Generator().manual_seed(0)).to(dtype)


def _remarks(recorder: Recorder) -> Iterator[str]:
    foreign = recorder.strangers.values()
    if foreign:
        elements = sum(p.numel() for p in foreign)
        yield f"{len(foreign)} parameters that the module does not own are read: {elements:,} elements, not in params"
    once = sum(c.counts.get("macs", 0) for c in calls(recorder.root) if c.makes not in recorder.values.of_image)
    if once:
        yield f"{once:,} MACs do not depend on the image: they may not grow with the batch"


def _asks(error: BaseException) -> str | None:
    if isinstance(error, ValuesNeeded):
        return f"the module asks for values of tensors ({place(error)})"
    return None


def _failure(size: Size, error: BaseException) -> str:
    hint = "--input CxHxW gives another size"
    if isinstance(error, TypeError) and "positional argument" in str(error):
        hint = "give a module whose forward takes one tensor of images"
    return f"the module fails on an input of {'x'.join(map(str, size))}: {_asks(error) or short(error)}; {hint}"
