"""Checkpoints: one safetensors file whose header holds a JSON text. Reading one executes nothing.

A checkpoint is written beside its place, synchronised to the disk and renamed: whenever the process or the machine
stops, there is the old one or the new one, whole. Its header holds a checksum, as a bit that a disk has flipped would
otherwise be trained on.
"""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as pack
from torch import Tensor

from explorer.errors import UserError
from explorer.train.files import aside

FORMAT = 1
SHOWN = 4  # differences in a message

Tensors = dict[str, Tensor]


class BadCheckpoint(UserError):
    """A checkpoint that cannot be gone on from: damaged, of another format, or of another training."""


def save(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a checkpoint, all or nothing. UserError where the disk is full or the folder cannot be written."""
    text = json.dumps({"format": FORMAT, **facts})
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = pack(own, {"explorer": text, "crc32": _checksum(text, own)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(aside(path), content)
        aside(path).replace(path)
        _synchronise(path.parent)
    except OSError as error:
        with suppress(OSError):
            aside(path).unlink()
        raise UserError(f"cannot write {path}: {_reason(error)}") from error


def load(path: Path) -> tuple[Tensors, dict[str, Any]] | None:
    """What `save` has written, on the CPU; None where there is no file. BadCheckpoint where it is none."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            facts = json.loads(header["explorer"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        reason = f"{path} is damaged or no checkpoint ({_reason(error)})"
        raise BadCheckpoint(f"{reason}; delete it to begin anew") from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        found = facts.get("format") if isinstance(facts, dict) else None
        raise BadCheckpoint(f"{path} has format {found}, this explorer reads {FORMAT}; delete it to begin anew")
    told = header.get("crc32")  # none in a checkpoint from before there were any
    if told is not None and told != _checksum(header["explorer"], tensors):
        raise BadCheckpoint(f"{path} is damaged (its checksum differs); delete it to begin anew")
    return tensors, facts


def check_identity(path: Path, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """BadCheckpoint, saying what differs, where a checkpoint is of another training than the one wanted."""
    here, there = dict(_flat(wanted)), dict(_flat(found))
    differences = [
        f"{key} is {_short(there.get(key))} there and {_short(here.get(key))} here"
        for key in [*here, *(key for key in there if key not in here)]
        if here.get(key) != there.get(key)
    ]
    _refuse(path, differences)


def load_into(path: Path, kind: str, targets: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into those of the same names. BadCheckpoint, saying which, where names or shapes differ."""
    differences = [f"it lacks the {kind} {name}" for name in targets if name not in tensors]
    differences += [f"it has the {kind} {name}" for name in tensors if name not in targets]
    differences += [
        f"the {kind} {name} is {list(tensors[name].shape)} there and {list(target.shape)} here"
        for name, target in targets.items()
        if name in tensors and tensors[name].shape != target.shape
    ]
    _refuse(path, differences)
    with torch.no_grad():
        for name, target in targets.items():
            target.copy_(tensors[name])


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """The tensors under names that begin with `prefix` and a point."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """Those that `prefixed` has named so, under their own names."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> str:
    """CRC-32 of a header's text and of tensors on the CPU, contiguous: names, types, shapes and bytes.

    A SHA-256 of 300 MB would make saving take a third longer; against accidents this does as well.
    """
    found = zlib.crc32(text.encode())
    for name, tensor in sorted(tensors.items()):
        found = zlib.crc32(f"{name} {tensor.dtype} {list(tensor.shape)}".encode(), found)
        found = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, found)
    return f"{found:08x}"


def _write(path: Path, content: bytes) -> None:
    """Have the content on the disk, not only on its way."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _synchronise(folder: Path) -> None:
    """Have a folder's list of files on the disk, where the system lets a folder be opened for that."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reason(error: Exception) -> str:
    """What went wrong, in a few words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error).strip().splitlines()[0][:200]


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dicts, by path, tuples as the lists that JSON makes of them."""
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key} ")
        else:
            yield prefix + key, list(value) if isinstance(value, tuple) else value


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _refuse(path: Path, differences: list[str]) -> None:
    """BadCheckpoint if there are any differences."""
    if differences:
        more = f" and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
        raise BadCheckpoint(f"{path} is of another training: {'; '.join(differences[:SHOWN])}{more}; move it away")
