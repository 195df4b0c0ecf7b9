"""A device's file, from microbenchmarks on it: the numbers that make the roofline's times of single ops right.

The numbers are found by least squares over the logarithms of time. They describe ops; no network is looked at.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from explorer.analysis.clock import Clock, setting_of
from explorer.analysis.convolutions import Work
from explorer.analysis.device import PEAKS, RATES, Achieved, Device, Form, Launch, Memory, recognise
from explorer.analysis.kernels import (
    EVALUATION,
    FORWARD_PASS,
    INPUT_PASS,
    WEIGHT_PASS,
    backward_works,
    forward_works,
)
from explorer.analysis.ledger import row_of
from explorer.analysis.memory import INFER, TRAIN
from explorer.errors import UserError
from explorer.measure.answers import devices
from explorer.measure.environment import processor
from explorer.measure.microbenchmarks import Case, Sample, Stopwatch, cases, measure_case
from explorer.nn.fast.allocator import keep_freed_memory

DTYPE = "fp32"
NOISY = 0.15  # a median error above this is the machine's, not the model's
ROUNDS = 4  # over all cases; the least time of each counts
LEAST_S = 0.01  # of a measurement
START = {
    "memory.bandwidth": 2e10, "memory.cache_bandwidth": 6e10, "memory.cache_bytes": 2e7,
    "achieved.forward": 0.8, "achieved.input_gradient": 0.8, "achieved.weight_gradient": 0.7, "achieved.matmul": 0.8,
    "achieved.reorder": 0.5, "shape.summands": 8.0, "shape.channels": 8.0,
    "launch.forward_s": 5e-6, "launch.backward_s": 5e-6, "launch.kernel_s": 2e-6, "launch.round_s": 2e-6,
    "launch.prepare_s": 3e-5, "shape.ragged": 2.0, "shape.aliased": 2.0, "shape.by_image": 8.0,
    "rates.normalise": 1e10, "rates.statistics": 5e8, "rates.pooling": 5e8, "rates.maxima": 5e8, "rates.random": 1e8,
    "rates.uneven": 2e9,
}  # fmt: skip
ON_GPU = {
    "achieved.bandwidth": 0.8, "achieved.forward": 0.5, "achieved.input_gradient": 0.5, "achieved.weight_gradient": 0.4,
    "achieved.matmul": 0.5, "achieved.reorder": 0.8, "shape.summands": 32.0, "shape.channels": 16.0,
    "shape.outputs": 2e5, "launch.kernel_s": 3e-6,
}  # fmt: skip
LANES = {"AVX512": 16, "AVX2": 8}  # numbers of single precision that a CPU's instruction takes


class Fit(NamedTuple):
    """A calibrated device, and how far off it is on the microbenchmarks."""

    device: Device
    samples: list[Sample]
    predicted: list[float]

    @property
    def error(self) -> float:
        """The median relative error of a sample."""
        measured = np.array([sample.seconds for sample in self.samples])
        return float(np.median(np.abs(np.array(self.predicted) / measured - 1)))


def calibrate(
    device: str = "cpu",
    threads: int = 1,
    progress: Callable[[str], None] = lambda line: None,
    known: Device | None = None,
) -> Fit:
    """Measures and fits a device at hand; one to three minutes. From then on this process keeps the memory it frees.

    `threads`: of a CPU. `progress` is given lines to show. `known`: where a GPU's peak rates and memory are from, by
    default the shipped file that fits. Raises UserError for a device that is not there, and for a GPU that is unknown.
    """
    blank = _blank(device, threads, known)
    keep_freed_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        samples = _measured(cases(), Stopwatch(device, threads), progress)
        blank = _with_launches(blank, device) if blank.launch.ahead else blank
    finally:
        torch.set_num_threads(before)
    progress("fitting")
    return fit(blank, samples)


def _blank(device: str, threads: int, known: Device | None) -> Device:
    """A device of which the peaks, or the kind, are known and the rest is to be fitted."""
    if type(threads) is not int or threads < 1:
        raise UserError("threads is a whole number of at least 1")
    today = datetime.now(UTC).date().isoformat()
    source = f"calibrated with torch {torch.__version__}, {today}"
    if device == "cpu":
        return _blank_cpu(threads, f"{source}, {threads} thread{'s' * (threads != 1)}")
    there = [name for name in devices() if name != "mps"]
    if device not in there:
        raise UserError(f"cannot calibrate on '{device[:100]}'; there is {', '.join(there)}")
    name = torch.cuda.get_device_name(device)
    known = known or recognise(name)
    if known is None:
        raise UserError(f"no shipped device file has the peak rates of '{name}'; give one that has (docs/latency.md)")
    return replace(known, source=f"{known.source.partition(';')[0]}; {source}", measured=True)


def _blank_cpu(threads: int, source: str) -> Device:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    lanes = LANES.get(torch.backends.cpu.get_cpu_capability(), 4)
    form = Form(0, 0, 0, lanes, min(lanes, 8), overlaps=False, reorders=("fp32",))
    return Device(
        name="this-cpu",
        recognise=processor(),
        source=source,
        memory=Memory(memory, 1.0),
        peak={},
        achieved=Achieved(1, 1, 1, 1, bandwidth=1, reorder=1),
        shape=form,
        launch=Launch(0, 0, 0, ahead=False, fused_updates=False),
        rates={},
        threads=threads,
        measured=True,
    )


def _measured(todo: list[Case], watch: Stopwatch, progress: Callable[[str], None]) -> list[Sample]:
    """The least time of each case and phase over rounds through all of them."""
    least: dict[tuple[int, str], Sample] = {}
    for done in range(ROUNDS):
        progress(f"round {done + 1} of {ROUNDS}: {len(todo)} ops")
        for place, case in enumerate(todo):
            for sample in measure_case(case, watch, LEAST_S):
                key = (place, sample.phase)
                if key not in least or sample.seconds < least[key].seconds:
                    least[key] = sample
    return list(least.values())


def _with_launches(blank: Device, device: str) -> Device:
    """The host's time for a call where it runs ahead: many small ones, not waited for."""
    layer = torch.nn.ReLU()
    value = torch.ones(8, device=device, requires_grad=True)
    host = Stopwatch("cpu", threads=0)

    def chain() -> torch.Tensor:
        result = value
        for _ in range(200):
            result = layer(result)
        return result

    forward = host.measure(chain, 0.1) / 200
    both = host.measure(lambda: torch.autograd.grad(chain().sum(), value), 0.2) / 200
    torch.cuda.synchronize(device)
    return replace(blank, launch=replace(blank.launch, forward_s=forward, backward_s=max(both - forward, 0.0)))


def fit(blank: Device, samples: Sequence[Sample]) -> Fit:
    """The device with the numbers that fit the samples best. `blank`: all that is not fitted."""
    from scipy.optimize import least_squares  # type: ignore[import-untyped]

    start = ON_GPU if blank.launch.ahead else START
    peak = dict(blank.peak) or {DTYPE: _fastest(samples)}
    known = replace(blank, peak=peak)
    works = [works_of(known, sample) for sample in samples]
    measured = np.log([sample.seconds for sample in samples])

    def residuals(logs: Any) -> Any:
        return np.log(times_of(_with(known, dict(zip(start, np.exp(logs), strict=True))), samples, works)) - measured

    found = least_squares(residuals, np.log(list(start.values())), loss="soft_l1", f_scale=0.1, max_nfev=60)
    device = _with(known, dict(zip(start, np.exp(found.x), strict=True)))
    fitted = Fit(device, list(samples), times_of(device, samples, works))
    return fitted._replace(device=replace(device, source=f"{device.source}, median error {fitted.error:.0%}"))


def _fastest(samples: Iterable[Sample]) -> float:
    """The highest rate that any forward pass reached, in FLOPs a second: what counts as a CPU's peak."""
    forward = (sample for sample in samples if sample.phase == FORWARD_PASS)
    return max(float(2 * sample.case.batch * row_of(sample.case.op).macs) / sample.seconds for sample in forward)


def _with(device: Device, numbers: dict[str, float]) -> Device:
    """The device with other numbers, named table.key."""
    tables: dict[str, dict[str, float]] = {}
    for name, value in numbers.items():
        table, key = name.split(".")
        tables.setdefault(table, {})[key] = float(value)
    rates = tables.pop("rates", dict(device.rates))
    changed: dict[str, Any] = {name: replace(getattr(device, name), **keys) for name, keys in tables.items()}
    return replace(device, rates=rates, **changed)


def works_of(device: Device, sample: Sample) -> list[Work]:
    """The kernels of a sample."""
    case, phase = sample.case, sample.phase
    at = setting_of(device, case.batch, INFER if phase == EVALUATION else TRAIN, DTYPE)
    if phase in (EVALUATION, FORWARD_PASS):
        return forward_works(case.op, at)
    return backward_works(case.op, at, wants=phase != WEIGHT_PASS, learns=phase != INPUT_PASS)


def times_of(device: Device, samples: Sequence[Sample], works: list[list[Work]]) -> list[float]:
    """Predicted seconds. An op run again and again finds in the cache what fits into it."""
    times = []
    for sample, own in zip(samples, works, strict=True):
        at = setting_of(device, sample.case.batch, TRAIN, DTYPE)
        clock = Clock(device, at, DTYPE, footprint=sum(work.hot + work.cold for work in own), window=1.0)
        launch, compute, memory = clock.time(own, backward=sample.phase not in (EVALUATION, FORWARD_PASS))
        busy = compute + memory
        times.append(max(launch, busy) if device.launch.ahead else launch + busy)
    return times


def calibrate_file(path: Path, device: str, progress: Callable[[str], None]) -> Fit:
    """Calibrates the device at hand, a CPU with the threads that measurements on it have, and writes its file.

    Raises UserError, before anything is measured, where the file could not be written.
    """
    if path.suffix != ".toml" or not path.parent.is_dir():
        raise UserError(f"a device's file is named FILE.toml, in a folder that exists, not '{path}'")
    fit = calibrate(device, torch.get_num_threads(), progress)
    write_calibration(path, fit.device)
    return fit


def write_calibration(path: Path, device: Device) -> None:
    """Writes a device's file, named as the file is, whole or not at all. Raises UserError where that is impossible."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            aside.write_text(as_toml(replace(device, name=path.stem)), encoding="utf-8")
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write the device file {path}: {error.strerror or error}") from error


def as_toml(device: Device) -> str:
    """The text of a device's file; parse_device reads it back."""
    head = {"name": device.name, "recognise": device.recognise, "source": device.source, "threads": device.threads}
    tables: dict[str, dict[str, Any]] = {
        "memory": asdict(device.memory),
        "peak": {name: device.peak[name] for name in PEAKS if name in device.peak},
        "achieved": asdict(device.achieved),
        "shape": asdict(device.shape),
        "launch": asdict(device.launch),
        "rates": {name: device.rates[name] for name in RATES if name in device.rates},
    }
    lines = [f"{key} = {_toml(value)}" for key, value in head.items()]
    for name, table in tables.items():
        if table:
            lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}" if value else "0.0"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, tuple) else str(value)
