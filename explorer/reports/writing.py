"""Files that appear whole or not at all: written aside, then renamed."""

import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from explorer.errors import UserError


def make_folder(folder: Path, option: str) -> None:
    """Create a folder and those above it; UserError naming the option where that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot(folder, option, error) from error


def check_file(path: Path, option: str) -> None:
    """Before the work: UserError naming the option where a file could not be written. Makes its folder."""
    make_folder(path.parent, option)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise _cannot(path, option, error) from error


def write_files(folder: Path, files: Mapping[str, bytes], option: str) -> list[Path]:
    """Write files by name into a folder that is there; their paths, in the order given.

    Each is renamed into place once all are written, so an earlier set stays as it was if anything fails.
    UserError naming the option where the folder cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as aside:
            for name, content in files.items():
                _write(Path(aside) / name, content)
            for name in files:
                os.replace(Path(aside) / name, folder / name)
    except OSError as error:
        raise _cannot(folder, option, error) from error
    return [folder / name for name in files]


def write_file(path: Path, content: bytes, option: str) -> None:
    """Write one file; UserError naming the option where that is impossible. Its folder must be there."""
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as aside:
            _write(Path(aside) / path.name, content)
            os.replace(Path(aside) / path.name, path)
    except OSError as error:
        raise _cannot(path, option, error) from error


def _write(path: Path, content: bytes) -> None:
    """Write and flush to the disk, so that a rename never reveals an empty file."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _cannot(path: Path, option: str, error: OSError) -> UserError:
    """The message about a place that cannot be written."""
    return UserError(f"{option}: cannot write to {path}: {error.strerror or type(error).__name__}")
