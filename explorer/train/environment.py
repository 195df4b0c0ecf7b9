"""What a trial ran on and with: enough to tell two results apart, nothing that names a person or a host."""

import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import explorer


@cache
def environment(device: str = "cpu") -> dict[str, Any]:
    """Versions, source revision (None outside a checkout), machine, device and threads of this process."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "explorer": explorer.__version__,
        "revision": revision(),
        "machine": platform.platform(),
        "device": device,
        "device_name": _device_name(device),
        "threads": 1 if device == "cpu" else torch.get_num_threads(),
    }


def _device_name(device: str) -> str:
    """What the device is called by its maker; its kind where torch does not tell."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return processor() if device == "cpu" else device


def revision() -> str | None:
    """The git commit of the checkout explorer runs from, `-dirty` where changed; None outside of one."""
    folder = Path(__file__).parent
    tracked = _git(folder, "ls-files", "--error-unmatch", Path(__file__).name)
    return _git(folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") if tracked else None


def processor() -> str:
    """The processor's name, as well as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _git(folder: Path, *arguments: str) -> str | None:
    """What a reading git command prints, the index left alone; None where it fails or git is missing."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=10, env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
