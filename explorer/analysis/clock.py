"""Times a device's kernels: what launching costs, what their FLOPs, bytes and steps take."""

from collections.abc import Iterable
from typing import NamedTuple

from explorer.analysis.convolutions import Setting, Work
from explorer.analysis.device import DTYPES, ENGINES, Device
from explorer.analysis.ledger import ledger_of, totals_of
from explorer.analysis.memory import TRAIN
from explorer.blocks.graph import Graph

BOUNDS = ("launch", "compute", "memory")
VIEWS = frozenset(("slice", "upsample", "flatten"))


class Time(NamedTuple):
    """Seconds: the host's for launching, and the device's by what they are spent on."""

    launch: float = 0.0
    compute: float = 0.0
    memory: float = 0.0

    @property
    def bound(self) -> str:
        """What takes longest."""
        return max(zip(self, BOUNDS, strict=True))[1]

    def plus(self, other: "Time") -> "Time":
        """Both."""
        return Time(self[0] + other[0], self[1] + other[1], self[2] + other[2])


NO_TIME = Time()


def setting_of(device: Device, batch: int, mode: str, dtype: str, channels_last: bool = False) -> Setting:
    """How the device runs a network."""
    form = device.shape
    reorders = device.peak_of(dtype, convolution=True)[0] in form.reorders and not channels_last
    return Setting(
        batch, DTYPES[dtype], mode == TRAIN, form.lanes, form.group_lanes, reorders, device.threads,
        device.launch.fused_updates,
    )  # fmt: skip


def footprint(graph: Graph, batch: int, dtype: str) -> float:
    """Bytes that a training step touches between a value's making and its use in the backward pass, roughly."""
    ledger = ledger_of(graph.root)
    values = batch * sum(int(row.outputs) for kind, row in ledger.items() if kind not in VIEWS)
    return float(DTYPES[dtype] * (values + 3 * int(totals_of(ledger).params)))


class Clock:
    """Times kernels on a device.

    footprint: bytes between the forward and the backward use of what is cold. window: the same of what is hot, as a
    multiple of a kernel's own: those of the kernel that made it count too.
    """

    def __init__(self, device: Device, at: Setting, dtype: str, footprint: float, window: float = 2.0) -> None:
        self.at, self.window = at, window
        launch, form, memory, achieved = device.launch, device.shape, device.memory, device.achieved
        self.launch, self.overlaps = launch, form.overlaps
        self.summands, self.channels, self.outputs = form.summands, form.channels, form.outputs
        conv, product = (device.peak_of(dtype, convolution)[1] for convolution in (True, False))
        self.flops = {
            engine: getattr(achieved, engine) * (product if engine == "matmul" else conv) for engine in ENGINES
        }
        self.rates = device.rates
        self.cache = memory.cache_bytes
        self.far = 1 / (memory.bandwidth * achieved.bandwidth)  # seconds a byte
        self.near = 1 / (memory.cache_bandwidth * achieved.bandwidth) if self.cache else self.far
        self.ragged, self.aliased = form.ragged, form.aliased
        self.by_image = form.by_image or form.channels
        self.reorder = achieved.bandwidth / achieved.reorder
        self.cold = self._per_byte(footprint)

    def _per_byte(self, among: float) -> float:
        """Seconds for a byte when so many are used in turn: all are in the cache if they fit, none if twice as many."""
        held = min(1.0, max(0.0, 2 - among / self.cache)) if self.cache else 0.0
        return held * self.near + (1 - held) * self.far

    def time(self, works: Iterable[Work], backward: bool) -> Time:
        """Seconds of kernels one after the other."""
        host = compute = memory = 0.0
        call = self.launch.backward_s if backward else self.launch.forward_s
        for work in works:
            host += call * work.calls + self.launch.prepare_s * work.prepared
            busy = self.launch.kernel_s * work.kernels + self.launch.round_s * work.rounds
            if work.flops:
                busy += work.flops / self._rate(work)
            if work.steps and work.rate in self.rates:
                busy += work.steps / self.rates[work.rate]
            moved = work.hot * self._per_byte(self.window * work.hot) + work.cold * self.cold
            if work.reorders:
                extra = (self.ragged - 1) * work.ragged + (self.aliased - 1) * work.aliased
                moved *= self.reorder * (1 + extra / work.hot)
            if work.flops and not self.overlaps:
                compute, memory = compute + busy, memory + moved
            elif busy > moved:
                compute += busy
            else:
                memory += moved
        return Time(host, compute, memory)

    def _rate(self, work: Work) -> float:
        fill = self.by_image if work.by_image else self.channels
        filled = work.summands / (work.summands + self.summands) * work.channels / (work.channels + fill)
        rate: float = self.flops[work.engine] * filled * work.outputs / (work.outputs + self.outputs)
        return rate
