"""The numbers a step is computed in, what the device can do in them, and torch's switches for a training."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from explorer.analysis.device import recognise
from explorer.train.execution import Execution

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Autocast of a device to the chosen numbers; the small gradients of fp16 are scaled out of its reach.

    A gradient that is not finite then costs one step: the scaler leaves it out and halves its scale.
    """

    def __init__(self, device: str, dtype: str) -> None:
        self.kind, self.dtype = torch.device(device).type, TYPES[dtype]
        self.scaler = torch.amp.GradScaler(self.kind, enabled=dtype == "fp16")

    def autocast(self) -> torch.autocast:
        """A context in which convolutions and linear layers compute in the chosen numbers."""
        return torch.autocast(self.kind, self.dtype, enabled=self.dtype != torch.float32)

    def step(self, loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
        """Gradients of the loss, and the optimiser's step with them."""
        torch.autograd.backward(self.scaler.scale(loss))
        self.scaler.step(optimiser)
        self.scaler.update()


@contextmanager
def switches(device: str, execution: Execution) -> Iterator[None]:
    """torch set up for one training, and put back afterwards.

    On CPU one thread: faster for small networks, and the same bits everywhere. On CUDA the fastest algorithm is
    searched for each shape, unless the same bits are wanted each time: then an op that has no such algorithm raises.
    """
    threads, searched = torch.get_num_threads(), torch.backends.cudnn.benchmark
    strict = torch.are_deterministic_algorithms_enabled()
    if execution.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.set_num_threads(1 if device == "cpu" else threads)
    torch.backends.cudnn.benchmark = not execution.deterministic
    torch.use_deterministic_algorithms(execution.deterministic)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = searched
        torch.use_deterministic_algorithms(strict)


def peak_flops(device: str, dtype: str) -> float | None:
    """What the device's maker says it can do in a second, in these numbers; None where that is not known."""
    if not device.startswith("cuda"):
        return None
    found = recognise(torch.cuda.get_device_name(device))
    return found.peak_of(dtype, convolution=True)[1] if found and dtype in found.peak else None


def out_of_memory(error: Exception) -> str | None:
    """The reason, where an error says that memory has run out; None for any other error."""
    text = str(error)
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return text.partition("\n")[0] or "no more can be had"
    _, found, reason = text.partition("DefaultCPUAllocator: ")  # on CPU it is a plain RuntimeError
    return reason.partition("\n")[0] if found else None
