"""The largest batch that fits on a device, each trial in a process of its own."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any

import explorer
from explorer.analysis.foreign import is_foreign
from explorer.analysis.memory import memory, predictable
from explorer.blocks.graph import Graph
from explorer.measure.process import OK, WORKER, Lost, check, start
from explorer.measure.setting import Setting

FINE = 64  # batches are told apart to one part in so many, smaller ones exactly
MOST = 2**24  # images
MANY = (1024, 2048)  # images
FIRST_GUESS = 8  # images, where memory is not predicted


@dataclass(frozen=True)
class Trial:
    """A batch that was run, and how it ended."""

    batch: int
    outcome: str
    reason: str | None


@dataclass(frozen=True)
class Largest:
    """The largest batch that ran (None: not even one image did), and every trial on the way, in order."""

    batch: int | None
    trials: tuple[Trial, ...]

    @property
    def refused(self) -> Trial | None:
        """The smallest trial that did not fit."""
        return min((t for t in self.trials if t.outcome != OK), key=lambda t: t.batch, default=None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def largest_batch(
    net: str,
    setting: Setting,
    *,
    progress: Callable[[str], None] | None = None,
    worker: Sequence[str] = WORKER,
) -> Largest:
    """The largest batch of which some steps run; the setting's own batch is not looked at.

    Exact up to 64 images, above to one part in 64. Raises UserError for what the device cannot do.
    """
    trials: list[Trial] = []

    def fits(batch: int) -> bool:
        if progress:
            progress(f"{net}: does a batch of {batch:,} fit?")
        trials.append(_trial(net, replace(setting, batch=batch), worker))
        return trials[-1].outcome == OK

    batch = search(fits, _guess(net, setting, check(setting, worker)))
    return Largest(batch, tuple(trials))


def search(fits: Callable[[int], bool], guess: int) -> int | None:
    """The largest number that fits, if all smaller ones do; near `guess` it is found soonest.

    It is one that was tried; None if 1 does not fit. Exact up to FINE, above to one part in FINE.
    """
    low, high, step = 0, MOST + 1, 1
    at = min(max(1, guess), MOST)
    while high - low > max(1, low // FINE):
        if fits(at):
            low = at
        else:
            high = at
        if low and high <= MOST:
            at = (low + high) // 2
        elif low:
            at, step = min(low + max(1, low * step // FINE), MOST), 2 * step
        else:
            at, step = max(1, high - 1 - high * step // FINE), 2 * step
    return low or None


def _trial(net: str, setting: Setting, worker: Sequence[str]) -> Trial:
    try:
        process, _ = start(setting, worker)
        with closing(process):
            process.ask("fits", setting=setting.as_dict(), text=net)
    except Lost as lost:
        return Trial(setting.batch, lost.outcome, lost.reason)
    return Trial(setting.batch, OK, None)


def _guess(net: str, setting: Setting, available: int | None) -> int:
    """What is predicted to fit."""
    graph = None if is_foreign(net) else explorer.expand(net, input=setting.input, classes=setting.classes)
    if graph is None or available is None or not predictable(graph):
        return FIRST_GUESS
    return predicted_batch(graph, setting, available)


def predicted_batch(graph: Graph, setting: Setting, available: int) -> int:
    """The batch whose predicted memory is what there is. Of many images memory is a constant and so much for each."""
    element = 4 if setting.training or setting.dtype == "fp32" else 2
    device = "cuda" if setting.kind == "cuda" else "cpu"
    some, more = (memory(graph, batch, setting.mode, element, device, setting.layers).peak for batch in MANY)
    each = max(1, (more - some) // (MANY[1] - MANY[0]))
    return max(1, MANY[0] + (available - some) // each)
