"""What was measured, as plain data. What was not measured is None."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import Any

from explorer.measure.process import FAILED, OK, OUT_OF_MEMORY
from explorer.measure.setting import Setting

INTERRUPTED = "interrupted"
OUTCOMES = (OK, OUT_OF_MEMORY, FAILED, INTERRUPTED)
Turns = Sequence[Sequence[float]]  # milliseconds of steps, turn by turn
WIDE = 0.05  # a spread that is worth a warning


@dataclass(frozen=True)
class Latency:
    """Milliseconds of a step or an inference, and what follows from its median."""

    median_ms: float
    q1_ms: float
    q3_ms: float
    p95_ms: float
    samples: int
    rounds: int  # in which the samples were taken, networks taking turns
    images_per_s: float
    cpu_ms: float | None  # median of processor time, where one thread computes
    warm_up: int  # steps before
    stable: bool  # whether warm-up ended because times agreed
    interleaved: bool  # with the other networks of the call

    @property
    def spread(self) -> float:
        """Distance of the quartiles, as a part of the median."""
        return (self.q3_ms - self.q1_ms) / self.median_ms

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "spread": self.spread}


@dataclass(frozen=True)
class Ratio:
    """Time per image beside the first network's: median and quartiles of the ratios of turns next to each other.

    Without quartiles where the networks did not take turns: then it is the ratio of medians. `of` says which time:
    `cpu` where a single thread computes, which is then the steadier one, else `wall`.
    """

    median: float
    q1: float | None
    q3: float | None
    rounds: int
    of: str


@dataclass(frozen=True)
class MemoryUse:
    """Bytes. `peak_bytes` is the device's own account, `tensors_bytes` the peak of tensors followed one by one.

    Parameters, buffers, optimizer, image, gradients, activations (saved for the backward pass) and temporaries are
    there when most tensors are: they add up to `tensors_bytes`. Workspace is what the device had beyond them. Of a
    compiled network storages are not followed: activations, temporaries and workspace are not known, gradients are all.
    """

    peak_bytes: int
    reserved_bytes: int | None  # by CUDA's caching allocator
    parameters: int
    buffers: int
    optimizer: int
    image: int
    gradients: int
    activations: int | None
    temporaries: int | None
    workspace: int | None
    tensors_bytes: int | None
    saved_bytes: int | None  # all that the forward pass saves; in training
    inference_peak_bytes: int | None  # of the same batch; in training


@dataclass(frozen=True)
class Measurement:
    """One network under one setting."""

    network: str
    setting: Setting
    outcome: str  # one of OUTCOMES
    reason: str | None = None  # why it is not ok, in words
    latency: Latency | None = None
    ratio: Ratio | None = None  # None where a single network was measured
    memory: MemoryUse | None = None
    parts: dict[str, Any] | None = field(default=None, repr=False)  # explorer.measure.parts
    environment: dict[str, Any] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "network": self.network,
            "setting": self.setting.as_dict(),
            "outcome": self.outcome,
            "reason": self.reason,
            "latency": None if self.latency is None else self.latency.as_dict(),
            "ratio": None if self.ratio is None else asdict(self.ratio),
            "memory": None if self.memory is None else asdict(self.memory),
            "parts": self.parts,
            "environment": self.environment,
            "notes": list(self.notes),
        }


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Linear between neighbours, as numpy's percentiles."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    q1, middle, q3 = quantiles(values, n=4, method="inclusive")
    return q1, middle, q3


def percentile_95(values: Sequence[float]) -> float:
    """The same way."""
    return values[0] if len(values) == 1 else quantiles(values, n=20, method="inclusive")[-1]


def latency_of(
    turns: Turns,
    cpu: Turns,
    batch: int,
    warm_up: int,
    stable: bool,
    interleaved: bool,
) -> Latency:
    """The statistics of a network's turns; `cpu`: the same of processor time, empty where that tells nothing."""
    samples = [sample for turn in turns for sample in turn]
    q1, middle, q3 = quartiles(samples)
    return Latency(
        median_ms=middle,
        q1_ms=q1,
        q3_ms=q3,
        p95_ms=percentile_95(samples),
        samples=len(samples),
        rounds=len(turns),
        images_per_s=1e3 * batch / middle,
        cpu_ms=median(sample for turn in cpu for sample in turn) if cpu else None,
        warm_up=warm_up,
        stable=stable,
        interleaved=interleaved,
    )


def ratio_of(turns: Turns, first: Turns, paired: bool, images: float, of: str) -> Ratio:
    """Turns beside the first network's. `images`: the first one's batch as a multiple of this one's."""
    if not paired:
        medians = [median(sample for turn in those for sample in turn) for those in (turns, first)]
        return Ratio(images * medians[0] / medians[1], None, None, 0, of)
    ratios = [images * median(a) / median(b) for a, b in zip(turns, first, strict=False)]
    q1, middle, q3 = quartiles(ratios)
    return Ratio(middle, q1, q3, len(ratios), of)


def remarks(latency: Latency | None) -> list[str]:
    """Warnings about a latency."""
    if latency is None:
        return []
    found = []
    if latency.spread > WIDE:
        found.append(f"its quartiles are {100 * latency.spread:.0f}% of the median apart: something else was running")
    if not latency.stable:
        found.append("its times had not become stable when warm-up ended")
    if latency.samples < 50:
        found.append(f"{latency.samples} samples: it is slow")
    return found
