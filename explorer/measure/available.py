"""Memory that this process may still take, a limit so that it is refused more than that, and the words for it."""

import os
import re
import sys
from pathlib import Path

import torch

from explorer.measure.setting import Setting

CGROUPS = Path("/sys/fs/cgroup")
USABLE = 0.95  # of the host's memory that is there; the rest is left to others
FULL = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|not enough memory|bad_alloc|ALLOC_FAILED",
    re.IGNORECASE,
)


def available_bytes(setting: Setting) -> int | None:
    """What the device has left for this process; None where the system does not tell."""
    if setting.kind == "cuda":
        return torch.cuda.mem_get_info(setting.device)[0]
    if setting.kind == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    host = _host_bytes()
    return None if host is None else int(USABLE * host)


def limit_to_available(setting: Setting) -> None:
    """On Linux, have allocations on the CPU fail beyond what is available, before the system kills the process."""
    available = available_bytes(setting) if setting.kind == "cpu" else None
    if available is not None and sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (_data_bytes() + available, hard))


def _data_bytes() -> int:
    """What counts against the limit of this process's data."""
    return _kib_of(Path("/proc/self/status"), "VmData")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or FULL.search(str(error)) is not None


def _host_bytes() -> int | None:
    """Memory without swap: what the system has left, or the limits of this process and its control groups."""
    try:
        left = [_kib_of(Path("/proc/meminfo"), "MemAvailable")]
    except OSError:  # not Linux: all there is
        names = getattr(os, "sysconf_names", {})
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if "SC_PHYS_PAGES" in names else None
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    left += [] if hard == resource.RLIM_INFINITY else [hard - _data_bytes()]
    for folder in _groups():
        left += _left_in(folder, "memory.max", "memory.current", "inactive_file")
        left += _left_in(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    return max(0, min(left))


def _groups() -> list[Path]:
    """The folders of the groups that limit this process, innermost first."""
    found: list[Path] = []
    table = Path("/proc/self/cgroup")
    for line in table.read_text().splitlines() if table.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root = CGROUPS / controllers
            inner = root / path.lstrip("/")
            found += [folder for folder in (inner, *inner.parents) if folder.is_relative_to(root)]
    return found


def _left_in(folder: Path, limit: str, usage: str, cache: str) -> list[int]:
    """What a group has left, files that could be given up counted as free; nothing where it sets no limit."""
    try:
        most, used = (folder / limit).read_text().strip(), int((folder / usage).read_text())
        facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return []
    return [] if most == "max" else [int(most) - used + int(facts.get(cache, 0))]


def _kib_of(path: Path, name: str) -> int:
    """A line of KiB as bytes."""
    found = re.search(rf"^{name}:\s*(\d+) kB", path.read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])
