"""How a training is doing, told a few times a second: looking at a loss makes a GPU wait."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from explorer.train.outcome import EpochRecord

EVERY_SECONDS = 0.5
WINDOW = 20  # looks that a speed is taken over
FORWARD_SHARE = 1 / 3  # of a step's time: what reading an image takes, as long as nothing has been read


@dataclass(frozen=True)
class Status:
    """Where a training stands. Loss and error are means over the running epoch's batches so far."""

    fraction: float  # of the budget that is spent
    epoch: int  # that is running, from 1
    loss: float | None
    error: float | None
    images_per_second: float | None = None  # of training steps; reading validation images is left out
    flops_per_second: float | None = None  # two for each multiply-add of forward pass and gradients
    peak_share: float | None = None  # of what the device can do; None where that is not known
    seconds_left: float | None = None  # until the final errors are known
    latest: EpochRecord | None = None  # the last whole epoch
    notice: str | None = None  # what went wrong and does not stop the training


Progress = Callable[[Status], None]


class Meter:
    """Speed of training steps over the last looks, the time left, and when it is time for the next look."""

    def __init__(self, clock: Callable[[], float], macs: int, peak_flops: float | None, final_images: int = 0) -> None:
        """`final_images` will be read for the final errors; not those of the test part, which nobody has touched."""
        self.clock, self.macs, self.peak, self.to_read = clock, macs, peak_flops, final_images
        self.looked = clock()
        self.looks: deque[tuple[float, int]] = deque([(self.looked, 0)], WINDOW)  # seconds of steps, their images
        self.images = self.images_read = 0
        self.seconds_read = 0.0
        self.reading_since: float | None = None
        self.rate: float | None = None
        self.begun: tuple[float, float] | None = None  # time and fraction at the first look

    def trained(self, images: int) -> None:
        """So many more images have gone through a step."""
        self.images += images

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Time that is none of training steps."""
        self.reading_since = self.clock()
        try:
            yield
        finally:
            self.seconds_read = self._reading(self.clock())
            self.reading_since = None

    def read(self, images: int, final: bool) -> None:
        """So many more images have been read for an error; `final`: of those that the last errors take."""
        self.images_read += images
        self.to_read = max(0, self.to_read - images) if final else self.to_read

    def due(self) -> bool:
        """Whether the last look is long enough ago."""
        return self.clock() - self.looked >= EVERY_SECONDS

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
        self.looked, stepping = now, now - self._reading(now)
        if stepping > then and self.images > before:
            self.rate = (self.images - before) / (stepping - then)
        if stepping > self.looks[-1][0]:
            self.looks.append((stepping, self.images))
        self.begun = self.begun or (now, fraction)
        flops = None if self.rate is None else 2 * self.macs * self.rate
        share = None if flops is None or not self.peak else flops / self.peak
        left = self._left(now, fraction)
        return Status(fraction, epoch, loss, error, self.rate, flops, share, left, latest, notice)

    def _reading(self, now: float) -> float:
        """Seconds that images have been read for."""
        return self.seconds_read + (0.0 if self.reading_since is None else now - self.reading_since)

    def _left(self, now: float, fraction: float) -> float | None:
        """Seconds until the budget is spent, if it goes on as since the first look, and the final errors are read."""
        assert self.begun
        spent, done = now - self.begun[0], fraction - self.begun[1]
        if done <= 0 and fraction < 1:
            return None
        return (spent * (1 - fraction) / done if done > 0 else 0.0) + self.to_read * self._seconds_an_image(now)

    def _seconds_an_image(self, now: float) -> float:
        """What reading one takes: as measured, or a step's forward pass; 0 while nothing is known."""
        if self.images_read:
            return self._reading(now) / self.images_read
        return FORWARD_SHARE / self.rate if self.rate else 0.0
