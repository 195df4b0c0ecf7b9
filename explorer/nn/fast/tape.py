"""Running a unit twice: once as it is, and once more in the backward pass to learn its gradients.

In between, a tape keeps the outputs of the unit's convolutions (or nothing). Batch norms, ReLUs and whatever else there
is are computed again from them; running statistics are updated in the first run only, and layers that draw at random
draw the same again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explorer.nn.module import ScopeModule
from explorer.nn.stochastic import DropPath, Shake

RANDOM = (nn.Dropout, DropPath, Shake)


class Mixed(NamedTuple):
    """Autocast as it stands in the forward pass, for the replay; `dtype` is that of convolutions."""

    device: str
    enabled: bool
    dtype: torch.dtype

    @staticmethod
    def now(x: Tensor) -> "Mixed":
        """For what reads x."""
        device = x.device.type
        enabled = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
        cast = enabled and x.dtype is not torch.float64
        return Mixed(device, enabled, torch.get_autocast_dtype(device) if cast else x.dtype)

    def again(self) -> AbstractContextManager[Any]:
        """A context as it was; without autocast's cache, which would mix weights of both passes."""
        if not self.enabled:
            return nullcontext()
        return torch.autocast(self.device, self.dtype, cache_enabled=False)


def walk(scope: ScopeModule, arguments: Sequence[Tensor | None], call: Callable[..., Tensor]) -> tuple[Tensor, ...]:
    """A scope's outputs, each of its layers run by `call(layer, *inputs)`. None is what `call` does not look at."""
    values: dict[int, Any] = dict(zip(scope.ports, arguments, strict=True))
    for name, inputs, outputs, done in scope.plan:
        layer, given = scope._modules[name], [values[i] for i in inputs]
        for index in done:
            del values[index]
        if isinstance(layer, ScopeModule):
            values.update(zip(outputs, walk(layer, given, call), strict=True))
        elif isinstance(layer, nn.Linear):
            values[outputs[0]] = call(layer, given[0].flatten(1))[:, :, None, None]
        else:
            values[outputs[0]] = call(layer, *given)
    return tuple(values[i] for i in scope.outputs)


class Recorder:
    """Runs a unit's layers and keeps what its replay needs: `tensors`, and `notes` on modes and random states.

    `given` are outputs of convolutions that have been computed elsewhere.
    """

    def __init__(self, convolutions: bool, given: dict[nn.Module, Tensor]) -> None:
        self.convolutions, self.given = convolutions, given
        self.tensors: list[Tensor] = []
        self.notes: list[Any] = []

    def __call__(self, layer: nn.Module, *inputs: Tensor) -> Tensor:
        """One layer's output."""
        if isinstance(layer, nn.BatchNorm2d):
            batch = layer.training or layer.running_mean is None
            self.notes.append(batch)
            if not batch:
                self.tensors += [layer.running_mean, layer.running_var]  # type: ignore[list-item]
        elif isinstance(layer, RANDOM):
            self.notes.append(_random_state(inputs[0]) if layer.training else None)
        made: Tensor = self.given.pop(layer) if layer in self.given else layer(*inputs)
        if self.convolutions and isinstance(layer, nn.Conv2d):
            self.tensors.append(made)
        return made


class Replayer:
    """Runs a unit's layers again, under autograd, from what a Recorder kept; global hooks have seen them already.

    `given` names the convolutions whose inputs are not at hand, with their outputs or, where the tape has them, None.
    They become leaves of the unit's graph, as do `weights`: what is learned in all other layers.
    """

    def __init__(
        self, convolutions: bool, tensors: Iterator[Tensor], notes: Iterator[Any], given: dict[nn.Module, Tensor | None]
    ) -> None:
        self.convolutions, self.tensors, self.notes, self.given = convolutions, tensors, notes, given
        self.leaves: dict[nn.Module, Tensor] = {}
        self.weights: list[nn.Parameter] = []

    def __call__(self, layer: nn.Module, *inputs: Tensor) -> Tensor:
        """One layer's output."""
        made: Tensor | None
        if layer in self.given:
            made = next(self.tensors) if self.convolutions else self.given[layer]
            assert made is not None
            self.leaves[layer] = made = made.detach().requires_grad_()
            return made
        self.weights += [p for p in layer._parameters.values() if p is not None and p.requires_grad]
        if self.convolutions and isinstance(layer, nn.Conv2d):
            made = _remembered(layer, inputs[0], next(self.tensors))
        elif isinstance(layer, nn.BatchNorm2d):
            made = _normalised(layer, inputs[0], next(self.notes), self.tensors)
        elif isinstance(layer, RANDOM):
            made = _drawn_again(layer, inputs, next(self.notes))
        else:
            made = layer.forward(*inputs)
        return made


class _Remembered(torch.autograd.Function):
    """A convolution whose output is known: nothing forward, its gradients backward."""

    @staticmethod
    def forward(ctx: Any, made: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Conv2d) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.layer = layer
        return made.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        _, for_x, for_weight, for_bias, _ = ctx.needs_input_grad
        made = convolution_gradients(gradients[0], x, weight, ctx.layer, (for_x, for_weight, for_bias))
        return None, *made, None


def convolution_gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, layer: nn.Conv2d, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Of a convolution's input, weight and bias."""
    sizes, stride, pad = [weight.shape[0]], layer.stride, layer.padding
    back = torch.ops.aten.convolution_backward
    return back(gradient, x, weight, sizes, stride, pad, layer.dilation, False, [0, 0], layer.groups, wanted)  # type: ignore[no-any-return]


def _remembered(layer: nn.Conv2d, x: Tensor, made: Tensor) -> Tensor:
    """Under autocast the output's type is the one that the convolution was done in."""
    weight, bias = layer.weight.to(made.dtype), None if layer.bias is None else layer.bias.to(made.dtype)
    return _Remembered.apply(made, x.to(made.dtype), weight, bias, layer)  # type: ignore[no-any-return, no-untyped-call]


def _normalised(layer: nn.BatchNorm2d, x: Tensor, batch: bool, statistics: Iterator[Tensor]) -> Tensor:
    """Batch norm without effect on running statistics: by the batch's, or by those kept."""
    mean, variance = (None, None) if batch else (next(statistics), next(statistics))
    return F.batch_norm(x, mean, variance, layer.weight, layer.bias, batch, 0.0, layer.eps)


def _random_state(x: Tensor) -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(x.device) if x.is_cuda else None


def _drawn_again(layer: nn.Module, inputs: tuple[Tensor, ...], state: tuple[Tensor, Tensor | None] | None) -> Tensor:
    """The layer in the mode and with the draws that it had; the generators are left as they are."""
    training = layer.training
    with torch.random.fork_rng([inputs[0].device] if inputs[0].is_cuda else []):
        if state is not None:
            torch.set_rng_state(state[0])
            if state[1] is not None:
                torch.cuda.set_rng_state(state[1], inputs[0].device)
        layer.training = state is not None
        try:
            made: Tensor = layer.forward(*inputs)
        finally:
            layer.training = training
    return made
