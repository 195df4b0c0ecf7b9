"""Where time and saved memory go, part by part, for the parts that are shown.

Time is a line with marks: whenever another part begins or goes on, a mark is set, and what lies between two marks
belongs to the part of the first. So the parts add up to the whole. In the forward pass modules set the marks; in the
backward pass the nodes of autograd's graph, which know when they were made and so in which part.
"""

import time
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from explorer.blocks.graph import Scope
from explorer.measure.network import Network
from explorer.measure.timing import one_thread
from explorer.nn.module import NetworkModule, ScopeModule, child_names

Path = tuple[str, ...]  # names as tables show them, outermost first
Below = defaultdict[Path, list[Path]]
Times = defaultdict[tuple[str, Path], float]  # milliseconds of each phase and part
STEPS = 7
ROOT: Path = ()
LOSS, UPDATE = ("loss",), ("update",)  # lines of their own: no part of the network is called by them
FORWARD, BACKWARD = "forward", "backward"
FIRST_OF_PARAMETERS = 2**63  # nodes that only add to a parameter's gradient have numbers from here on


def parts_of(network: Network, depth: int) -> dict[str, Any]:
    """Milliseconds (of the processor where one thread computes) and saved bytes by part: {tree, loss_ms, update_ms}.

    The tree is {name, forward_ms, backward_ms, saved, children}, `depth` levels deep, each part with all that is inside
    it; parts that run as one (substituted layers) are not divided. In inference only forward_ms is known.
    """
    module = network.module
    assert isinstance(module, NetworkModule)
    shown = dict(_shown(module, depth))
    runs = [_marked(network, shown) for _ in range(STEPS)]
    times: Times = defaultdict(float)
    for key in {key for run in runs for key in run}:
        times[key] = median(run.get(key, 0.0) for run in runs)
    saved = _saved(network, shown) if network.setting.training else None
    below: Below = defaultdict(list)
    for path in shown:
        below[path[:-1]].append(path)
    return {
        "tree": _tree(ROOT, module.graph.root.title, below, times, saved),
        "loss_ms": times[FORWARD, LOSS] + times[BACKWARD, LOSS] if saved is not None else None,
        "update_ms": times[FORWARD, UPDATE] if saved is not None else None,
    }


def _shown(module: NetworkModule, depth: int) -> Iterator[tuple[Path, nn.Module]]:
    yield from _below(module, module.graph.root, ROOT, depth)
    for head in module.graph.auxiliaries:
        if depth > 0:
            yield (head.name,), module.auxiliaries[head.name]
            yield from _below(module.auxiliaries[head.name], head.scope, (head.name,), depth - 1)


def _below(module: nn.Module, scope: Scope, path: Path, depth: int) -> Iterator[tuple[Path, nn.Module]]:
    if depth <= 0:
        return
    for name, entry in zip(child_names(scope), scope.body, strict=True):
        part = module._modules[name]
        assert part is not None
        yield (*path, entry.name), part
        if isinstance(entry.node, Scope) and type(part) is ScopeModule:
            yield from _below(part, entry.node, (*path, entry.name), depth - 1)


# --- time ---


class _Line:
    """A line of time with marks of what begins there."""

    def __init__(self, kind: str) -> None:
        self.kind, self.single = kind, one_thread(kind)
        self.marks: list[tuple[str, Path, Any]] = []

    def mark(self, phase: str, path: Path) -> None:
        """From here on it is this part's time."""
        if not self.marks or self.marks[-1][:2] != (phase, path):
            self.marks.append((phase, path, self._now()))

    def _now(self) -> Any:
        if self.kind == "cuda":
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            return event
        if self.kind == "mps":
            torch.mps.synchronize()
        return time.process_time() if self.single else time.perf_counter()

    def milliseconds(self) -> Times:
        """Of each phase and part; the line ends here."""
        self.marks.append(("", ROOT, self._now()))
        if self.kind == "cuda":
            torch.cuda.synchronize()
        found: Times = defaultdict(float)
        for (phase, path, begun), (_, _, ended) in pairwise(self.marks):
            found[phase, path] += begun.elapsed_time(ended) if self.kind == "cuda" else 1e3 * (ended - begun)
        return found


def _marked(network: Network, shown: dict[Path, nn.Module]) -> Times:
    """Milliseconds of one step, or one inference."""
    line = _Line(network.setting.kind)
    made = _Made()

    def enter(path: Path) -> None:
        made.turn(path)
        line.mark(FORWARD, path)

    if not network.setting.training:
        with _following(shown, enter):
            enter(ROOT)
            network.run()
        return line.milliseconds()
    network.clear()
    with _following(shown, enter):
        enter(ROOT)
        outputs = network.forward()
    enter(LOSS)
    loss = network.loss(outputs)
    del outputs
    made.turn(LOSS)
    _watch(loss, made, lambda path: line.mark(BACKWARD, path))
    line.mark(BACKWARD, LOSS)
    network.backward(loss)
    line.mark(FORWARD, UPDATE)
    network.update()
    return line.milliseconds()


@contextmanager
def _following(shown: dict[Path, nn.Module], enter: Callable[[Path], None]) -> Iterator[None]:
    """Tells in which of the shown parts the forward pass is, whenever that changes."""
    inside: list[Path] = [ROOT]

    def begin(path: Path) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any) -> None:
            inside.append(path)
            enter(path)

        return hook

    def end(module: nn.Module, inputs: Any, outputs: Any) -> None:
        inside.pop()
        enter(inside[-1])

    with ExitStack() as hooks:
        for path, module in shown.items():
            hooks.enter_context(module.register_forward_pre_hook(begin(path)))
            hooks.enter_context(module.register_forward_hook(end))
        yield


class _Made:
    """Which part made each node of autograd's graph: nodes are numbered in the order they are made."""

    def __init__(self) -> None:
        self.starts: list[tuple[int, Path]] = []

    def turn(self, path: Path) -> None:
        """Nodes from the next one on are this part's."""
        self.starts.append((torch.autograd._get_sequence_nr(), path))  # type: ignore[attr-defined]

    def owners(self, nodes: list[Any]) -> Iterator[tuple[Any, Path]]:
        """Each node with its part."""
        starts = iter([*self.starts, (FIRST_OF_PARAMETERS, ROOT)])
        path, (following, coming) = ROOT, next(starts)
        for node in sorted(nodes, key=lambda node: node._sequence_nr()):
            while following <= node._sequence_nr():
                path, (following, coming) = coming, next(starts)
            yield node, path


def _watch(loss: Tensor, made: _Made, mark: Callable[[Path], None]) -> None:
    """Sets a mark whenever the backward pass comes to a node; gradients of parameters go with the node before."""
    seen: set[Any] = set()
    waiting: list[Any] = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    nodes = [node for node in seen if node._sequence_nr() < FIRST_OF_PARAMETERS]
    for node, path in made.owners(nodes):
        node.register_prehook(lambda gradients, path=path: mark(path))


# --- memory ---


def _saved(network: Network, shown: dict[Path, nn.Module]) -> Counter[Path]:
    """Bytes that autograd keeps after a forward pass, by the part that saved them first."""
    held = [*network.parameters(), *network.buffers(), *network.images()]
    known = {tensor.untyped_storage()._cdata for tensor in held}
    now = [ROOT]
    packed: list[tuple[Path, weakref.ref[_Kept]]] = []

    def pack(tensor: Tensor) -> _Kept:
        kept = _Kept(tensor.detach())
        packed.append((now[0], weakref.ref(kept)))
        return kept

    def enter(path: Path) -> None:
        now[0] = path

    network.clear()
    with _following(shown, enter), torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
        outputs = network.forward()
    found: Counter[Path] = Counter()
    for path, reference in packed:
        kept = reference()
        storage = None if kept is None else kept.tensor.untyped_storage()
        if storage is not None and storage._cdata not in known:
            known.add(storage._cdata)
            found[path] += storage.nbytes()
    del outputs
    return found


class _Kept:
    """What autograd keeps in place of a tensor; it lives as long as the node that saved it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


# --- the tree ---


def _tree(path: Path, name: str, below: Below, times: Times, saved: Counter[Path] | None) -> dict[str, Any]:
    children = [_tree(inner, inner[-1], below, times, saved) for inner in below[path]]
    found = {"forward_ms": times[FORWARD, path]}
    found |= {} if saved is None else {"backward_ms": times[BACKWARD, path], "saved": saved[path]}
    for child in children:
        for column in found:
            found[column] += child[column]
    return {"name": name, "backward_ms": None, "saved": None, **found, "children": children}
