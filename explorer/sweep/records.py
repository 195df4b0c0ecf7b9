"""What the store holds, as plain frozen records. Not measured is None, never 0.

Errors are fractions in [0, 1], losses mean cross-entropies in nats, times seconds, moments ISO 8601 in UTC.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from explorer.train.outcome import DIVERGED, DONE, FAILED, EpochRecord, Observation

__all__ = [
    "DIVERGED",
    "DONE",
    "FAILED",
    "FINISHED",
    "CandidateRecord",
    "DataRecord",
    "EpochRecord",
    "MeasurementRecord",
    "NetworkRecord",
    "Observation",
    "RunRecord",
    "TrialRecord",
    "now",
]

FINISHED = (DONE, DIVERGED)  # a failed trial is tried again by the next run, these never are


@dataclass(frozen=True)
class NetworkRecord:
    """An expanded network at one input size, and its exact cost for one image."""

    digest: str  # sha256 of the expanded graph
    canonical: str  # the canonical text
    text: str  # as last typed
    input: tuple[int, ...]  # channels, height, width
    params: int
    macs: int  # multiply-adds of convolutions and linear layers
    activations: int  # output elements of these
    depth: int  # as the papers count
    chain: int  # longest dependent path


@dataclass(frozen=True)
class DataRecord:
    """A data set as it was when trained on; `train`, `validation` and `test` count images."""

    fingerprint: str  # sha256 of the images and labels
    name: str
    shape: tuple[int, ...]  # channels, height, width
    classes: int
    train: int
    validation: int
    test: int
    description: str
    evidence: str  # what a result on it is evidence of, and what not


@dataclass(frozen=True)
class CandidateRecord:
    """One network of a run: `base` with MS-SAR at `scales` (none: plain, None: the run had no scales)."""

    text: str
    base: str
    scales: tuple[int, ...] | None
    network: NetworkRecord


@dataclass(frozen=True)
class TrialRecord:
    """One network trained once: its identity, how it ended, and what was measured."""

    id: str  # sha256 of network, data, recipe, seed and budget
    network: str  # NetworkRecord.digest
    data: str  # DataRecord.fingerprint
    recipe: dict[str, Any]
    seed: int
    budget: str  # canonical text, such as 20epochs or 60s
    status: str  # done, diverged or failed
    message: str | None  # why it diverged or failed
    epochs: int | None
    steps: int | None
    train_error: float | None  # of the final weights in evaluation mode, on all training images
    train_loss: float | None
    validation_error: float | None  # of the final weights
    best_validation_error: float | None
    best_epoch: int | None
    test_error: float | None  # of the final weights, read once
    test_loss: float | None
    seconds: float | None
    environment: dict[str, Any]  # python, torch, numpy, explorer, revision, machine, device, threads
    started: str
    finished: str


@dataclass(frozen=True)
class MeasurementRecord:
    """One network measured on one device: how (device, batch, layers, dtype, ...), and what came out."""

    network: str  # NetworkRecord.digest
    setting: dict[str, Any]
    numbers: dict[str, Any]  # units are in the names: latency_ms, peak_bytes
    environment: dict[str, Any]
    measured: str


@dataclass(frozen=True)
class RunRecord:
    """One command: its configuration and how far it is. The same command again is the same run."""

    id: int
    created: str
    command: str  # sweep or train
    config: dict[str, Any]
    planned: int  # trials that belong to it
    finished: int  # of these, done or diverged
    failed: int


def now() -> str:
    """This moment in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
