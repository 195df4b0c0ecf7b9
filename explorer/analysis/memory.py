"""What a training step and an inference take in memory, predicted from the graph alone.

A step is: forward pass, cross-entropy, backward pass, update by SGD with momentum; gradients are cleared before it. The
calls of the reference module are followed one by one (`saved`, `liveness`, `storages`). Sizes are whole bytes. What
kernels take while they run (a convolution's workspace) is not predicted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from explorer.analysis.ledger import ledger_of, totals_of
from explorer.analysis.liveness import LOSS, Schedule, ops_in
from explorer.analysis.saved import Setting
from explorer.analysis.storages import Run
from explorer.analysis.substituted import Substituted, chosen_for
from explorer.blocks.graph import Graph, Op, Scope
from explorer.errors import UserError, nearest
from explorer.nn.fast.choice import REFERENCE, check_layers
from explorer.nn.fast.plan import Plan

TRAIN, INFER = MODES = ("train", "infer")
DEVICES = ("cpu", "cuda")
ELEMENTS = (4, 2)
LABEL = 8  # bytes


@dataclass(frozen=True)
class Memory:
    """Bytes of what there is when most is there; `peak` is their sum."""

    mode: str  # train or infer
    device: str  # whose allocator; cuda rounds each tensor up
    batch: int
    element: int  # bytes of a number
    layers: str  # those that run: reference, balanced or lean
    parameters: int
    buffers: int  # running statistics, tables of indices
    optimizer: int  # momentum
    image: int  # the batch of images, in training with its labels
    gradients: int  # of parameters
    activations: int  # saved for the backward pass
    temporaries: int  # values and gradients on their way
    where: str  # the op that runs
    phase: str  # forward or backward
    saved: int  # all that the forward pass saves, parameters, buffers and the image apart
    graph: Graph = field(repr=False, compare=False)
    saved_by: tuple[int, ...] = field(repr=False)  # by op of the flattened graph, auxiliary heads last

    @property
    def held(self) -> int:
        """What is there all the time."""
        return self.parameters + self.buffers + self.optimizer + self.image

    @property
    def peak(self) -> int:
        """The most that is there at any time."""
        return self.held + self.gradients + self.activations + self.temporaries

    def as_dict(self) -> dict[str, Any]:
        """For JSON; workspace: None, as it is not predicted."""
        numbers = ("parameters", "buffers", "optimizer", "image", "gradients", "activations", "temporaries")
        return {
            "peak": self.peak,
            **{name: getattr(self, name) for name in numbers},
            "workspace": None,
            "where": self.where,
            "phase": self.phase,
            "saved": self.saved,
            "batch": self.batch,
            "element": self.element,
            "device": self.device,
            "layers": self.layers,
        }

    def tree(self, depth: int | None = None) -> dict[str, Any]:
        """What each part saves: nested {name, saved, children}, `depth` levels deep (None: all).

        A tensor belongs to the op that saves it first, so the parts of anything add up to it.
        """
        return _tree(self.graph.root.title, _parts(self.graph), iter(self.saved_by), depth)


Parts = list[tuple[str, Op | Scope]]


def _parts(graph: Graph) -> Parts:
    """The entries of a network, auxiliary heads last."""
    return _entries(graph.root) + [(head.name, head.scope) for head in graph.auxiliaries]


def _entries(scope: Scope) -> Parts:
    return [(entry.name, entry.node) for entry in scope.body]


def _tree(name: str, parts: Parts, ops: Iterator[int], depth: int | None) -> dict[str, Any]:
    below = None if depth is None else depth - 1
    children: list[dict[str, Any]] = [
        {"name": inner, "saved": next(ops), "children": []}
        if isinstance(node, Op)
        else _tree(inner, _entries(node), ops, below)
        for inner, node in parts
    ]
    saved = sum(child["saved"] for child in children)
    return {"name": name, "saved": saved, "children": [] if depth == 0 else children}


def memory(
    graph: Graph,
    batch: int = 1,
    mode: str = TRAIN,
    element: int = 4,
    device: str = "cpu",
    layers: str = REFERENCE,
) -> Memory:
    """Predicts the memory of a step on `batch` images.

    `layers`: those that run, as in `explorer.build`. Training includes auxiliary heads. Raises UserError for settings
    it does not know, and for graphs of arrays, symbols and foreign modules.
    """
    _check(graph, batch, mode, element, device)
    check_layers(layers)
    at = Setting(batch, element, device, mode == TRAIN, layers)
    graph = graph if at.training else graph.main
    known: dict[tuple[Setting, int], Memory] = graph.root.memo.setdefault("memory", {})
    key = (at, len(graph.auxiliaries))
    if key not in known:
        known[key] = _predict(graph, at)
    return known[key]


def _check(graph: Graph, batch: int, mode: str, element: int, device: str) -> None:
    if type(batch) is not int or batch < 1:
        raise UserError("batch is a whole number of at least 1")
    for what, given, choices in (("mode", mode, MODES), ("device", device, DEVICES)):
        if given not in choices:
            raise UserError(f"unknown {what} '{given}'; {nearest(str(given), choices)}")
    if element not in ELEMENTS:
        raise UserError(f"a number takes {' or '.join(map(str, ELEMENTS))} bytes, not {element}")
    if not predictable(graph):
        raise UserError("memory is predicted for networks of plain integers that explorer itself has expanded")


def predictable(graph: Graph) -> bool:
    """Whether all numbers are plain integers, and the ops our own."""
    root = graph.root
    return "trace" not in root.attrs and all(type(total) is int for total in totals_of(ledger_of(root)))


def _predict(graph: Graph, at: Setting) -> Memory:
    schedule = Schedule(graph, at) if at.layers == REFERENCE else Substituted(graph, at)
    run = Run(schedule)
    run.forward(schedule.steps[: schedule.module])
    saved, saved_by = run.saved, tuple(run.saved_by[:-1])
    run.forward(schedule.steps[schedule.module :])
    for loss in schedule.losses:
        run.seed(loss, at.once(1))
    run.backward()
    peak = run.peak
    return Memory(
        mode=TRAIN if at.training else INFER,
        device=at.device,
        batch=at.batch,
        element=at.element,
        layers=at.layers,
        parameters=schedule.parameters,
        buffers=schedule.buffers,
        optimizer=run.learned,
        image=at.values(graph.input) + (at.block(at.batch * LABEL) if at.training else 0),
        gradients=peak.learned,
        activations=peak.saved,
        temporaries=peak.live - peak.saved - peak.learned,
        where="the loss" if peak.op == LOSS else _path(_parts(graph), peak.op, at.layers),
        phase="backward" if peak.backward else "forward",
        saved=saved,
        graph=graph,
        saved_by=saved_by,
    )


def _path(parts: Parts, op: int, layers: str) -> str:
    """The names that lead to an op, by its number in the order of the flattened graph, or to a fold with it in it."""
    for name, node in parts:
        ops = ops_in(node)
        if op < ops:
            if isinstance(node, Op) or (layers != REFERENCE and isinstance(chosen_for(node, layers), Plan)):
                return name
            return f"{name}.{_path(_entries(node), op, layers)}"
        op -= ops
    raise AssertionError("an op that the graph does not have")
