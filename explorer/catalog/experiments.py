"""The papers' experiments as sweep files: which there are, and what they are about."""

import tomllib
from importlib.resources import files
from pathlib import Path

FOLDER = "experiments"


def paths() -> dict[str, Path]:
    """The sweep file of each experiment by its name, PAPER/EXPERIMENT."""
    folder = Path(str(files("explorer.catalog").joinpath(FOLDER)))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.glob("*/*.toml"))}


def titles() -> dict[str, str]:
    """What each experiment compares."""
    return {name: tomllib.loads(path.read_text(encoding="utf-8"))["title"] for name, path in paths().items()}
