"""Latency predicted from the graph and a device's file: a roofline for each kernel, and what launching it costs.

A kernel takes the time of its FLOPs at the device's rate for such a shape, of its bytes at the bandwidth of where they
lie, and of its steps; the largest of these where the device overlaps them, else their sum. Where the host runs ahead
of the device, a network takes the longer of the host's and the device's time, else both.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from explorer.analysis.clock import BOUNDS, NO_TIME, Clock, Time, footprint, setting_of
from explorer.analysis.device import DTYPES, Device, find_device
from explorer.analysis.kernels import backward_works, forward_works, gradient_sum, loss_works, update_works
from explorer.analysis.memory import MODES, TRAIN, predictable
from explorer.blocks.graph import Graph, Op, Scope
from explorer.errors import UserError, nearest

LEARNS = frozenset(("conv", "linear", "bn"))


@dataclass(frozen=True)
class Latency:
    """Predicted time of a training step or an inference. Seconds."""

    device: Device
    mode: str
    batch: int
    dtype: str
    launch: float  # the host's
    compute: float  # the device's: FLOPs and steps
    memory: float  # and bytes
    loss: float  # of the total, the loss's part
    by_op: tuple[float, ...] = field(repr=False)  # of the flattened graph, auxiliary heads last
    bounds: tuple[str, ...] = field(repr=False)  # launch, compute or memory; of each op
    graph: Graph = field(repr=False, compare=False)

    @property
    def total(self) -> float:
        """Of the whole step."""
        return _together(Time(self.launch, self.compute, self.memory), self.device)

    @property
    def latency_ms(self) -> float:
        """The total in milliseconds."""
        return 1e3 * self.total

    @property
    def images_per_s(self) -> float:
        """Throughput."""
        return self.batch / self.total

    @property
    def bound(self) -> str:
        """What takes longest."""
        return Time(self.launch, self.compute, self.memory).bound

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "latency_ms": self.latency_ms,
            "images_per_s": self.images_per_s,
            "launch_ms": 1e3 * self.launch,
            "compute_ms": 1e3 * self.compute,
            "memory_ms": 1e3 * self.memory,
            "bound": self.bound,
            "mode": self.mode,
            "batch": self.batch,
            "dtype": self.dtype,
            "device": self.device.name,
            "calibrated": self.device.measured,
        }

    def tree(self, depth: int | None = None) -> dict[str, Any]:
        """Nested {name, latency_ms, bound, children}, `depth` levels deep (None: all), named as Cost.tree is.

        Children add up to their parent, at the top up to the total without the loss.
        """
        root = self.graph.root
        parts = _entries(root) + [(head.name, head.scope) for head in self.graph.auxiliaries]
        return _tree(root.title, parts, iter(zip(self.by_op, self.bounds, strict=True)), depth)[0]


def _together(time: Time, device: Device) -> float:
    busy = time.compute + time.memory
    return max(time.launch, busy) if device.launch.ahead else time.launch + busy


def _entries(scope: Scope) -> list[tuple[str, Op | Scope]]:
    return [(entry.name, entry.node) for entry in scope.body]


Leaves = Iterator[tuple[float, str]]


def _tree(
    name: str, parts: list[tuple[str, Op | Scope]], leaves: Leaves, depth: int | None
) -> tuple[dict[str, Any], dict[str, float]]:
    """A node, and its seconds by bound."""
    below = None if depth is None else depth - 1
    children: list[dict[str, Any]] = []
    spent = dict.fromkeys(BOUNDS, 0.0)
    for inner, node in parts:
        if isinstance(node, Op):
            seconds, bound = next(leaves)
            spent[bound] += seconds
            children.append({"name": inner, "latency_ms": 1e3 * seconds, "bound": bound, "children": []})
        else:
            child, within = _tree(inner, _entries(node), leaves, below)
            children.append(child)
            for bound, seconds in within.items():
                spent[bound] += seconds
    return {
        "name": name,
        "latency_ms": sum(child["latency_ms"] for child in children),
        "bound": max(BOUNDS, key=spent.__getitem__),
        "children": [] if depth == 0 else children,
    }, spent


def latency(
    graph: Graph, device: Device | str, batch: int = 1, mode: str = TRAIN, dtype: str = "fp32",
    channels_last: bool = False,
) -> Latency:  # fmt: skip
    """Predicts the time of a step on `batch` images: forward, loss, backward and SGD with momentum, or an inference.

    `device`: one that was read, or its name or file. Raises UserError for what it does not know, and for graphs of
    arrays, symbols and foreign modules.
    """
    device = find_device(device) if isinstance(device, str) else device
    _check(graph, batch, mode, dtype)
    graph = graph if mode == TRAIN else graph.main
    clock = Clock(device, setting_of(device, batch, mode, dtype, channels_last), dtype, footprint(graph, batch, dtype))
    times = Walk(clock).network(graph)
    loss = _loss(graph, clock) if mode == TRAIN else NO_TIME
    whole = Time(*(sum(column) for column in zip(loss, *times, strict=True)))
    host_bound = device.launch.ahead and whole.launch > whole.compute + whole.memory
    return Latency(
        device=device,
        mode=mode,
        batch=batch,
        dtype=dtype,
        launch=whole.launch,
        compute=whole.compute,
        memory=whole.memory,
        loss=_share(loss, device, host_bound),
        by_op=tuple([_share(time, device, host_bound) for time in times]),
        bounds=tuple([time.bound for time in times]),
        graph=graph,
    )


def _share(time: Time, device: Device, host_bound: bool) -> float:
    """What an op adds to the total: where the host runs ahead, its part of whichever of the two is longer."""
    if not device.launch.ahead:
        return sum(time)
    return time.launch if host_bound else time.compute + time.memory


def _check(graph: Graph, batch: int, mode: str, dtype: str) -> None:
    if type(batch) is not int or batch < 1:
        raise UserError("batch is a whole number of at least 1")
    for what, given, choices in (("mode", mode, MODES), ("dtype", dtype, DTYPES)):
        if given not in choices:
            raise UserError(f"unknown {what} '{given}'; {nearest(str(given), choices)}")
    if not predictable(graph):
        raise UserError("latency is predicted for networks of plain integers that explorer itself has expanded")


class State(NamedTuple):
    """What a reader must know of a value: it is a slice; it needs a gradient."""

    strided: bool
    wants: bool


class Timed(NamedTuple):
    """A scope: its ops' times in flattened order, its outputs' states, and which ports it sends a gradient to."""

    times: list[Time]
    made: tuple[State, ...]
    sends: tuple[bool, ...]


class Walk:
    """Times a network scope by scope; each shared scope once for each state of its inputs."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.scopes: dict[tuple[int, tuple[State, ...]], Timed] = {}
        self.ops: dict[tuple[int, bool, bool], Time] = {}
        self.sums: dict[Any, Time] = {}

    def network(self, graph: Graph) -> list[Time]:
        """Times of all ops, auxiliary heads last."""
        root = self.scope(graph.root, (State(False, False),) * len(graph.root.ports))
        times = list(root.times)
        states = dict(zip(graph.root.outputs, root.made, strict=True))
        for head in graph.auxiliaries:
            times += self.scope(head.scope, (states[head.source],)).times
        return times

    def scope(self, scope: Scope, given: tuple[State, ...]) -> Timed:
        """A scope whose inputs are in the given states."""
        key = (id(scope), given)
        if key not in self.scopes:
            self.scopes[key] = self._scope(scope, given)
        return self.scopes[key]

    def _scope(self, scope: Scope, given: tuple[State, ...]) -> Timed:
        states = dict(zip(scope.ports, given, strict=True))
        times: list[Time] = []
        readers: dict[int, list[int]] = {}  # of each value that wants a gradient: places of the ops that send one
        for entry in scope.body:
            node, own = entry.node, tuple([states[i] for i in entry.inputs])
            place = len(times)
            if isinstance(node, Op):
                strided, wants = own[0].strided if own else False, any(state.wants for state in own)
                times.append(self._op(node, strided, wants))
                view = node.kind == "slice" and node.out != node.ins[0]
                states[entry.outputs[0]] = State(view, wants or node.kind in LEARNS)
                sends: Iterable[bool] = [True] * len(own)
            else:
                inner = self.scope(node, own)
                times += inner.times
                states.update(zip(entry.outputs, inner.made, strict=True))
                sends = inner.sends
            for value, state, sent in zip(entry.inputs, own, sends, strict=True):
                if state.wants and sent:
                    readers.setdefault(value, []).append(place)
        if self.clock.at.training:
            self._sum(scope, readers, times)
        return Timed(times, tuple([states[i] for i in scope.outputs]), tuple([i in readers for i in scope.ports]))

    def _sum(self, scope: Scope, readers: dict[int, list[int]], times: list[Time]) -> None:
        """Gradients that meet are added when the earlier readers' backward passes send theirs."""
        for value, places in readers.items():
            if len(places) > 1:
                shape = scope.shapes[value]
                if shape not in self.sums:
                    self.sums[shape] = self.clock.time([gradient_sum(shape, self.clock.at)], backward=True)
                for place in places[:-1]:
                    times[place] = times[place].plus(self.sums[shape])

    def _op(self, op: Op, strided: bool, wants: bool) -> Time:
        key = (id(op), strided, wants)
        if key not in self.ops:
            self.ops[key] = op_time(op, self.clock, strided, wants)
        return self.ops[key]


def op_time(op: Op, clock: Clock, strided: bool = False, wants: bool = True) -> Time:
    """An op's forward pass, in training also its backward pass and the update of its parameters."""
    at = clock.at
    time = clock.time(forward_works(op, at, strided), backward=False)
    if not at.training:
        return time
    if wants or op.kind in LEARNS:
        time = time.plus(clock.time(backward_works(op, at, strided, wants), backward=True))
    return time.plus(clock.time(update_works(op, at), backward=False)) if op.kind in LEARNS else time


def _loss(graph: Graph, clock: Clock) -> Time:
    time = NO_TIME
    for out in (graph.root.out, *(head.scope.out for head in graph.auxiliaries)):
        forward, backward = loss_works(out, clock.at)
        time = time.plus(clock.time(forward, backward=False)).plus(clock.time(backward, backward=True))
    return time
