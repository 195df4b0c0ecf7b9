"""Where a workspace keeps what trainings write beside the store. No torch here: drivers need these names."""

from contextlib import suppress
from pathlib import Path


def checkpoint_of(workspace: Path, trial: str) -> Path:
    """The checkpoint of a trial that is running or was stopped."""
    return workspace / "checkpoints" / f"{trial}.safetensors"


def weights_of(workspace: Path, trial: str) -> Path:
    """The final weights of a trial."""
    return workspace / "weights" / f"{trial}.safetensors"


def aside(path: Path) -> Path:
    """Where a file is written before it takes its place."""
    return path.with_name(f".{path.name}.part")


def set_aside(checkpoint: Path) -> Path:
    """Move a checkpoint that cannot be used out of the way; where it is now. OSError where that is impossible."""
    return checkpoint.replace(checkpoint.with_name(f"{checkpoint.name}.damaged"))


def discard(checkpoint: Path) -> None:
    """Delete a checkpoint that is no longer needed, and what a killed process has left of the next."""
    for path in (checkpoint, aside(checkpoint)):
        with suppress(OSError):
            path.unlink()
