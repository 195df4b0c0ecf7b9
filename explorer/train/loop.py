"""One training, from top to bottom: build, resume, epochs within the budget, final errors.

A batch lies on the device when it is asked for. On CPU a training runs in one thread (two were slower), in
channels_last (a quarter faster for small networks), and with a budget in epochs or FLOPs the same seed gives the same
bits, interrupted or not. No step waits for the device: losses add up there, and are looked at twice a second.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import explorer
from explorer.analysis.training import training_macs
from explorer.errors import UserError
from explorer.nn.module import NetworkModule
from explorer.train.budget import Budget, steps_per_epoch
from explorer.train.chance import seed_all
from explorer.train.checkpoint import check_identity, load, prefixed, save
from explorer.train.data import Dataset
from explorer.train.data.feeds import Batches, Feed, Feeds
from explorer.train.evaluate import Weights, copied, evaluate
from explorer.train.execution import USUAL, Execution
from explorer.train.interrupts import held_interrupts
from explorer.train.layout import lay_out
from explorer.train.mixup import mixed
from explorer.train.observe import observed
from explorer.train.outcome import DIVERGED, DONE, FAILED, EpochRecord, Observation, Outcome, lowest
from explorer.train.parallel import Crew, WithAuxiliaries, joined
from explorer.train.precision import Precision, out_of_memory, peak_flops, switches
from explorer.train.recipes import BEST, SNAPSHOTS, Recipe, epochs_of
from explorer.train.state import State
from explorer.train.status import Meter, Progress

VALIDATION_IMAGES = 200  # read after each epoch, or
VALIDATION_SHARE = 10  # one for so many training images, if that is more; all where the best epoch is chosen by them
OBSERVED_IMAGES = 100  # the first of these, for those who look at the network itself
TRAIN_IMAGES = 50_000  # of files, read for the final training error, at most
LOST_STEPS = 100  # between two looks at whether the loss is still finite
SAVE_SECONDS = 30.0  # between two checkpoints, and no less than
SAVE_TIMES = 50  # times what writing one takes


@dataclass(frozen=True)
class Host:
    """Where a training runs, and who looks on. Nothing here is meant to change what it computes."""

    device: str = "cpu"  # cpu, cuda, cuda:1, mps
    checkpoint: Path | None = None  # to go on from, and to keep up to date
    weights: Path | None = None  # for those whose errors are reported, at the end
    time_limit: float | None = None  # seconds of this process
    progress: Progress = lambda status: None
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class Work:
    """What is trained, and how. All of it is a trial's identity."""

    data: Dataset
    budget: Budget
    recipe: Recipe
    seed: int
    execution: Execution


class OutOfTime(Exception):
    """The time limit was reached; the message says which."""


def train(
    network: str,
    data: Dataset,
    budget: Budget,
    recipe: Recipe,
    seed: int,
    execution: Execution = USUAL,
    host: Host | None = None,
) -> Outcome:
    """Train the network of a text once: done, diverged, or failed for want of memory or time.

    Where there is a checkpoint, the training goes on from it; whoever has stored the outcome deletes it.
    KeyboardInterrupt comes between two batches, after saving. UserError where text, device or budget are wrong, or the
    checkpoint is of another training.
    """
    host = host or Host()
    work = Work(data, budget.of(epochs_of(recipe)), recipe, seed, execution.check())
    check_device(host.device)
    with (
        joined(host.device) as (crew, device),
        switches(device, work.execution),
        held_interrupts() as interrupted,
    ):
        seed_all(seed)
        model = explorer.build(network, input=data.shape, classes=data.classes, layers=work.execution.layers)
        lay_out(model, device, max(data.shape[1:]))
        training = _Training(model, work, host, crew, device, interrupted)
        training.resume()
        try:
            while not training.over():
                training.epoch()
            return training.outcome()
        except OutOfTime as error:
            return training.failed(str(error))
        except (MemoryError, RuntimeError) as error:
            if not (reason := out_of_memory(error)):
                raise
            return training.failed(f"out of memory: {reason}")


class _Training:
    """One training between its steps."""

    def __init__(
        self, model: NetworkModule, work: Work, host: Host, crew: Crew, device: str, interrupted: Callable[[], bool]
    ) -> None:
        recipe, macs = work.recipe, training_macs(model.graph).total
        crew.check(work.execution.processes, recipe.batch, work.budget.unit)
        self.model, self.work, self.recipe, self.host, self.crew = model, work, recipe, host, crew
        self.interrupted = interrupted
        self.feeds = Feeds(work.data, device, _guiding(work))
        self.precision = Precision(device, work.execution.dtype)
        self.forward = crew.wrapped(WithAuxiliaries(model))
        if work.execution.compile:
            self.forward.compile()
        self.state = State(
            model, _optimiser(model, recipe), self.precision.scaler, device, torch.zeros(2, device=device)
        )
        images = crew.usable(len(work.data.train), recipe.batch)
        self.epoch_steps = steps_per_epoch(images, recipe.batch)
        self.total_steps = work.budget.steps(images, recipe.batch, macs)
        peak = peak_flops(device, work.execution.dtype)
        self.meter = Meter(host.clock, macs, peak, self.final_images())
        self.begun = self.saved = host.clock()
        self.save_after = SAVE_SECONDS
        self.notice: str | None = None
        crew.reseed(work.seed, 0)

    # -- how far it is -------------------------------------------------------------------------------

    def seconds(self) -> float:
        """Time spent on this training, in stopped processes too."""
        return self.state.seconds + self.host.clock() - self.begun

    def fraction(self) -> float:
        """The part of the budget that is spent, in [0, 1]."""
        if self.total_steps is None:
            return min(1.0, self.seconds() / self.work.budget.amount)
        return self.state.steps / self.total_steps

    def over(self) -> bool:
        """Whether nothing is left to do: the budget is spent (after one step at least), or all is lost."""
        between_epochs = self.state.position == 0  # a process that was stopped may leave one to be recorded
        return self.diverged() or (between_epochs and self.state.steps > 0 and self.fraction() >= 1)

    def diverged(self) -> bool:
        """Whether the last epoch's loss is not a number, or infinite."""
        return bool(self.state.history) and self.state.history[-1].train_loss is None

    def lost(self) -> bool:
        """Whether the running epoch's loss is not finite; looked at now and then, as the device is waited for."""
        return self.state.steps % LOST_STEPS == 0 and not self.crew.added(self.state.sums)[0].isfinite()

    # -- training ------------------------------------------------------------------------------------

    def epoch(self) -> None:
        """One pass over the training images, or what the budget allows of it, then a look at validation."""
        if not self.state.steps:
            self.observe()
        self.model.train()
        state, feed = self.state, self.feeds.train
        augmentation, number, first = self.work.data.augmentation, len(state.history), state.position
        batches = feed.shuffled(self.recipe.batch, augmentation, self.work.seed, number, first)
        for images, labels in islice(batches, self.epoch_steps - first):
            if state.position and (self.fraction() >= 1 or self.lost()):
                break
            self.step(images, labels)
            self.pause()
        state.history.append(self.record())
        self.keep_best()
        self.observe()
        state.position = state.seen = 0
        state.sums.zero_()
        self.tell()

    def step(self, images: Tensor, labels: Tensor) -> None:
        """One step on a batch; its losses and errors, from before the step, are added up."""
        state, fraction, whole = self.state, self.fraction(), len(labels)
        self.keep_snapshot(fraction)
        state.lr = self.recipe.lr_at(fraction)
        state.optimiser.zero_grad()  # before the activations come, so that old gradients do not lie beside them
        images, targets = mixed(self.crew.share(images), self.crew.share(labels), self.recipe.mixup)
        with self.precision.autocast():
            scores, heads = self.forward(images)
        main = targets.loss(scores.float())
        loss = main + sum(weight * targets.loss(head.float()) for weight, head in heads)
        self.precision.step(loss * self.crew.weight(len(images), whole), state.optimiser)
        state.sums += torch.stack([main.detach() * len(images), targets.wrong(scores.detach())])
        state.steps, state.position, state.seen = state.steps + 1, state.position + 1, state.seen + whole
        self.meter.trained(whole)

    def record(self) -> EpochRecord:
        """The epoch that has just ended; without validation, and without its loss, where it diverged."""
        state, seconds = self.state, self.seconds()
        number, lr = len(state.history) + 1, state.lr
        loss, error = (total / state.seen for total in self.crew.added(state.sums).tolist())
        if not math.isfinite(loss):
            return EpochRecord(number, seconds, lr, None, error, None, None)
        validation_loss, validation_error = self.errors(self.feeds.guide)
        return EpochRecord(number, seconds, lr, loss, error, _finite(validation_loss), validation_error)

    def observe(self) -> None:
        """Let observers look at the network as it is, unless its outputs are no numbers any more."""
        state, names = self.state, self.work.execution.observe
        if not names or (state.history and state.history[-1].validation_loss is None):
            return
        with self.precision.autocast():
            seen = observed(self.model, self.feeds.glance(OBSERVED_IMAGES), names)
        state.observations += [Observation(len(state.history), name, value) for name, value in seen.items()]

    def keep_best(self) -> None:
        """Remember the weights, where the recipe reports those of the best epoch and this one is the best so far."""
        history, within = self.state.history, self.fraction() <= self.recipe.within + 1e-9
        if self.recipe.reports == BEST and within and lowest(history) is history[-1]:
            self.state.kept = [copied(self.model)]

    def keep_snapshot(self, fraction: float) -> None:
        """Remember the weights, where the recipe lets those at the ends of cycles vote and one has just ended."""
        cycle = self.recipe.cycle_at(fraction)
        if self.recipe.reports == SNAPSHOTS and cycle > self.state.cycle:
            self.state.kept.append(copied(self.model))
        self.state.cycle = cycle

    # -- between two batches -------------------------------------------------------------------------

    def pause(self) -> None:
        """Tell, save or stop, where it is time to."""
        now, limit = self.host.clock(), self.host.time_limit
        if self.meter.due():
            self.tell()
        if self.interrupted():
            self.save()
            raise KeyboardInterrupt(self.notice or "")
        if limit is not None and now - self.begun > limit:
            self.save()
            raise OutOfTime(f"out of time: the limit is {limit:g} s")
        if now - self.saved >= self.save_after:
            self.save()

    def tell(self) -> None:
        """Say how it is going; this waits for the device."""
        state = self.state
        seen = state.seen / self.crew.size  # the sums are this process's
        loss, error = ((total / seen if seen else None) for total in state.sums.tolist())
        latest = state.history[-1] if state.history else None
        number = len(state.history) + (state.position > 0 or not state.history)
        self.host.progress(self.meter.look(self.fraction(), number, loss, error, latest, self.notice))

    def save(self) -> None:
        """Bring the checkpoint up to date. One that cannot be written is told; the training goes on without."""
        if self.host.checkpoint is None or self.crew.rank:
            return
        began = self.host.clock()
        try:
            tensors, facts = self.state.packed(self.seconds())
            save(self.host.checkpoint, tensors, {"identity": self.identity(), **facts})
            self.notice = None
        except UserError as error:
            self.notice = str(error)
        self.saved = self.host.clock()
        self.save_after = max(SAVE_SECONDS, SAVE_TIMES * (self.saved - began))

    def resume(self) -> None:
        """Go on from the checkpoint, where there is one. UserError where it is of another training."""
        path = self.host.checkpoint
        if path and (found := load(path)):
            tensors, facts = found
            check_identity(path, self.identity(), facts.get("identity", {}))
            self.state.unpack(path, tensors, facts)
            self.crew.reseed(self.work.seed, self.state.steps)

    def identity(self) -> dict[str, Any]:
        """What a checkpoint has to agree with."""
        work, graph = self.work, self.model.graph
        return {
            "network": graph.canonical,
            "graph": graph.digest,
            "data": work.data.name,
            "images": work.data.fingerprint,
            "budget": str(work.budget),
            "seed": work.seed,
            "recipe": asdict(work.recipe),
            "execution": work.execution.as_json(),
        }

    # -- the end -------------------------------------------------------------------------------------

    def outcome(self) -> Outcome:
        """The final errors; only here, and only if training did not diverge, the test part is read."""
        steps, seconds, history = self.state.steps, self.seconds(), tuple(self.state.history)
        seen = tuple(self.state.observations)
        voters = self.voters()
        loss, error = (math.nan, None) if self.diverged() else self.errors(self.feeds.seen(TRAIN_IMAGES), voters)
        if not math.isfinite(loss):
            why = f"the loss was not finite in epoch {len(history)}"
            return Outcome(DIVERGED, why, steps, seconds=seconds, history=history, observations=seen)
        _, validation_error = self.errors(self.feeds.validation(), voters)
        test_loss, test_error = self.errors(self.feeds.test(), voters)
        self.save_weights(voters)
        return Outcome(
            DONE, None, steps, error, loss, validation_error, test_error, _finite(test_loss), seconds, history, seen
        )

    def failed(self, reason: str) -> Outcome:
        """What is known of a training that could not go on."""
        steps, history = self.state.steps, tuple(self.state.history)
        when = "the final evaluation" if self.over() else f"epoch {len(history) + 1}"
        where = f"in {when}, after {steps} steps; batches of {self.recipe.batch}"
        seen = tuple(self.state.observations)
        return Outcome(FAILED, f"{reason} ({where})", steps, seconds=self.seconds(), history=history, observations=seen)

    def final_images(self) -> int:
        """How many images the final training and validation error take, each as often as weights vote."""
        votes = self.recipe.cycles if self.recipe.reports == SNAPSHOTS else 1
        return votes * (len(self.feeds.seen(TRAIN_IMAGES)) + len(self.work.data.validation))

    def voters(self) -> list[Weights]:
        """The weights whose errors are reported; none: those that the model has."""
        last = [copied(self.model)] if self.recipe.reports == SNAPSHOTS else []
        return self.state.kept + last

    def errors(self, feed: Feed, voters: Sequence[Weights] = ()) -> tuple[float, float]:
        """Mean loss and error on all that a feed gives, in batches that take no more memory than training does."""
        batches = feed.in_order(self.recipe.batch)
        with self.precision.autocast(), self.meter.reading():
            return evaluate(self.model, self.paused(batches, len(voters) or 1), voters)

    def paused(self, batches: Batches, votes: int) -> Batches:
        """The batches, with a pause after each, on which so many weights vote."""
        for batch in batches:
            yield batch
            self.meter.read(len(batch[1]) * votes, final=self.over())
            self.pause()

    def save_weights(self, voters: Sequence[Weights]) -> None:
        """Keep the weights whose errors are reported; where that cannot be, it is told, and the errors are kept."""
        if self.host.weights is None or self.crew.rank:
            return
        sets = voters or [self.model.state_dict()]
        parts = sets if len(sets) == 1 else [prefixed(f"vote{number}", own) for number, own in enumerate(sets)]
        try:
            save(self.host.weights, {name: one for own in parts for name, one in own.items()}, self.identity())
        except UserError as error:
            self.notice = str(error)
            self.tell()


def check_device(device: str) -> None:
    """UserError unless torch can train on `device`: cpu, cuda, cuda:1, mps, ..."""
    try:
        kind = torch.empty(0, device=device).device.type
        if kind == "meta" or (kind == "cpu" and device != "cpu"):
            raise RuntimeError("write cpu, cuda, cuda:1 or mps")
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(f"--device: torch cannot use {device[:80]!r} here ({reason}); cpu always works") from error


def _guiding(work: Work) -> int:
    """How many validation images are read after each epoch."""
    if work.recipe.reports == BEST:
        return len(work.data.validation)
    return max(VALIDATION_IMAGES, len(work.data.train) // VALIDATION_SHARE)


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


def _finite(value: float) -> float | None:
    """A number, or None for what is none."""
    return value if math.isfinite(value) else None
