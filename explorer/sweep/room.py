"""Which trials fit into this machine's memory at once: what is predicted of each, against what is free.

Without swap, a machine whose memory runs out stands still or kills. So a trial that is large for it returns freed
memory at once, which takes longer, and waits where those that run leave no room for it; the largest run alone.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from explorer.sweep.plan import Trial

PROCESS = 500_000_000  # bytes of a worker beside its tensors: Python, torch, the data, the libraries' own memory
KEPT = 3.0  # bytes that a worker takes for each byte of tensors at the peak where it keeps freed memory
RETURNED = 1.7  # and where it does not


class Room:
    """So many bytes for so many trials at once; None: unknown, or it is not memory here that counts, and all fits."""

    def __init__(self, size: int | None, places: int = 1) -> None:
        self.size, self.places = size, places
        self._peaks: dict[tuple[str, int, str], int] = {}

    def fits(self, trial: Trial, beside: Iterable[Trial]) -> bool:
        """Whether a trial may run beside others; alone it always may, since the prediction may be wrong."""
        others = [*beside]
        if self.size is None or not others:
            return True
        return sum(map(self.need, [trial, *others])) <= self.size

    def large(self, trial: Trial) -> bool:
        """Whether a trial that keeps freed memory would take more than its share."""
        return self.size is not None and PROCESS + KEPT * self._peak(trial) > self.size / self.places

    def need(self, trial: Trial) -> int:
        """The bytes that a trial's process will take at most, about."""
        return PROCESS + int((RETURNED if self.large(trial) else KEPT) * self._peak(trial))

    def _peak(self, trial: Trial) -> int:
        key = (trial.candidate.network.digest, trial.recipe.batch, trial.execution.layers)
        if key not in self._peaks:
            self._peaks[key] = predicted_peak(trial)
        return self._peaks[key]

    def warning(self, trial: Trial) -> str | None:
        """What to say of a trial that may not fit even alone."""
        need = self.need(trial) if self.size is not None else 0
        if self.size is None or need <= self.size:
            return None
        lean = "" if trial.execution.layers == "lean" else "; --lean may take less"
        return (
            f"{trial.candidate.text[:200]} may need {need / 1e9:.1f} GB to train in batches of {trial.recipe.batch}; "
            f"{self.size / 1e9:.1f} GB are free: it runs alone, and may be killed{lean}"
        )


def predicted_peak(trial: Trial) -> int:
    """The predicted bytes of tensors when a step needs most; 0 of a network that cannot be predicted."""
    from explorer.analysis.memory import memory, predictable
    from explorer.api import expand

    channels, height, width = trial.candidate.network.input
    graph = expand(trial.candidate.text, input=(channels, height, width))
    return memory(graph, trial.recipe.batch, layers=trial.execution.layers).peak if predictable(graph) else 0


def free_memory() -> int | None:
    """The bytes that new processes may take now: of the machine (Linux), or of its container; None where unknown."""
    found = []
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    with suppress(OSError, ValueError):  # "max" has no limit
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        kept = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        found.append(limit - used + int(kept.get("inactive_file", 0)))  # cached files make room
    return min(found, default=None)
