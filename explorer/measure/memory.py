"""The peak of device memory over a step, and what it is made of.

On CUDA the peak is the allocator's own; on CPU it is how much the process's resident memory grew over what it was
before the network was built, with freed memory given back to the system at once; on MPS what the driver has given,
which it does not take back.
"""

import ctypes
import gc
import platform
import re
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from explorer.analysis.foreign import is_foreign
from explorer.measure.live import OTHER, SAVED, LiveBytes, watching_gradients, watching_saved
from explorer.measure.network import Network
from explorer.measure.setting import Setting
from explorer.nn.tracing.load import foreign_module

BLOCKS = {"cuda": 512}  # bytes, what an allocator rounds up to
M_MMAP_THRESHOLD, LARGE = -3, 2**16  # mallopt(3); bytes
HELD = ("parameters", "buffers", "optimizer", "image")
GRADIENTS = "gradients"


def memory_of(text: str, setting: Setting) -> dict[str, Any]:
    """Bytes of a step, in training of an inference too: `explorer.measure.result.MemoryUse` as a dict."""
    if setting.kind == "cpu":
        give_back_freed_memory()
        _load_what_every_network_needs()
        if is_foreign(text):  # what its file imports is no part of it either
            with foreign_module(text):
                pass
    gauge = GAUGES[setting.kind](setting.device)
    inference = None
    if setting.training:
        inference = _measured(text, replace(setting, mode="infer"), gauge)["peak_bytes"]
    return {**_measured(text, setting, gauge), "inference_peak_bytes": inference}


def _measured(text: str, setting: Setting, gauge: "Gauge") -> dict[str, Any]:
    gauge.begin()
    network = Network(text, setting)
    try:
        network.run()  # momentum comes, kernels are chosen
        if setting.compile:
            held = _held(network)
            gauge.leave_out_all_but(sum(held[name] or 0 for name in (*HELD, GRADIENTS)))
        gauge.reset()
        network.run()
        peak, reserved = gauge.peak(), gauge.reserved()
        found = _held(network) if setting.compile else followed(network)
        tensors = found["tensors_bytes"]
        workspace = None if tensors is None else max(0, peak - tensors)
        return {"peak_bytes": peak, "reserved_bytes": reserved, **found, "workspace": workspace}
    finally:
        network.close()
        del network
        gc.collect()


def _held(network: Network) -> dict[str, int | None]:
    """What the module holds by itself; what passes is not known."""
    live = _live(network)
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    live.hold(gradients, GRADIENTS)
    passing = dict.fromkeys((SAVED, OTHER, "tensors_bytes", "saved_bytes"))
    return {**{name: live.bytes[name] for name in (*HELD, GRADIENTS)}, **passing}


def followed(network: Network) -> dict[str, int | None]:
    """One more step with its storages followed: how much there is at most, of what, and what the forward pass saves."""
    live = _live(network)
    saved = None
    if network.setting.training:
        network.clear()
        with watching_gradients(live, network.parameters(), GRADIENTS), live:
            with watching_saved(live):
                outputs = network.forward()
                saved = live.bytes[SAVED]
                loss = network.loss(outputs)
            del outputs
            network.backward(loss)
            network.update()
    else:
        with live:
            network.run()
    kinds = (*HELD, GRADIENTS, SAVED, OTHER)
    return {**{name: live.at_peak[name] for name in kinds}, "tensors_bytes": live.peak, "saved_bytes": saved}


def _live(network: Network) -> LiveBytes:
    """What the network holds all the time."""
    live = LiveBytes(network.setting.kind, BLOCKS.get(network.setting.kind, 1))
    held = (network.parameters(), network.buffers(), network.momentum(), network.images())
    for kind, tensors in zip(HELD, held, strict=True):
        live.hold(tensors, kind)
    return live


# --- the device's own account ---


class Gauge:
    """A device's memory beyond what it was at `begin`: the most since `reset`."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.before: int | None = None

    def begin(self) -> None:
        """A network is about to be built: what is there now is not its own."""

    def leave_out_all_but(self, held: int) -> None:
        """What there is now is not the network's (a compiler's, say), but for the bytes that it holds."""

    def reset(self) -> None:
        """A step is about to begin."""

    def peak(self) -> int:
        """Bytes, after the step."""
        raise NotImplementedError

    def reserved(self) -> int | None:
        """Bytes that the allocator had taken from the device; None where nothing tells."""
        return None


class _Cuda(Gauge):
    """The caching allocator's statistics; a fresh process has none before."""

    def begin(self) -> None:
        torch.cuda.empty_cache()

    def reset(self) -> None:
        torch.cuda.synchronize(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)

    def peak(self) -> int:
        torch.cuda.synchronize(self.device)
        return torch.cuda.max_memory_allocated(self.device)

    def reserved(self) -> int:
        return torch.cuda.max_memory_reserved(self.device)


class _Mps(Gauge):
    """What Metal's driver has given. It keeps what was freed, so after a step it is what the step needed at most."""

    def begin(self) -> None:
        torch.mps.empty_cache()
        self.before = torch.mps.driver_allocated_memory()

    def peak(self) -> int:
        torch.mps.synchronize()
        return torch.mps.driver_allocated_memory() - (self.before or 0)


class _Cpu(Gauge):
    """Resident memory; where the system does not forget a peak, that of the process's life."""

    def begin(self) -> None:
        if self.before is None:
            self.before = _resident("VmRSS")

    def leave_out_all_but(self, held: int) -> None:
        self.before = _resident("VmRSS") - held

    def reset(self) -> None:
        if sys.platform == "linux":
            with suppress(OSError):  # some containers have no such file
                Path("/proc/self/clear_refs").write_text("5")

    def peak(self) -> int:
        return max(0, _resident("VmHWM") - (self.before or 0))


GAUGES: dict[str, type[Gauge]] = {"cpu": _Cpu, "cuda": _Cuda, "mps": _Mps}


def _resident(line: str) -> int:
    """Bytes of resident memory by a line of /proc/self/status; elsewhere the most that there ever was."""
    status = Path("/proc/self/status")
    found = re.search(rf"^{line}:\s*(\d+) kB", status.read_text(), re.MULTILINE) if status.is_file() else None
    if found:
        return 1024 * int(found[1])
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def give_back_freed_memory() -> None:
    """Have the C library return large blocks when they are freed, so that what is resident is what is used."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)


def _load_what_every_network_needs() -> None:
    """A step of a tiny network: libraries that torch loads when they are first used are no part of a network."""
    tiny = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    optimizer = torch.optim.SGD(tiny.parameters(), lr=1e-3, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        torch.autograd.backward(cross_entropy(tiny(torch.randn(2, 3, 8, 8)), torch.zeros(2, dtype=torch.int64)))
        optimizer.step()
    gc.collect()
