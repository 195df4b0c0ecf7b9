"""Time of steps: device events on CUDA, clocks around finished work elsewhere; warm-up until it is stable."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import torch

Step = Callable[[], None]

TURN_S = 0.1  # a turn of several steps lasts about so long
LONGEST_TURN = 100  # steps
WINDOWS, AGREE = 3, 1.05  # warm-up ends when the medians of so many windows differ by less than this factor
WARM_UP_S = 20.0  # or when this has passed


@dataclass(frozen=True)
class Turn:
    """Milliseconds of steps, one after the other; of the processor only where a single thread computes."""

    wall_ms: list[float]
    cpu_ms: list[float] | None


@dataclass(frozen=True)
class WarmUp:
    """How a step became stable: steps and seconds it took, whether it did, and how many steps make a turn."""

    steps: int
    seconds: float
    stable: bool
    turn: int


def one_thread(kind: str) -> bool:
    """Whether a single thread computes: then its own time is steadier than the clock's, which others lengthen."""
    return kind == "cpu" and torch.get_num_threads() == 1


class Clock:
    """Times steps on a device."""

    def __init__(self, device: str) -> None:
        self.kind = device.partition(":")[0]
        self.single = one_thread(self.kind)

    def turn(self, step: Step, count: int) -> Turn:
        """So many steps. Several are begun by one that is not timed: another network ran in between."""
        if count > 1:
            step()
        if self.kind == "cuda":
            return Turn(_by_events(step, count), None)
        wall, cpu = [], []
        self.finish()
        for _ in range(count):
            begun, worked = time.perf_counter(), time.process_time()
            step()
            self.finish()
            wall.append(1e3 * (time.perf_counter() - begun))
            cpu.append(1e3 * (time.process_time() - worked))
        return Turn(wall, cpu if self.single else None)

    def finish(self) -> None:
        """Wait until the device has done what it was given."""
        if self.kind == "cuda":
            torch.cuda.synchronize()
        elif self.kind == "mps":
            torch.mps.synchronize()

    def warm_up(self, step: Step, seconds: float = WARM_UP_S) -> WarmUp:
        """Steps until the medians of neighbouring windows agree, or `seconds` have passed."""
        begun = time.perf_counter()
        medians: list[float] = []
        steps, window, stable = 0, 1, False
        while not stable and (len(medians) < 2 or time.perf_counter() - begun < seconds):
            turn = self.turn(step, window)
            steps += window + (window > 1)
            medians.append(median(turn.cpu_ms or turn.wall_ms))
            window = max(1, min(LONGEST_TURN, int(1e3 * TURN_S / median(turn.wall_ms))))
            last = medians[-WINDOWS:]
            stable = len(last) == WINDOWS and max(last) <= AGREE * min(last)
        return WarmUp(steps, time.perf_counter() - begun, stable, window)


def _by_events(step: Step, count: int) -> list[float]:
    """From the end of a step to the end of the next, as the device sees it: the host may run ahead."""
    events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]  # type: ignore[no-untyped-call]
    if count == 1:
        torch.cuda.synchronize()
    events[0].record()
    for event in events[1:]:
        step()
        event.record()
    torch.cuda.synchronize()
    return [begun.elapsed_time(ended) for begun, ended in pairwise(events)]
