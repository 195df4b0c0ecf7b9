"""Which trials this process runs, so that two sweeps on one store never run the same one.

A claim is a lock on one byte of a file beside the store. The system drops it when its process ends, however
it ends: nothing has to be renewed, none is ever stale, and a laptop that slept still has its claims.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import UserError

if TYPE_CHECKING:
    from types import ModuleType

FILE = "explorer.claims"


class Claims:
    """The claims of this process on the trials of one workspace. One of these per process and workspace:
    closing a file drops all locks that its process has on it. A context manager."""

    def __init__(self, workspace: Path) -> None:
        self._locks = _locks()
        try:
            self._file = (workspace / FILE).open("ab")
        except OSError as error:
            raise UserError(
                f"cannot write {workspace / FILE}: {error.strerror}; choose another folder with --workspace"
            ) from error

    def take(self, trial: str) -> bool:
        """Claim a trial; False: another process has it."""
        if self._locks is None:
            return True
        try:
            self._locks.lockf(self._file, self._locks.LOCK_EX | self._locks.LOCK_NB, 1, _place(trial))
        except (BlockingIOError, PermissionError):
            return False
        return True

    def release(self, trial: str) -> None:
        """Let others have it; what they need to know is in the store by now."""
        if self._locks is not None:
            self._locks.lockf(self._file, self._locks.LOCK_UN, 1, _place(trial))

    def __enter__(self) -> "Claims":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _locks() -> "ModuleType | None":
    """The system's file locks; None where it has none (Windows): sweeps then may run a trial twice."""
    try:
        import fcntl
    except ImportError:
        return None
    return fcntl


def _place(trial: str) -> int:
    """A trial's own byte: 56 bits of its hash."""
    return int(trial[:14], 16)
