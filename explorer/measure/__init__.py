"""Latency and memory on a device, each network in a process of its own; what a number was measured on."""

from explorer.measure.largest import Largest, largest_batch
from explorer.measure.process import check
from explorer.measure.result import Latency, Measurement, MemoryUse, Ratio
from explorer.measure.run import Interrupted, measure
from explorer.measure.setting import Setting

__all__ = [
    "Interrupted",
    "Largest",
    "Latency",
    "Measurement",
    "MemoryUse",
    "Ratio",
    "Setting",
    "check",
    "largest_batch",
    "measure",
]
