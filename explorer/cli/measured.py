"""explorer cost --on: networks measured on devices that are here, and predicted for those that are not."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from explorer.analysis.cost import Cost
from explorer.cli.line import progress
from explorer.cli.options import at_least
from explorer.errors import UserError

if TYPE_CHECKING:
    from explorer.analysis.device import Device
    from explorer.analysis.memory import Memory
    from explorer.analysis.roofline import Latency
    from explorer.measure import Largest, Measurement, Setting

On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="DEVICE[,DEVICE...]",
        help="cpu, cuda, mps: measured here; a device's name (explorer list) or FILE.toml: predicted for it.",
    ),
]
Mode = Annotated[str | None, typer.Option("--mode", help="With --on: train (default), a whole step, or infer.")]
Dtype = Annotated[str | None, typer.Option("--dtype", help="With --on: fp32 (default), bf16, fp16.")]
Compile = Annotated[bool, typer.Option("--compile", help="With --on: by torch.compile.")]
ChannelsLast = Annotated[bool, typer.Option("--channels-last", help="With --on: images as N, H, W, C.")]
Reference = Annotated[bool, typer.Option("--reference", help="With --on: plain layers, no faster substitutes.")]
Lean = Annotated[bool, typer.Option("--lean", help="With --on: the substitutes that need least memory.")]
Calibrate = Annotated[
    str | None,
    typer.Option("--calibrate", metavar="FILE", help="With --on: measure the device's rates, write them as FILE.toml."),
]
BatchOrMax = Annotated[
    str,
    typer.Option("--batch", metavar="N|max", help="Images; max: as many as fit on the device of --on."),
]
HERE = re.compile(r"cpu|mps|cuda(:\d+)?")
MAX = "max"


@dataclass(frozen=True)
class Wanted:
    """What --on asks for: devices to measure on and devices to predict for, in the order given, and how."""

    here: tuple[str, ...]
    elsewhere: "tuple[Device, ...]"
    setting: "Setting"  # of any device and batch

    def on(self, device: str, batch: int) -> "Setting":
        """The setting of a measurement."""
        return replace(self.setting, device=device, batch=batch)


@dataclass(frozen=True)
class Predicted:
    """What is predicted of a network for a device; None for what is not. `reason`: why there is no latency."""

    latency: "Latency | None"
    memory: "Memory | None"
    reason: str | None = None
    inference_peak: int | None = None  # bytes, of the same images, beside a training step's memory

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "latency": None if self.latency is None else self.latency.as_dict(),
            "memory": None if self.memory is None else self.memory.as_dict(),
            "inference_peak_bytes": self.inference_peak,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Column:
    """A device, and what there is for each network. `measured` is empty for a device that is not here."""

    name: str
    measured: "tuple[Measurement, ...]"
    predicted: tuple[Predicted, ...]


@dataclass(frozen=True)
class OnDevices:
    """Everything that --on adds."""

    wanted: Wanted
    columns: tuple[Column, ...]
    largest: "tuple[Largest, ...]"  # with --batch max, of each network
    interrupted: bool

    @property
    def measurements(self) -> "list[Measurement]":
        """Of all devices."""
        return [measurement for column in self.columns for measurement in column.measured]

    def as_dict(self, place: int) -> dict[str, Any]:
        """What the JSON of the network at this place gains."""
        measured = {column.name: column.measured[place].as_dict() for column in self.columns if column.measured}
        predicted = {column.name: column.predicted[place].as_dict() for column in self.columns}
        largest = {"largest_batch": self.largest[place].as_dict()} if self.largest else {}
        return {"measured": measured, "predicted": predicted, **largest}


class How(NamedTuple):
    """Options that only --on gives a meaning, by their names; each is false where it is not given."""

    mode: str | None
    dtype: str | None
    compile: bool
    channels_last: bool
    reference: bool
    lean: bool


def wanted(on: str | None, how: How, size: tuple[int, int, int] | None, classes: int | None) -> Wanted | None:
    """What the options ask for; None without --on. Raises UserError for what cannot be asked for."""
    if on is None:
        for option, value in how._asdict().items():
            if value:
                raise UserError(f"--{option.replace('_', '-')} needs --on DEVICE, such as --on cpu")
        return None
    from explorer.measure import Setting

    if how.reference and how.lean:
        raise UserError("--reference and --lean exclude each other")
    words = [word.strip() for word in on.split(",")]
    for word in words:
        if not word:
            raise UserError("--on: name devices, such as --on cpu or --on cuda,h200")
        if words.count(word) > 1:
            raise UserError(f"--on: {word[:100]} is given twice")
    setting = Setting(
        mode=how.mode or "train",
        dtype=how.dtype or "fp32",
        compile=how.compile,
        channels_last=how.channels_last,
        layers="reference" if how.reference else "lean" if how.lean else "balanced",
        input=size,
        classes=classes,
    )
    here = tuple(word for word in words if HERE.fullmatch(word))
    elsewhere = tuple(_found(word) for word in words if word not in here)
    lacking = [_lacks(device, setting) for device in elsewhere]
    if lacking and all(lacking) and not here:
        raise UserError(f"--on: {lacking[0]}")
    return Wanted(here, elsewhere, setting)


def _lacks(device: "Device", setting: "Setting") -> str | None:
    """Why no latency is predicted for a device under this setting; None where it is."""
    if setting.compile:
        return None
    try:
        device.peak_of(setting.dtype, convolution=True)
    except UserError as error:
        return str(error)
    return None


def _found(word: str) -> "Device":
    """A device that is predicted for."""
    from explorer.analysis.device import find_device

    try:
        return find_device(word)
    except UserError as error:
        raise UserError(f"--on: {str(error).rstrip('.')}; what is here is measured: cpu, cuda, mps") from error


def write_calibrated(path: str, on: str | None) -> None:
    """Writes the file of a device that is here, in minutes. Raises UserError."""
    if on is None or HERE.fullmatch(on.strip()) is None:
        raise UserError("--calibrate needs --on with one device that is here, such as --on cpu")
    from pathlib import Path

    from explorer.measure.calibrate import NOISY, calibrate_file

    fit = calibrate_file(Path(path), on.strip(), lambda words: typer.echo(words, err=True))
    typer.echo(
        f"{path}: calibrated; the median error of {len(fit.samples)} single ops, which it was fitted to, is "
        f"{100 * fit.error:.0f}%. Predict with --on {path}"
    )
    if fit.error > NOISY:
        load = f" (load average {os.getloadavg()[0]:.1f})" if hasattr(os, "getloadavg") else ""
        typer.echo(
            f"explorer: {path}: errors above {NOISY:.0%} say that something else was running{load}; "
            "calibrate again on an idle machine, predictions with this file are not to be trusted",
            err=True,
        )


def batches(text: str, nets: Sequence[str], ask: Wanted | None) -> "tuple[list[int], tuple[Largest, ...]]":
    """The batch of each network; where the largest is asked for, how it was found. Raises UserError."""
    if text != MAX:
        if not text.isdecimal():
            raise UserError(f"--batch: '{text[:60]}' is neither a number of images nor {MAX}")
        at_least(int(text), 1, "--batch")
        return [int(text)] * len(nets), ()
    if ask is None or len(ask.here) != 1 or ask.elsewhere:
        raise UserError(f"--batch {MAX} needs --on with one device that is here, such as --on cpu")
    import explorer
    from explorer.measure import largest_batch

    for net in nets:
        explorer.cost(net, input=ask.setting.input, classes=ask.setting.classes)  # bad input before anything runs
    with progress() as show:
        found = tuple(
            largest_batch(net, ask.on(ask.here[0], 1), progress=lambda words: show(0.0, words)) for net in nets
        )
    return [largest.batch or 1 for largest in found], found


def on_devices(costs: Sequence[Cost], ask: Wanted, depth: int | None, largest: "tuple[Largest, ...]") -> OnDevices:
    """Measures and predicts; `depth`: levels of parts, none by default. Ctrl-C leaves what is known until then.

    Raises UserError, before anything runs, for devices that are not here and for what they cannot do.
    """
    from explorer.measure import Interrupted, check

    elsewhere = {
        device.name: Column(device.name, (), tuple(_predicted(cost, ask, device) for cost in costs))
        for device in ask.elsewhere
    }
    for device in ask.here:
        try:
            check(ask.on(device, 1))
        except UserError as error:
            raise UserError(f"--on: {error}; others are predicted for by name, such as --on h200") from error
    here: list[Column] = []
    interrupted = False
    for device in ask.here:
        try:
            measured = _measured(costs, ask, device, depth or 0, largest)
        except Interrupted as stopped:
            measured, interrupted = stopped.measurements, True
        itself = [_recognised(measurement) for measurement in measured]
        predicted = [_predicted(cost, ask, its, device) for cost, its in zip(costs, itself, strict=True)]
        here.append(Column(device, tuple(measured), tuple(predicted)))
        if interrupted:
            break
    return OnDevices(ask, (*here, *elsewhere.values()), largest, interrupted)


def _measured(
    costs: Sequence[Cost], ask: Wanted, device: str, depth: int, largest: "tuple[Largest, ...]"
) -> "list[Measurement]":
    """Networks of which not even one image fits are not measured again."""
    from explorer.measure import Measurement, measure

    settings = [ask.on(device, cost.batch) for cost in costs]
    refused = {place: found.refused for place, found in enumerate(largest) if found.batch is None}
    left = [place for place in range(len(costs)) if place not in refused]
    found: dict[int, Measurement] = {}
    for place, trial in refused.items():
        assert trial is not None
        found[place] = Measurement(costs[place].network, settings[place], trial.outcome, trial.reason)
    if left:
        with progress() as show:
            made = measure([costs[i].network for i in left], [settings[i] for i in left], depth=depth, progress=show)
        found.update(zip(left, made, strict=True))
    return [found[place] for place in range(len(costs))]


def _predicted(cost: Cost, ask: Wanted, device: "Device | None", here: str = "") -> Predicted:
    """For a device as it is described; None: it is not, and only memory is predicted."""
    from explorer.analysis.memory import memory, predictable
    from explorer.analysis.roofline import latency

    setting = ask.setting
    if not predictable(cost.graph):
        return Predicted(None, None)
    time, reason = None, None if device is None else _lacks(device, setting)
    if device is not None and not setting.compile and reason is None:
        time = latency(cost.graph, device, cost.batch, setting.mode, setting.dtype, setting.channels_last)
    halves = setting.dtype != "fp32" and setting.training  # autocast: some numbers are
    if halves or setting.compile:  # a compiler keeps what it likes
        return Predicted(time, None, reason)
    gpu = here.startswith("cuda") if here else device is not None and not device.threads
    element = 4 if setting.dtype == "fp32" else 2
    kind = "cuda" if gpu else "cpu"
    found, inference = (
        memory(cost.graph, cost.batch, mode, element, kind, setting.layers) for mode in (setting.mode, "infer")
    )
    return Predicted(time, found, reason, inference.peak if setting.training else None)


def _recognised(measurement: "Measurement") -> "Device | None":
    """The description of the device that was measured on, where there is one for as many threads."""
    from explorer.analysis.device import recognise

    environment = measurement.environment
    found = recognise(environment["device_name"]) if environment.get("device_name") else None
    if found is None or (found.threads and found.threads != environment["threads"]):
        return None
    return found
