"""How a training is doing, told a few times a second: looking at a loss makes a GPU wait."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from explorer.train.outcome import EpochRecord

EVERY_SECONDS = 0.5
WINDOW = 20  # looks that a speed is taken over


@dataclass(frozen=True)
class Status:
    """Where a training stands. Loss and error are means over the running epoch's batches so far."""

    fraction: float  # of the budget that is spent
    epoch: int  # that is running, from 1
    loss: float | None
    error: float | None
    images_per_second: float | None = None
    flops_per_second: float | None = None  # two for each multiply-add of forward pass and gradients
    peak_share: float | None = None  # of what the device can do; None where that is not known
    seconds_left: float | None = None
    latest: EpochRecord | None = None  # the last whole epoch
    notice: str | None = None  # what went wrong and does not stop the training


Progress = Callable[[Status], None]


class Meter:
    """Speed over the last looks, and when it is time for the next."""

    def __init__(self, clock: Callable[[], float], macs: int, peak_flops: float | None) -> None:
        self.clock, self.macs, self.peak = clock, macs, peak_flops
        self.looks: deque[tuple[float, int]] = deque([(clock(), 0)], WINDOW)
        self.images = 0
        self.begun: tuple[float, float] | None = None  # time and fraction at the first look

    def trained(self, images: int) -> None:
        """So many more images have gone through a step."""
        self.images += images

    def due(self) -> bool:
        """Whether the last look is long enough ago."""
        return self.clock() - self.looks[-1][0] >= EVERY_SECONDS

    def look(
        self,
        fraction: float,
        epoch: int,
        loss: float | None,
        error: float | None,
        latest: EpochRecord | None,
        notice: str | None,
    ) -> Status:
        """The status now."""
        now, (then, before) = self.clock(), self.looks[0]
        self.looks.append((now, self.images))
        self.begun = self.begun or (now, fraction)
        rate = (self.images - before) / (now - then) if now > then and self.images > before else None
        flops = None if rate is None else 2 * self.macs * rate
        share = None if flops is None or not self.peak else flops / self.peak
        return Status(fraction, epoch, loss, error, rate, flops, share, self._left(now, fraction), latest, notice)

    def _left(self, now: float, fraction: float) -> float | None:
        """Seconds until the budget is spent, if it goes on as it has gone since the first look."""
        assert self.begun
        spent, done = now - self.begun[0], fraction - self.begun[1]
        return spent * (1 - fraction) / done if done > 0 else None
