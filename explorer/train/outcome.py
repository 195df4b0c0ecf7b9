"""How a training ended, as frozen records. Errors are fractions in [0, 1]; not measured is None, never 0."""

from dataclasses import dataclass
from typing import Any

DONE, DIVERGED, FAILED = "done", "diverged", "failed"


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of one trial; training loss and error are averages over the epoch's own batches."""

    epoch: int  # from 1
    seconds: float  # since the trial's start
    lr: float  # of the epoch's last step
    train_loss: float | None  # mean cross-entropy in nats, as all losses
    train_error: float | None
    validation_loss: float | None
    validation_error: float | None


@dataclass(frozen=True)
class Observation:
    """What an observer saw of a network after so many epochs (0: before the first step), as plain JSON, not None."""

    epoch: int
    name: str  # train.observe.OBSERVERS
    value: Any


@dataclass(frozen=True)
class Outcome:
    """What one training gave. Errors are of the weights that the recipe reports, in evaluation mode."""

    status: str  # done, diverged or failed (out of memory, out of time)
    message: str | None = None  # why it diverged or failed, and in which epoch
    steps: int | None = None
    train_error: float | None = None  # on all training images
    train_loss: float | None = None
    validation_error: float | None = None
    test_error: float | None = None  # read once, and only of a training that is done
    test_loss: float | None = None
    seconds: float | None = None
    history: tuple[EpochRecord, ...] = ()
    observations: tuple[Observation, ...] = ()

    @property
    def best(self) -> EpochRecord | None:
        """The first epoch with the lowest validation error; None where none was measured."""
        return lowest(self.history)


def lowest(history: tuple[EpochRecord, ...] | list[EpochRecord]) -> EpochRecord | None:
    """The first epoch with the lowest validation error; None where none was measured."""
    measured = [epoch for epoch in history if epoch.validation_error is not None]
    return min(measured, key=lambda epoch: epoch.validation_error or 0.0, default=None)
