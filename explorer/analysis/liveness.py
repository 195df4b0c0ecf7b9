"""When Python holds each value of a network: the calls of the reference module in order, and what is forgotten when.

A scope forgets a value after its last use, but whoever calls a scope holds what it gave until the call returns
(ScopeModule.forward). What autograd holds beyond that is for `storages` to follow.
"""

from typing import Any, NamedTuple

from explorer.analysis.saved import CALLS, Call, Calls, Setting, buffers, loss_of, parameters
from explorer.blocks.graph import Graph, Op, Scope, Shape

LOSS = -1  # in place of an op's number
IMAGE = 0  # the value

# a call, its operands and what it makes (numbers of values in the whole network), the values that are forgotten after
# it, and the number of its op in the order of the flattened graph
Step = tuple[Call, tuple[int, ...], int, list[int], int]


class Lowered(NamedTuple):
    """An op as calls, and bytes of what its module holds."""

    calls: Calls
    parameters: int
    buffers: int


class Schedule:
    """A network's forward pass, in training with its losses, as steps in order.

    `module`: how many of them are the module's own; `losses`: the values that they end in.
    """

    def __init__(self, graph: Graph, at: Setting) -> None:
        self.start(at)
        outputs = self._network(graph)
        self.module = len(self.steps)
        self.losses = [self._calls(loss_of(shape, at), [i], LOSS) for shape, i in outputs] if at.training else []

    def start(self, at: Setting) -> None:
        """Nothing has run yet."""
        self.at = at
        self.steps: list[Step] = []
        self.holders = [2]  # of each value: names and containers that hold it; the image stays
        self.parameters = self.buffers = self.ops = 0
        self._lowered: dict[int, Lowered] = {}

    def _network(self, graph: Graph) -> list[tuple[Shape, int]]:
        """Runs the root, then the auxiliary heads while the root's outputs are held."""
        root = graph.root
        values = self._scope(root, [IMAGE] * len(root.ports))
        made = [(root.out, values[0])]
        for head in graph.auxiliaries:
            outputs = self._scope(head.scope, [values[root.outputs.index(head.source)]])
            self._forget(outputs[1:])
            made.append((head.scope.out, outputs[0]))
        self._forget(values[1:])
        return made

    def _scope(self, scope: Scope, arguments: list[int]) -> list[int]:
        """Runs a scope on values that the caller holds. What is returned is for the caller to hold."""
        values = dict(zip(scope.ports, arguments, strict=True))
        lifetimes = lifetimes_of(scope)
        for entry, done in zip(scope.body, lifetimes.done, strict=True):
            node = entry.node
            given = [values[i] for i in entry.inputs]
            if isinstance(node, Op):
                values[entry.outputs[0]] = self._op(node, given)
            else:
                values.update(zip(entry.outputs, self._inner(node, given), strict=True))
            if done:
                self._forget([values[i] for i in done])
        for i in lifetimes.shared:
            self.holders[values[i]] += 1
        if lifetimes.unused:
            self._forget([values[i] for i in lifetimes.unused])
        return [values[i] for i in scope.outputs]

    def _inner(self, scope: Scope, arguments: list[int]) -> list[int]:
        """A scope inside another."""
        return self._scope(scope, arguments)

    def _op(self, op: Op, given: list[int]) -> int:
        calls, weights, tables = self._lower(op)
        self.parameters += weights
        self.buffers += tables
        number = self.ops
        self.ops += 1
        return self._call(calls[0], given, number) if len(calls) == 1 else self._calls(calls, given, number)

    def _lower(self, op: Op) -> Lowered:
        lowered = self._lowered.get(id(op))
        if lowered is None:
            lowered = self._lowered[id(op)] = lower(op, self.at)
        return lowered

    def _call(self, call: Call, values: list[int], op: int) -> int:
        made = len(self.holders)
        self.holders.append(1)
        self.steps.append((call, tuple([values[i] for i in call.reads]), made, [], op))
        return made

    def _calls(self, calls: Calls, given: list[int], op: int) -> int:
        """Runs an op's calls. Values between them are forgotten at its end at the latest."""
        if not calls:  # the op hands on what it was given
            self.holders[given[0]] += 1
            return given[0]
        values = [*given]
        for call in calls:
            values.append(self._call(call, values, op))
            if call.drops:
                self._forget([values[i] for i in call.drops])
        dropped = {i for call in calls for i in call.drops}
        self._forget([values[i] for i in range(len(given), len(values) - 1) if i not in dropped])
        return values[-1]

    def _forget(self, values: list[int]) -> None:
        holders = self.holders
        for value in values:
            holders[value] -= 1
            if not holders[value]:
                self.steps[-1][3].append(value)


def ops_in(node: Op | Scope) -> int:
    """How many ops there are, found once for each shared scope."""
    if isinstance(node, Op):
        return 1
    if "ops" not in node.memo:
        node.memo["ops"] = sum(ops_in(entry.node) for entry in node.body)
    found: int = node.memo["ops"]
    return found


def lower(op: Op, at: Setting) -> Lowered:
    """An op as the calls of torch that its layer makes."""
    return Lowered(CALLS[op.kind](op, at), parameters(op, at), buffers(op, at))


class Lifetimes(NamedTuple):
    """Which of a scope's values are forgotten after each entry, and which at its end because nothing uses them.

    `shared`: outputs that the scope was itself given, or returns more than once, so that one more holds them.
    """

    done: tuple[tuple[int, ...], ...]
    unused: tuple[int, ...]
    shared: tuple[int, ...]


def lifetimes_of(scope: Scope) -> Lifetimes:
    """Found once for each shared scope."""
    known: Any = scope.memo.get("lifetimes")
    if known is None:
        known = scope.memo["lifetimes"] = _lifetimes(scope)
    found: Lifetimes = known
    return found


def _lifetimes(scope: Scope) -> Lifetimes:
    kept = {*scope.ports, *scope.outputs}
    last = {i: position for position, entry in enumerate(scope.body) for i in entry.inputs}
    done = [
        tuple([i for i in dict.fromkeys(entry.inputs) if last[i] == position and i not in kept])
        for position, entry in enumerate(scope.body)
    ]
    made = [i for entry in scope.body for i in entry.outputs]
    unused = [i for i in made if i not in last and i not in kept]
    outputs = scope.outputs
    shared = [i for place, i in enumerate(outputs) if i in scope.ports or i in outputs[:place]]
    return Lifetimes(tuple(done), tuple(unused), tuple(shared))
