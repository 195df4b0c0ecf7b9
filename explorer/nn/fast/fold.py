"""update, aggregate and windowed without repeated concatenation, and with little kept for the backward pass.

A part's view is never put together: it is pieces of the fold's input and of its output, both of which are kept in any
case. Parts are made block by block (plan.py). The backward pass goes through them in reverse and runs each once more
(tape.py), from the outputs of its convolutions (balanced) or from nothing (lean).

For GUNN this is Algorithm 1 of that paper. Its line `y_c <- x_c` is the view: the output's channels before the segment,
the input's from there on. Its BP is exact as that of the segment's own function (equation 5). Read as that of the whole
update U, whose gradient holds the channels that pass through, the last line would count them a second time. Here
nothing passes through: pieces of a view are channels of the input or of the output themselves.
"""

from typing import Any

import torch
from torch import Tensor, nn

from explorer.blocks.graph import Scope
from explorer.nn.fast.backward import Back
from explorer.nn.fast.forward import Run
from explorer.nn.fast.guard import Guard
from explorer.nn.fast.plan import Plan
from explorer.nn.fast.tape import Mixed, Recorder
from explorer.nn.module import ScopeModule


class FoldModule(ScopeModule):
    """A fold, block by block. `convolutions`: keep the outputs of the units' convolutions for the backward pass."""

    def __init__(self, scope: Scope, plan: Plan, convolutions: bool) -> None:
        super().__init__(scope)
        self.fast = plan, convolutions, Guard(self)

    def forward(self, *arguments: Tensor) -> Any:
        """The scope's tensors to its outputs, as the reference."""
        plan, convolutions, guard = self.fast
        parameters = guard.parameters(self)
        if parameters is None:
            return super().forward(*arguments)
        run = Run(self, plan, convolutions, Mixed.now(arguments[0]))
        if torch.is_grad_enabled() and any(t.requires_grad for t in (*arguments, *parameters)):
            made = _Fold.apply(run, parameters, *arguments, *parameters)  # type: ignore[no-untyped-call]
        else:
            made = run.forward(arguments, None)
        return made if len(made) > 1 else made[0]


class _Fold(torch.autograd.Function):
    """Inputs: the fold's ports, then its parameters."""

    @staticmethod
    def forward(ctx: Any, run: "Run", parameters: list[nn.Parameter], *inputs: Tensor) -> tuple[Tensor, ...]:
        tapes: list[Recorder] = []
        made = run.forward(inputs[: len(inputs) - len(parameters)], tapes)
        ctx.run, ctx.parameters = run, parameters
        ctx.kept = [(len(tape.tensors), tape.notes) for tape in tapes]
        ctx.save_for_backward(*inputs, *made, *(t for tape in tapes for t in tape.tensors))
        ctx.set_materialize_grads(False)
        return made

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        saved = iter(ctx.saved_tensors)
        needed = ctx.needs_input_grad[2:]
        ports = len(needed) - len(ctx.parameters)
        maps = [next(saved) for _ in range(ports)]
        for _ in ctx.parameters:
            next(saved)  # looked at: raises if it was changed since
        maps += [next(saved) for _ in gradients]
        tapes = [([next(saved) for _ in range(n)], notes) for n, notes in ctx.kept]
        back = Back(ctx.run, maps, needed[:ports], gradients)
        back.parts(tapes)
        of_parameters = [back.of_parameters.get(p) for p in ctx.parameters]
        return None, None, *back.gradients[:ports], *of_parameters
