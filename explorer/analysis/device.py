"""Devices as data: small TOML files with a maker's numbers and what is achieved of them.

Shipped files lie in `devices/`. A file without the tables `achieved`, `shape` and `launch` gets those of
`devices/assumed.toml`, which were not measured on it; `Device.measured` tells the two kinds apart. Rates are bytes,
FLOPs (a multiply-add is two) and steps in a second.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from explorer.errors import UserError, nearest

DTYPES = {"fp32": 4, "bf16": 2, "fp16": 2}  # bytes of a number
ENGINES = ("forward", "input_gradient", "weight_gradient", "matmul")
RATES = ("normalise", "statistics", "pooling", "maxima", "random", "uneven")
ASSUMED = "assumed"
FILE = ".toml"


@dataclass(frozen=True)
class Memory:
    """bytes: how much there is. What the last cache holds moves at its bandwidth; without one, nothing does."""

    bytes: float
    bandwidth: float
    cache_bytes: float = 0.0
    cache_bandwidth: float = 0.0


@dataclass(frozen=True)
class Achieved:
    """Fractions: of the peak, by convolutions (forward and each gradient) and matrix products; of the bandwidth."""

    forward: float
    input_gradient: float
    weight_gradient: float
    matmul: float
    bandwidth: float
    reorder: float  # of the bandwidth, when a library rearranges maps and weights


@dataclass(frozen=True)
class Form:
    """How a convolution's shape changes its rate.

    n summands fill the pipeline to n / (n + summands); so do output channels of a group, and output elements the whole
    device. Channels are padded to a multiple of `lanes`, those of a group to a multiple of `group_lanes` (0: of lanes).
    """

    summands: float
    channels: float
    outputs: float
    lanes: int
    group_lanes: int
    overlaps: bool  # arithmetic and memory traffic of a call
    reorders: tuple[str, ...]  # number formats in which convolutions rearrange what they read and write
    ragged: float = 1.0  # times as long that takes, where channels do not fill lanes
    aliased: float = 1.0  # and where the size of a plane is a multiple of a page
    by_image: float = 0.0  # what `channels` is for matrix products of single images; 0: the same


@dataclass(frozen=True)
class Launch:
    """Seconds: the host's for a call in the forward and in the backward pass, the device's least for a kernel."""

    forward_s: float
    backward_s: float
    kernel_s: float
    prepare_s: float = 0.0  # of a convolution that a library prepares for its shape
    round_s: float = 0.0  # of each image and group, where a grouped convolution goes through them one by one
    ahead: bool = True  # the host prepares calls while the device works
    fused_updates: bool = True  # the optimiser updates many parameters in a call


@dataclass(frozen=True)
class Device:
    """What a prediction knows of a device. `rates`: steps a second of loops that neither memory nor FLOPs explain."""

    name: str
    recognise: str  # the words in which the name ends by which the driver knows it
    source: str
    memory: Memory
    peak: Mapping[str, float]  # fp32, bf16, fp16; tf32 where convolutions in single precision use it
    achieved: Achieved
    shape: Form
    launch: Launch
    rates: Mapping[str, float]
    threads: int = 0  # of a CPU; 0: not a CPU
    measured: bool = False  # else the tables achieved, shape and launch are assumed

    def peak_of(self, dtype: str, convolution: bool) -> tuple[str, float]:
        """The number format and rate that torch uses by default: convolutions in fp32 take TF32 where there is one."""
        kind = "tf32" if dtype == "fp32" and convolution and "tf32" in self.peak else dtype
        if kind not in self.peak:
            known = [name for name in DTYPES if name in self.peak]
            raise UserError(f"the device {self.name} has no peak rate for {dtype}; known: {', '.join(known)}")
        return kind, self.peak[kind]


TABLES: dict[str, Any] = {"memory": Memory, "achieved": Achieved, "shape": Form, "launch": Launch}
TEXTS = ("name", "recognise", "source")
KEYS = (*TEXTS, "threads", "peak", "rates", *TABLES)
PEAKS = ("fp32", "tf32", "bf16", "fp16")


@cache
def shipped_devices() -> dict[str, Device]:
    """The devices that come with explorer, by name."""
    folder = files("explorer.analysis").joinpath("devices")
    names = sorted(entry.name.removesuffix(FILE) for entry in folder.iterdir() if entry.name.endswith(FILE))
    return {
        name: parse_device(folder.joinpath(name + FILE).read_text(encoding="utf-8"), f"devices/{name}{FILE}")
        for name in names
        if name != ASSUMED
    }


def find_device(word: str) -> Device:
    """A device by its name, or from a file `*.toml`. Raises UserError for neither."""
    if word.endswith(FILE):
        try:
            return parse_device(Path(word).read_text(encoding="utf-8"), word)
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
            raise UserError(f"the device file {word} cannot be read: {why}") from error
    known = shipped_devices()
    if word.lower() not in known:
        raise UserError(f"no device is called '{word[:100]}'; {nearest(word.lower(), known)} A file ends in {FILE}.")
    return known[word.lower()]


def recognise(name: str) -> Device | None:
    """The shipped device that a driver calls `name`, which ends in the words of its pattern."""
    words = name.lower().split()
    for device in shipped_devices().values():
        pattern = device.recognise.lower().split()
        if words[-len(pattern) :] == pattern:
            return device
    return None


def parse_device(text: str, where: str) -> Device:
    """A device from the text of its file. Raises UserError that names the file, the key and what would be right."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where} is not TOML: {error}") from error
    _known(data, KEYS, where, "")
    for key in TEXTS:
        if not isinstance(data.get(key), str) or not data[key]:
            raise UserError(f"{where}: {key} is a text in quotes, not {_shown(data, key)}")
    measured = "achieved" in data
    tables: dict[str, Any] = {
        name: _table(kind, _given(data, name, measured, where), where, name) for name, kind in TABLES.items()
    }
    if tables["memory"].cache_bytes and not tables["memory"].cache_bandwidth:
        raise UserError(f"{where}: memory.cache_bandwidth is a number above 0 where there is a cache")
    threads = data.get("threads", 0)
    if type(threads) is not int or threads < 0:
        raise UserError(f"{where}: threads is a whole number, 0 for what is not a CPU, not {_shown(data, 'threads')}")
    return Device(
        **{key: data[key] for key in TEXTS},
        peak=_numbers(data, "peak", PEAKS, where),
        rates=_numbers(data, "rates", RATES, where),
        threads=threads,
        measured=measured,
        **tables,
    )


def _given(data: dict[str, Any], name: str, measured: bool, where: str) -> Any:
    """A table of the file; where a file measures nothing, the assumed one."""
    if name in data:
        return data[name]
    if measured or name == "memory":
        raise UserError(f"{where}: the table [{name}] is missing; {_keys(TABLES[name])}")
    return _assumed()[name]


@cache
def _assumed() -> dict[str, Any]:
    text = files("explorer.analysis").joinpath("devices", ASSUMED + FILE).read_text(encoding="utf-8")
    return tomllib.loads(text)


def _keys(kind: Any) -> str:
    return f"its keys: {', '.join(kind.__dataclass_fields__)}"


def _known(data: Mapping[str, Any], keys: Any, where: str, inside: str) -> None:
    for key in data:
        if key not in keys:
            raise UserError(f"{where}: unknown key '{inside}{key}'; {nearest(key, keys)}")


def _shown(data: Mapping[str, Any], key: str) -> str:
    return repr(data[key])[:80] if key in data else "missing"


def _table(kind: Any, data: Any, where: str, name: str) -> Any:
    """The table as an object of `kind`, each value checked against the field's type."""
    fields = kind.__dataclass_fields__
    if not isinstance(data, dict):
        raise UserError(f"{where}: [{name}] is a table; {_keys(kind)}")
    _known(data, fields, where, f"{name}.")
    values = dict(data)
    for key, field in fields.items():
        if key not in data and isinstance(field.default, bool | int | float):
            continue
        meaning, fits = MEANINGS[field.type]
        if f"{name}.{key}" in DIVISORS:
            meaning, fits = "a number above 0", _positive
        if key not in data or not fits(data[key]):
            raise UserError(f"{where}: {name}.{key} is {meaning}, not {_shown(data, key)}")
        if isinstance(data[key], list):
            values[key] = tuple(data[key])
    return kind(**values)


def _amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e308


def _positive(value: Any) -> bool:
    return _amount(value) and value > 0


# what times are divided by
DIVISORS = ("memory.bandwidth", "shape.lanes", *(f"achieved.{key}" for key in Achieved.__dataclass_fields__))
MEANINGS: dict[Any, tuple[str, Any]] = {
    float: ("a number of at least 0", _amount),
    int: ("a whole number of at least 0", lambda value: type(value) is int and value >= 0),
    bool: ("true or false", lambda value: isinstance(value, bool)),
    tuple[str, ...]: (
        f"a list out of {', '.join(PEAKS)}",
        lambda value: isinstance(value, list) and all(one in PEAKS for one in value),
    ),
}


def _numbers(data: dict[str, Any], name: str, keys: tuple[str, ...], where: str) -> dict[str, float]:
    """The table [peak] or [rates]: positive numbers."""
    table = data.get(name, {})
    if not isinstance(table, dict) or (name == "peak" and not table):
        raise UserError(f"{where}: [{name}] is a table of numbers a second; its keys: {', '.join(keys)}")
    _known(table, keys, where, f"{name}.")
    for key, value in table.items():
        if not _positive(value):
            raise UserError(f"{where}: {name}.{key} is a number above 0, not {_shown(table, key)}")
    return {key: float(value) for key, value in table.items()}
