"""The graph as a torch module: scopes become modules, names follow the scopes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from explorer.blocks.graph import Entry, Graph, Op, Scope
from explorer.errors import UserError
from explorer.nn.initialise import initialise
from explorer.nn.layers import LAYERS
from explorer.nn.stochastic import Draw, FractalJoin

PLAIN = nn.Module()
# set by ScopeModule and its subclasses
RESERVED = frozenset(("auxiliaries", "draws", "fast", "graph", "kind", "outputs", "plan", "ports"))
Substitute = Callable[[Scope | Op], nn.Module | None]


def reference(node: Scope | Op) -> None:
    """No substitute: every scope and op is its plain module."""


class ScopeModule(nn.Module):
    """A scope: runs its entries in order, and forgets each value after its last use.

    `substitute` gives modules that stand in for scopes and ops, with the same names inside (nn.fast).
    """

    def __init__(self, scope: Scope, substitute: Substitute = reference) -> None:
        super().__init__()
        self.kind = scope.title
        self.ports = scope.ports
        self.outputs = scope.outputs
        self.plan: list[tuple[str, tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = []
        last: dict[int, int] = {}
        for position, entry in enumerate(scope.body):
            last.update(dict.fromkeys(entry.inputs, position))
        for position, (name, entry) in enumerate(zip(child_names(scope), scope.body, strict=True)):
            self.add_module(name, _module_of(entry, substitute))
            done = {i for i in entry.inputs if last[i] == position and i not in scope.outputs}
            self.plan.append((name, entry.inputs, entry.outputs, tuple(sorted(done))))

    def forward(self, *arguments: Tensor) -> Any:
        """The scope's tensors, in the order of its ports, to its outputs (a tuple when it has several)."""
        values = self.run(*arguments)
        if len(self.outputs) == 1:
            return values[self.outputs[0]]
        return tuple(values[i] for i in self.outputs)

    def run(self, *arguments: Tensor) -> dict[int, Tensor]:
        """The scope's values that are left at its end, its outputs among them."""
        values: dict[int, Tensor] = dict(zip(self.ports, arguments, strict=True))
        modules = self._modules
        for name, inputs, outputs, done in self.plan:
            layer = modules[name]
            if isinstance(layer, nn.Linear):
                made = layer(values[inputs[0]].flatten(1))[:, :, None, None]
            else:
                made = layer(*[values[i] for i in inputs])  # type: ignore[misc]
            for index in done:
                del values[index]
            if len(outputs) == 1:
                values[outputs[0]] = made
            else:
                values.update(zip(outputs, made, strict=True))
        return values


class NetworkModule(ScopeModule):
    """A whole network: [N, C, H, W] -> [N, classes] (or a map, where the network ends in one).

    `auxiliaries` are its auxiliary heads, by name: modules of their own, used by `with_auxiliaries` only. Their
    parameters belong to the module, and are no part of what the ledger counts.
    """

    def __init__(self, graph: Graph, substitute: Substitute = reference) -> None:
        if any(not isinstance(side, int) for side in graph.input):
            raise UserError("only a network of plain integers can be built")
        super().__init__(graph.root, substitute)
        self.outputs = graph.root.outputs[:1]  # named outputs are not asked for
        self.graph = graph
        self.auxiliaries = nn.ModuleDict({head.name: ScopeModule(head.scope, substitute) for head in graph.auxiliaries})
        self.draws: dict[int, Draw] = {}
        for layer in self.modules():
            if isinstance(layer, FractalJoin):
                layer.draw = self.draws.setdefault(layer.number, layer.draw)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """[N, C, H, W] -> [N, classes]"""
        return _vector(self.run(*self._begin(x))[self.outputs[0]])

    def with_auxiliaries(self, x: Tensor) -> tuple[Tensor, list[tuple[float, Tensor]]]:
        """[N, C, H, W] -> [N, classes], and of each auxiliary head the weight of its loss and its [N, classes]."""
        values = self.run(*self._begin(x))
        heads = [
            (float(head.weight), _vector(self.auxiliaries[head.name](values[head.source])))
            for head in self.graph.auxiliaries
        ]
        return _vector(values[self.outputs[0]]), heads

    def _begin(self, x: Tensor) -> list[Tensor]:
        """What the root reads; in training, draws that layers share are made for this mini-batch."""
        if self.training:
            for draw in self.draws.values():
                draw.renew()
        return [x] if self.ports else []

    def extra_repr(self) -> str:
        """Shown by print."""
        return self.graph.canonical


def _vector(x: Tensor) -> Tensor:
    return x.flatten(1) if x.shape[2:] == (1, 1) else x


def child_names(scope: Scope) -> list[str]:
    """The entries' names as module attributes; what a module itself uses gets an underscore."""
    names: list[str] = []
    for entry in scope.body:
        name = entry.name
        while name in names or name in RESERVED or hasattr(PLAIN, name) or hasattr(NetworkModule, name):
            name += "_"
        names.append(name)
    return names


def _module_of(entry: Entry, substitute: Substitute) -> nn.Module:
    node = entry.node
    layer = substitute(node)
    if isinstance(node, Scope):
        return ScopeModule(node, substitute) if layer is None else layer
    layer = LAYERS[node.kind](node) if layer is None else layer
    if not _on_meta(layer):
        initialise(layer, node)
    return layer


def _on_meta(layer: nn.Module) -> bool:
    return any(p.device == torch.device("meta") for p in layer.parameters(recurse=False))


def module_paths(scope: Scope, prefix: str = "") -> dict[str, Op]:
    """The op behind each leaf module, by the module's name."""
    paths: dict[str, Op] = {}
    for child, entry in zip(child_names(scope), scope.body, strict=True):
        name = prefix + child
        if isinstance(entry.node, Op):
            paths[name] = entry.node
        else:
            paths.update(module_paths(entry.node, f"{name}."))
    return paths
