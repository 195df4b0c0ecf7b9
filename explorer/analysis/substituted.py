"""The calls of a network with substitutes (explorer/nn/fast) in place of folds, recalibration and sliding means."""

from typing import Any

from explorer.analysis.fold_memory import FoldMemory
from explorer.analysis.liveness import IMAGE, Schedule, ops_in
from explorer.analysis.saved import FOLD, NEW, PASSED, VIEW, Call, Setting, buffers, parameters, sums
from explorer.blocks.graph import Op, Scope, Shape
from explorer.nn.fast.choice import BALANCED, choice_of
from explorer.nn.fast.plan import Plan
from explorer.nn.fast.scales import Gate, Scales


class Substituted(Schedule):
    """A network whose scopes are run by the substitutes that the setting's `layers` chooses."""

    vectors: int | None = None  # what the layers of a gate read, while they run

    def _inner(self, scope: Scope, arguments: list[int]) -> list[int]:
        chosen = chosen_for(scope, self.at.layers)
        if isinstance(chosen, Plan):
            return self._fold(scope, chosen, arguments)
        if isinstance(chosen, Scales):
            return [self._recalibration(scope, chosen, arguments)]
        return self._scope(scope, arguments)

    def _fold(self, scope: Scope, plan: Plan, arguments: list[int]) -> list[int]:
        at = self.at

        def fold(strided: tuple[bool, ...]) -> FoldMemory:
            known: dict[Any, FoldMemory] = scope.memo.setdefault("fold memory", {})
            if (at, strided) not in known:
                known[at, strided] = FoldMemory(scope, plan, at.layers == BALANCED, strided, at)
            return known[at, strided]

        weights, tables = held_by(scope, at)
        learned = weights if at.training else 0
        first = self.ops
        self.parameters += weights
        self.buffers += tables
        self.ops += ops_in(scope)
        self._call(Call(tuple(range(len(arguments))), 0, FOLD, learned=learned, fold=fold), arguments, first)
        made = len(self.holders) - 1
        self.holders += [1] * (len(scope.outputs) - 1)
        return list(range(made, len(self.holders)))

    # --- recalibration.py ---

    def _recalibration(self, scope: Scope, scales: Scales, arguments: list[int]) -> int:
        numbers = {
            gate.scale: self.ops + sum([ops_in(e.node) for e in scope.body[: gate.place]]) for gate in scales.gates
        }
        means = self._means(scope, scales, numbers, arguments[scales.pooled])
        gates = {gate.scale: self._gate(scope, gate, means[gate.scale]) for gate in scales.gates}
        self.ops += len(scope.body) - len(gates)
        last = self.ops - 1
        finest = self._on_finest(gates, last)
        grids = {}
        for scale, (value, shape) in finest.items():
            grids[scale] = self._new(last, [value], shape, [shape]), shape
        self._forget([value for value, _ in finest.values()])
        made = self._weighted(scope, scales, arguments[scales.weighted], grids, last)
        self._forget([*means.values(), *[v for v, _ in gates.values()], *[v for v, _ in grids.values()]])
        return made

    def _new(self, op: int, values: list[int], out: Shape, operands: list[Shape | int], **more: Any) -> int:
        """A call; its gradients are as large as its operands, or handed on."""
        at = self.at
        gradients = tuple([x if isinstance(x, int) else at.values(x) for x in operands])
        return self._call(Call(tuple(range(len(values))), at.values(out), gradients=gradients, **more), values, op)

    def _means(self, scope: Scope, scales: Scales, numbers: dict[int, int], x: int) -> dict[int, int]:
        channels, height, width = scope.shapes[scope.ports[scales.pooled]]
        made: dict[int, int] = {}
        for gate in sorted(scales.gates, key=lambda gate: -gate.scale):
            scale, number = gate.scale, numbers[gate.scale]
            even = height % scale == 0 == width % scale
            finer = [k for k in made if k % scale == 0 and height % k == 0 == width % k]
            if not (finer or even):
                made[scale] = self._calls(self._lower(_ops_of(scope, gate)[0]).calls, [x], number)
                continue
            source, shape = (
                (made[min(finer)], (channels, min(finer), min(finer))) if finer else (x, (channels, height, width))
            )
            between = (channels, scale, shape[2])
            rows = self._new(number, [source], between, [shape])
            made[scale] = self._new(number, [rows], (channels, scale, scale), [between])
            self._forget([rows])
        return made

    def _gate(self, scope: Scope, gate: Gate, means: int) -> tuple[int, Shape]:
        """Its layers on vectors, one for each region; a grid again."""
        inner, scale = scope.body[gate.place].node, gate.scale
        assert isinstance(inner, Scope)
        shape = _ops_of(scope, gate)[0].out
        form = VIEW if scale == 1 else NEW
        self.vectors = self._new(self.ops, [means], shape, [PASSED], form=form)
        made = self._scope(inner, [IMAGE] * len(inner.ports))[0]
        shape = (_ops_of(scope, gate)[-1 - gate.upsamples].out[0], scale, scale)
        grid = self._new(self.ops - 1, [made], shape, [PASSED], form=form)
        self._forget([made, self.vectors])
        self.vectors = None
        return grid, shape

    def _op(self, op: Op, given: list[int]) -> int:
        if self.vectors is None:
            return super()._op(op, given)
        calls, weights, tables = self._lower(op)
        if op.kind == "conv":  # a linear layer here: nothing is copied
            calls = [call._replace(packs=0) for call in calls]
        elif op.kind in ("regional", "upsample"):
            calls = []
            given = [self.vectors] if op.kind == "regional" else given
        self.parameters += weights
        self.buffers += tables
        self.ops += 1
        return self._calls(calls, given, self.ops - 1)

    def _on_finest(self, gates: dict[int, tuple[int, Shape]], op: int) -> dict[int, tuple[int, Shape]]:
        grids: dict[int, tuple[int, Shape]] = {}
        for scale, (gate, shape) in sorted(gates.items()):
            self.holders[gate] += 1
            for coarser in [k for k in grids if scale % k == 0]:
                value, small = grids.pop(coarser)
                between = (shape[0], coarser, scale)
                wide = self._new(op, [value], between, [small])
                whole = self._new(op, [wide], shape, [between])
                self._forget([wide])
                total = self._new(op, [gate, whole], shape, [PASSED, PASSED])
                self._forget([whole, gate, value])
                gate = total
            grids[scale] = gate, shape
        return grids

    def _weighted(self, scope: Scope, scales: Scales, x: int, grids: dict[int, tuple[int, Shape]], op: int) -> int:
        shape = scope.shapes[scope.ports[scales.weighted]]
        channels, height, width = shape
        scale = max(grids)
        if len(grids) == scale == 1:
            return self._product(x, *grids[1], shape, op)
        if len(grids) == 1 and height % scale == 0 == width % scale:
            grid, small = grids[scale]
            between = (channels, scale, width)
            rows = self._new(op, [grid], between, [small])
            made = self._product(x, rows, between, shape, op)
            self._forget([rows])
            return made
        upsamples = {gate.scale: _ops_of(scope, gate)[-1] for gate in scales.gates if gate.upsamples}
        gates = [
            self._calls(self._lower(upsamples[scale]).calls if scale in upsamples else [], [grid], op)
            for scale, (grid, _) in grids.items()
        ]
        total = self._calls(sums(list(range(len(gates))), len(gates), self.at.values(shape)), gates, op)
        made = self._product(x, total, shape, shape, op)
        self._forget([total, *gates])
        return made

    def _product(self, x: int, gate: int, small: Shape, shape: Shape, op: int) -> int:
        """The gate's gradient is made in full, then summed."""
        back = self.at.values(shape) if small != shape else 0
        return self._new(op, [x, gate], shape, [shape, small], saves=None, back=back)


def _ops_of(scope: Scope, gate: Gate) -> list[Op]:
    """A gate's layers."""
    inner = scope.body[gate.place].node
    assert isinstance(inner, Scope)
    return [entry.node for entry in inner.body if isinstance(entry.node, Op)]


def chosen_for(scope: Scope, layers: str) -> Plan | Scales | None:
    """What stands in for a scope, found once for each shared one."""
    known: dict[str, Plan | Scales | None] = scope.memo.setdefault("substitutes", {})
    if layers not in known:
        known[layers] = choice_of(scope, layers)
    return known[layers]


def held_by(scope: Scope, at: Setting) -> tuple[int, int]:
    """Bytes of parameters and of buffers."""
    weights = tables = 0
    for entry in scope.body:
        node = entry.node
        more = held_by(node, at) if isinstance(node, Scope) else (parameters(node, at), buffers(node, at))
        weights += more[0]
        tables += more[1]
    return weights, tables
