"""A network on a device, ready to be run: a training step, or an inference."""

from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import explorer
from explorer.analysis.foreign import foreign_size, is_foreign
from explorer.errors import UserError
from explorer.measure.setting import Setting
from explorer.nn.fast.choose import substitute
from explorer.nn.module import NetworkModule
from explorer.nn.tracing.load import foreign_module

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LEARNING_RATE = 1e-3  # weights stay in a range where numbers are numbers; no time depends on it
MOMENTUM = 0.9

Outputs = list[tuple[float, Tensor]]  # the weight of a loss, and what it is of


class Network:
    """A network under a setting. `run` is what is measured; in training it is made of four parts."""

    def __init__(self, text: str, setting: Setting) -> None:
        self.setting = setting
        self.files = ExitStack()  # a foreign module's file can be imported from while it runs
        torch.manual_seed(0)
        module, size = self._made(text)
        device, dtype = torch.device(setting.device), DTYPES[setting.dtype]
        layout = torch.channels_last if setting.channels_last else torch.preserve_format
        numbers = torch.float32 if setting.training else dtype
        module.to(device=device, dtype=numbers, memory_format=layout)  # type: ignore[call-overload]
        self.module = module.train(setting.training)
        self.heads = setting.training and isinstance(module, NetworkModule) and bool(module.auxiliaries)
        target: Any = module.with_auxiliaries if self.heads else module
        self.called = torch.compile(target) if setting.compile else target
        image = torch.randn(setting.batch, *size, device=device, dtype=numbers)
        self.image = image.contiguous(memory_format=torch.channels_last) if setting.channels_last else image
        self.labels: Tensor | None = None
        self.mixed = setting.training and dtype is not torch.float32
        if setting.training:
            if not any(p.requires_grad for p in module.parameters()):
                raise UserError("it has nothing to train; its inference can be measured")
            self.optimizer = torch.optim.SGD(module.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
            self.scaler = torch.amp.GradScaler(setting.kind, init_scale=1.0, enabled=dtype is torch.float16)

    def _made(self, text: str) -> tuple[nn.Module, tuple[int, ...]]:
        """The module and the size of its images."""
        setting = self.setting
        if is_foreign(text):
            module = self.files.enter_context(foreign_module(text, values=True))
            return module, foreign_size(module, text, setting.input)
        graph = explorer.expand(text, input=setting.input, classes=setting.classes)
        if any(not isinstance(side, int) for side in graph.input):
            raise UserError("only a network of plain integers can be measured")
        wanted = graph if setting.training else graph.main
        return NetworkModule(wanted, substitute(setting.layers)), graph.input

    def close(self) -> None:
        """Let go of a foreign module's file, and of what was compiled."""
        self.files.close()
        if self.setting.compile:
            torch.compiler.reset()

    def run(self) -> None:
        """A training step, or an inference."""
        if not self.setting.training:
            with torch.inference_mode():
                self.called(self.image)
            return
        self.clear()
        self.backward(self.loss(self.forward()))
        self.update()

    def clear(self) -> None:
        """Gradients go before activations come, so that the old ones do not lie beside them."""
        self.optimizer.zero_grad()

    def forward(self) -> Outputs:
        """The main output and those of auxiliary heads."""
        with self._autocast():
            made = self.called(self.image)
        if self.heads:
            return [(1.0, made[0]), *made[1]]
        if not isinstance(made, Tensor):
            raise UserError(
                f"it makes a {type(made).__name__}, not a tensor; only a forward pass to a tensor is measured"
            )
        return [(1.0, made)]

    def loss(self, outputs: Outputs) -> Tensor:
        """Cross-entropy; every image (or place) is of the first class."""
        if self.labels is None:
            shape = outputs[0][1].shape
            self.labels = torch.zeros(shape[0], *shape[2:], dtype=torch.int64, device=self.image.device)
        labels = self.labels
        with self._autocast():
            losses = [weight * cross_entropy(made, labels) for weight, made in outputs]
        return sum(losses[1:], losses[0])

    def backward(self, loss: Tensor) -> None:
        """Gradients of all parameters."""
        torch.autograd.backward(self.scaler.scale(loss))

    def update(self) -> None:
        """SGD with momentum."""
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.setting.kind, DTYPES[self.setting.dtype]) if self.mixed else nullcontext()

    # --- what it holds ---

    def parameters(self) -> list[Tensor]:
        """Trained or not."""
        return list(self.module.parameters())

    def buffers(self) -> list[Tensor]:
        """Running statistics and the like."""
        return list(self.module.buffers())

    def momentum(self) -> list[Tensor]:
        """The optimiser's state; nothing before the first step, and in inference."""
        states = self.optimizer.state.values() if self.setting.training else ()
        return [value for state in states for value in state.values() if isinstance(value, Tensor)]

    def images(self) -> list[Tensor]:
        """The batch, in training with its labels."""
        return [self.image] if self.labels is None else [self.image, self.labels]
