"""Where the trials of a sweep run: which engine, how many at once, on which device, within which limits."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from explorer.errors import UserError, nearest
from explorer.sweep.engine import Engine, LocalEngine, usable_cores
from explorer.sweep.plan import check_workers
from explorer.sweep.seat import Limits

ENGINES = ("local", "ray")
MAX_PER_DEVICE = 64
MAX_SECONDS = 30 * 24 * 3600
MAX_GIB = 2**20
LEAST_GIB = 0.6  # with 0.58 the smallest network on digits fails in its first step
GRACE_SECONDS = 30.0  # beyond its time limit, for a trial that ends by itself: its data, one step, its checkpoint


@dataclass(frozen=True)
class Placement:
    """How trials are placed, as the command says it."""

    engine: str  # local, ray or ray:ADDRESS
    device: str
    workers: int | None  # None: one for each core or GPU
    per_device: int  # trials that share a GPU
    time_limit: float | None  # seconds of a trial
    memory_limit: float | None  # GiB of a trial

    def check(self) -> "Placement":
        """Itself; UserError, naming the option, for a value that makes no sense anywhere."""
        name = self.engine.partition(":")[0]
        if name not in ENGINES or self.engine.startswith("local:"):
            known = nearest(name, ENGINES)
            raise UserError(f"--engine: {self.engine[:80]!r} is no engine, write local, ray or ray:ADDRESS; {known}")
        if name == "ray" and self.device not in ("cpu", "cuda"):
            raise UserError(f"--device: Ray chooses which: with --engine ray write cpu or cuda, not {self.device[:80]}")
        if name == "ray" and self.workers is not None:
            raise UserError("--workers: with --engine ray the cluster's size says how many trials run at once")
        if self.workers is not None:
            check_workers(self.workers)
        if not 1 <= self.per_device <= MAX_PER_DEVICE:
            raise UserError(f"--per-device: {self.per_device} is not a number of trials from 1 to {MAX_PER_DEVICE}")
        if self.per_device > 1 and self.device == "cpu":
            raise UserError("--per-device: it is a GPU that trials share; on the processor --workers says how many run")
        self._check_limits()
        return self

    def _check_limits(self) -> None:
        seconds, gib = self.time_limit, self.memory_limit
        if seconds is not None and not 0 < seconds <= MAX_SECONDS:
            raise UserError(f"--time-limit: {seconds:g} is not a number of seconds above 0 and within 30 days")
        if gib is not None and not 0 < gib <= MAX_GIB:
            raise UserError(f"--memory-limit: {gib:g} is not a size in GiB above 0")
        if gib is not None and gib < LEAST_GIB:
            raise UserError(
                f"--memory-limit: {gib:g} is below the {LEAST_GIB:g} GiB that torch and a small network take"
            )
        if gib is not None and self.device != "cpu":
            raise UserError("--memory-limit: it is the processor's memory that is limited; leave it out with a GPU")

    def check_device(self) -> None:
        """UserError for a device that trials cannot use; what a cluster has is known when it is open."""
        if self.engine == "local":
            check_device(self.device)

    def open(self, task: str) -> Engine:
        """The engine, connected where it is a cluster's. UserError where that cannot be reached."""
        memory = None if self.memory_limit is None else int(self.memory_limit * 2**30)
        limits = Limits(self.time_limit, memory, GRACE_SECONDS)
        if self.engine == "local":
            return LocalEngine(task, environments(self.device, self.workers, self.per_device), limits)
        from explorer.sweep.ray_engine import RayEngine

        gpus = 0.0 if self.device == "cpu" else 1 / self.per_device
        address = self.engine.partition(":")[2] or None
        return RayEngine(task, address, gpus, worker_environment(self.device), limits)


def check_device(device: str) -> None:
    """UserError for a device torch cannot use here; the processor needs no torch to know."""
    if device != "cpu":
        from explorer.train import loop

        loop.check_device(device)


def environments(device: str, workers: int | None, per_device: int) -> list[Mapping[str, str]]:
    """One environment for each local worker: one a core, or `per_device` for each GPU, which they see alone."""
    common = worker_environment(device)
    if device != "cuda":
        count = usable_cores() if device == "cpu" else per_device
        return [common] * (count if workers is None else workers)
    devices = visible_gpus()
    count = len(devices) * per_device if workers is None else workers
    return [common | {"CUDA_VISIBLE_DEVICES": devices[number % len(devices)]} for number in range(count)]


def visible_gpus() -> Sequence[str]:
    """The GPUs of this process, by the names or numbers that its workers know them by."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named:
        return [name.strip() for name in named.split(",")]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def worker_environment(device: str) -> dict[str, str]:
    """What workers on CPU need before torch is loaded: one thread each."""
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1") if device == "cpu" else {}
