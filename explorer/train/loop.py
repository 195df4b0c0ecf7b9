"""One training, from top to bottom: build, epochs within the budget, final errors.

All images live on the device; a batch is an index. On CPU it runs in one thread (two were slower), in
channels_last (a quarter faster for small networks), and with a budget in epochs the same seed gives the
same bits.
"""

import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import explorer
from explorer.errors import UserError
from explorer.nn.module import NetworkModule
from explorer.train.budget import Budget
from explorer.train.data import Dataset, Part
from explorer.train.outcome import DIVERGED, DONE, EpochRecord, Outcome
from explorer.train.recipes import Recipe

VALIDATION_IMAGES = 200  # read after each epoch, at most
EVALUATION_BATCH = 256

Progress = Callable[[float, EpochRecord | None], None]  # fraction of the budget spent, the latest whole epoch


def train(
    network: str,
    data: Dataset,
    budget: Budget,
    recipe: Recipe,
    seed: int,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Train the network of a text once; done or diverged. UserError where text or device are wrong."""
    check_device(device)
    with _single_thread(device):
        _seed(seed)
        model = explorer.build(network, input=data.shape, classes=data.classes)
        model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        training = _Training(model, data, budget, recipe, seed, device, clock)
        while not training.over():
            training.epoch(progress or (lambda fraction, latest: None))
        return training.outcome()


class _Training:
    """The state of one training between its steps."""

    def __init__(
        self,
        model: NetworkModule,
        data: Dataset,
        budget: Budget,
        recipe: Recipe,
        seed: int,
        device: str,
        clock: Callable[[], float],
    ) -> None:
        self.model, self.data, self.budget, self.recipe, self.device = model, data, budget, recipe, device
        self.images, self.labels = _on(device, data.train)
        self.validation = _on(device, data.validation.first(VALIDATION_IMAGES))
        self.order = torch.Generator().manual_seed(seed)
        self.optimiser = _optimiser(model, recipe)
        self.history: list[EpochRecord] = []
        self.steps = 0
        self.total_steps = (budget.epochs or 0) * math.ceil(len(data.train) / recipe.batch)
        self.clock, self.start = clock, clock()

    def seconds(self) -> float:
        """Time since the first step was about to begin."""
        return self.clock() - self.start

    def fraction(self) -> float:
        """The part of the budget that is spent, in [0, 1]."""
        spent = self.steps / self.total_steps if self.total_steps else self.seconds() / self.budget.amount
        return min(1.0, spent)

    def diverged(self) -> bool:
        """Whether the last epoch's loss is not a number, or infinite."""
        return bool(self.history) and self.history[-1].train_loss is None

    def over(self) -> bool:
        """Whether nothing is left to do: the budget is spent (after one step at least), or all is lost."""
        return self.diverged() or (self.steps > 0 and self.fraction() >= 1)

    def epoch(self, progress: Progress) -> None:
        """One pass over the training images, or what time allows of it, then a look at validation."""
        self.model.train()
        total = torch.zeros(2, device=self.device)
        seen = 0
        order = torch.randperm(len(self.labels), generator=self.order)
        for batch in torch.split(order, self.recipe.batch):
            lr = self.recipe.lr_at(self.fraction())
            total += self.step(batch.to(self.device), lr)
            seen += len(batch)
            progress(self.fraction(), self.history[-1] if self.history else None)
            if self.fraction() >= 1:
                break
        loss, error = (float(value) / seen for value in total)
        self.history.append(self.record(lr, loss, error))
        progress(self.fraction(), self.history[-1])

    def step(self, batch: Tensor, lr: float) -> Tensor:
        """One step on the images `batch` points at: [sum of losses, number of errors] before it."""
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.zero_grad()  # before the activations come, so that old gradients do not lie beside them
        labels = self.labels[batch]
        scores, heads = self.model.with_auxiliaries(self.images[batch])
        loss = cross_entropy(scores, labels) + sum(weight * cross_entropy(head, labels) for weight, head in heads)
        torch.autograd.backward(loss)
        self.optimiser.step()
        self.steps += 1
        wrong = (scores.detach().argmax(1) != labels).sum()
        return torch.stack([loss.detach() * len(batch), wrong])

    def record(self, lr: float, loss: float, error: float) -> EpochRecord:
        """The epoch that has just ended; without validation, and without its loss, where it diverged."""
        number, seconds = len(self.history) + 1, self.seconds()
        if not math.isfinite(loss):
            return EpochRecord(number, seconds, lr, None, error, None, None)
        validation_loss, validation_error = evaluate(self.model, *self.validation)
        return EpochRecord(number, seconds, lr, loss, error, _finite(validation_loss), validation_error)

    def outcome(self) -> Outcome:
        """The final errors; only here, and only if training did not diverge, the test part is read."""
        seconds, history = self.seconds(), tuple(self.history)
        loss, error = (math.nan, math.nan) if self.diverged() else evaluate(self.model, self.images, self.labels)
        if not math.isfinite(loss):
            why = f"the loss was not finite in epoch {len(history)}"
            return Outcome(DIVERGED, why, self.steps, seconds=seconds, history=history)
        _, validation_error = evaluate(self.model, *_on(self.device, self.data.validation))
        test_loss, test_error = evaluate(self.model, *_on(self.device, self.data.test))
        return Outcome(
            DONE,
            None,
            self.steps,
            error,
            loss,
            validation_error,
            test_error,
            _finite(test_loss),
            seconds,
            history,
        )


@torch.inference_mode()
def evaluate(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean loss and error of a model, in evaluation mode, on images [N, C, H, W] with labels [N]."""
    model.eval()
    total = torch.zeros(2, device=images.device)
    for start in range(0, len(labels), EVALUATION_BATCH):
        truth = labels[start : start + EVALUATION_BATCH]
        scores = model(images[start : start + EVALUATION_BATCH])
        wrong = (scores.argmax(1) != truth).sum()
        total += torch.stack([cross_entropy(scores, truth, reduction="sum"), wrong])
    loss, error = (float(value) / len(labels) for value in total)
    return loss, error


def check_device(device: str) -> None:
    """UserError unless torch can train on `device`: cpu, cuda, cuda:1, mps, ..."""
    try:
        kind = torch.empty(0, device=device).device.type
        if kind == "meta" or (kind == "cpu" and device != "cpu"):
            raise RuntimeError("write cpu, cuda, cuda:1 or mps")
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(f"--device: torch cannot use {device[:80]!r} here ({reason}); cpu always works") from error


def _optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """The recipe's optimiser for all parameters of a model."""
    return torch.optim.SGD(
        model.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        dampening=recipe.dampening,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
    )


def _seed(seed: int) -> None:
    """Seed every source of chance: initialisation and dropout draw from torch's global one."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def _single_thread(device: str) -> Iterator[None]:
    """One thread while training on CPU: faster for small networks, and the same bits everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if device == "cpu" else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _on(device: str, part: Part) -> tuple[Tensor, Tensor]:
    """Images and labels of a part as tensors on the device."""
    images = torch.from_numpy(part.images).to(device=device, memory_format=torch.channels_last)
    return images, torch.from_numpy(part.labels).to(device)


def _finite(value: float) -> float | None:
    """A number, or None for what is none."""
    return value if math.isfinite(value) else None
