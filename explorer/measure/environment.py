"""What a number was measured on and with: enough to tell two results apart, nothing that names a person or a host."""

import os
import platform
import re
import subprocess
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

import explorer

GPU_FACTS = ("driver_version", "clocks.sm", "clocks.max.sm", "power.limit")  # as nvidia-smi calls them


def environment(device: str = "cpu") -> dict[str, Any]:
    """Versions, source revision (None outside a checkout), machine, device, its driver and clocks, threads and flags.

    Clocks are as they are at this moment; None for what the system does not tell. `threads` are those of a training.
    """
    gpu = _gpu(device) if device.startswith("cuda") else {}
    return {
        **_versions(),
        "device": device,
        "device_name": _device_name(device),
        "driver": gpu.get("driver_version"),
        "clocks": _gpu_clocks(gpu) if device.startswith("cuda") else _cpu_clocks(),
        "threads": 1 if device == "cpu" else torch.get_num_threads(),
        "flags": flags(),
    }


def flags() -> dict[str, Any]:
    """Settings of this process that change what is computed, or how fast."""
    return {
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "tf32_convolution": torch.backends.cudnn.allow_tf32,
        "matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "deterministic": torch.are_deterministic_algorithms_enabled() or torch.backends.cudnn.deterministic,
    }


@cache
def _versions() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "numpy": np.__version__,
        "explorer": explorer.__version__,
        "revision": revision(),
        "machine": platform.platform(),
    }


def _device_name(device: str) -> str:
    """What the device is called by its maker; its kind where torch does not tell."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return processor() if device in ("cpu", "mps") else device


def processor() -> str:
    """The processor's name, as well as the system tells it."""
    named = _cpu_facts("model name")
    if named:
        return named[0]
    return _output(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.processor() or platform.machine()


def _cpu_facts(name: str) -> list[str]:
    """What Linux says of each core; nothing on other systems."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    return [line.split(":", 1)[1].strip() for line in lines if re.match(rf"{name}\s*:", line)]


def _cpu_clocks() -> dict[str, Any]:
    """MHz of the cores (their median) and at most, and who governs them."""
    folder = Path("/sys/devices/system/cpu/cpu0/cpufreq")
    now = [float(text) for text in _cpu_facts("cpu MHz")]
    highest = _read(folder / "cpuinfo_max_freq")
    return {
        "mhz": median(now) if now else None,
        "max_mhz": int(highest) / 1000 if highest else None,
        "governor": _read(folder / "scaling_governor"),
    }


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _gpu(device: str) -> dict[str, str]:
    """What nvidia-smi tells of a GPU; nothing where it is missing, or does not know."""
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    which = f"GPU-{uuid}" if uuid else str(torch.device(device).index or 0)
    query = [f"--query-gpu={','.join(GPU_FACTS)}", "--format=csv,noheader,nounits", "-i", which]
    told = _output(["nvidia-smi", *query])
    values = [value.strip() for value in (told or "").splitlines()[:1] for value in value.split(",")]
    return {} if len(values) != len(GPU_FACTS) else dict(zip(GPU_FACTS, values, strict=True))


def _gpu_clocks(gpu: dict[str, str]) -> dict[str, Any]:
    """MHz of the multiprocessors, now and at most, and the limit of power in watts."""
    return {
        "mhz": _number(gpu.get("clocks.sm")),
        "max_mhz": _number(gpu.get("clocks.max.sm")),
        "power_limit_w": _number(gpu.get("power.limit")),
    }


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:  # [N/A]
        return None


def revision() -> str | None:
    """The git commit of the checkout explorer runs from, `-dirty` where changed; None outside of one."""
    git = ["git", "-C", str(Path(__file__).parent)]
    if _output([*git, "ls-files", "--error-unmatch", Path(__file__).name]) is None:
        return None
    return _output([*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"])


def _output(command: list[str]) -> str | None:
    """What a reading command prints, git's index left alone; None where it fails, says nothing or is missing."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=10, env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
