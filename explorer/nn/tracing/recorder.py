"""A run of a module, watched: what torch executes, on which values, inside which module."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from explorer.blocks.graph import Shape
from explorer.nn.tracing.operators import CONSTANT, VIEW, Operator, bind, describe
from explorer.nn.tracing.rules import Found, Seen, found, image_shape, verdict
from explorer.nn.tracing.tree import Call, Node
from explorer.nn.tracing.values import Held, Values, tensors_in


class ValuesNeeded(Exception):
    """The module asks what a tensor contains, which a run without values cannot say."""


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches every operator that reaches torch's dispatcher in this thread; all tensors are on one device."""

    def __init__(self, module: nn.Module, batch: int, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.batch = batch
        self.device = device
        self.values = Values()
        self.unread: dict[str, int] = {}  # parameters not counted yet, and their elements
        self.seen: Counter[tuple[str, str, str]] = Counter()  # operator, verdict, reason
        self.strangers: dict[int, Tensor] = {}  # parameters that the module does not own
        self.root = Node("", type(module).__name__)
        self._sources: dict[str, int] = {}
        self._calls: list[tuple[nn.Module, Node]] = [(module, self.root)]
        self._twins: dict[int, tuple[Tensor, Tensor]] = {}  # the originals are kept: their identities stay theirs
        self._paths: dict[int, list[str]] = {}
        for name, child in module.named_modules(remove_duplicate=False):
            self._paths.setdefault(id(child), []).append(name)
        for name, parameter in module.named_parameters():
            self.unread[name] = parameter.numel()
            self.twin(parameter, name)

    def finish(self) -> None:
        """Parameters that nothing read, under a heading of their own."""
        if self.unread:
            unused = Node("unused", "unused")
            self.root.children.append(unused)
            self._calls = [(nn.Module(), unused)]
            for name in list(self.unread):
                self._source(name, name)

    # --- what torch calls ---

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operator on tensors of this run's device and note it."""
        op = describe(func)
        if op.composite:  # reaches the dispatcher whole in inference mode
            with self:
                return func.decompose(*args, **(kwargs or {}))
        if op.asks and self.device.type == "meta":
            raise ValuesNeeded
        args = self._ours(args)
        kwargs = {name: self._ours(value) for name, value in (kwargs or {}).items()}
        if "device" in kwargs:
            kwargs["device"] = self.device
        if self.device.type == "meta" and kwargs.get("generator") is not None:
            kwargs["generator"] = None  # it has a device of its own, and there is nothing to draw
        result = self._result(func, op, args, kwargs)
        self.seen[(op.title, *verdict(op))] += 1
        self._note(op, bind(op, args, kwargs), result)
        return result

    def _result(self, func: Any, op: Operator, args: Any, kwargs: dict[str, Any]) -> Any:
        if op.name == "native_batch_norm" and self.device.type == "meta":
            return _batch_norm(args[0])
        try:
            return func(*args, **kwargs)
        except NotImplementedError:
            if op.dynamic:
                raise ValuesNeeded from None
            raise

    @contextmanager
    def watching(self) -> Iterator[None]:
        """The mode and the hooks that tell which module is running, both gone afterwards."""
        thread = threading.get_ident()

        def entered(module: nn.Module, args: Any) -> None:
            if threading.get_ident() == thread:
                self._enter(module)

        def left(module: nn.Module, args: Any, result: Any) -> None:
            if threading.get_ident() == thread:
                self._leave(result)

        handles = (register_module_forward_pre_hook(entered), register_module_forward_hook(left, always_call=True))
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()

    # --- modules ---

    def _enter(self, module: nn.Module) -> None:
        parent, node = self._calls[-1]
        if len(self._calls) == 1 and parent is module:
            self._calls.append((module, node))
            return
        child = Node(self._name(parent, module), type(module).__name__, not module._modules)
        node.children.append(child)
        self._calls.append((module, child))

    def _leave(self, result: Any) -> None:
        _, node = self._calls.pop()
        for tensor in tensors_in(result):
            value = self.values.held[id(tensor)].now if self.values.find(tensor) else None
            if value is not None:
                node.results.append((value, self._shape(tensor, value)))

    def _name(self, parent: nn.Module, module: nn.Module) -> str:
        """Its path below the module that called it, or its whole path, or its class."""
        paths = self._paths.get(id(module), [])
        for above in self._paths.get(id(parent), []):
            for path in paths:
                if not above or path.startswith(f"{above}."):
                    return path[len(above) + 1 if above else 0 :]
        return paths[0] if paths else type(module).__name__.lower()

    # --- tensors ---

    def _ours(self, value: Any) -> Any:
        """An argument with every tensor from outside replaced by a copy of this run."""
        if isinstance(value, Tensor):
            return value if self.values.find(value) else self.twin(value)
        if isinstance(value, list | tuple):
            return type(value)(self._ours(item) for item in value)
        return value

    def twin(self, tensor: Tensor, parameter: str | None = None) -> Tensor:
        """The copy that stands for a tensor from outside, always the same one."""
        known = self._twins.get(id(tensor))
        if known is None:
            if isinstance(tensor, nn.Parameter) and parameter is None:
                self.strangers[id(tensor)] = tensor
            known = self._twins[id(tensor)] = (tensor, copy_to(tensor, self.device))
            self.values.hold(known[1], None, parameter)
        return known[1]

    def _shape(self, tensor: Tensor, value: int | None, channels_first: bool = False) -> Shape:
        batch = self.batch if value in self.values.of_image else 1
        return image_shape(tuple(tensor.shape), batch, channels_first)

    # --- operations ---

    def _note(self, op: Operator, args: dict[str, Any], result: Any) -> None:
        read = [(name, tensor) for name, value in args.items() for tensor in tensors_in(value)]
        written = [tensor for name, tensor in read if name in op.writes]
        made = [tensor for tensor in tensors_in(result) if id(tensor) not in self.values.held]
        if written and op.reason == VIEW:  # other sides of the same tensor, such as transpose_
            return
        bases = [self.values.same_memory(tensor, [given for _, given in read]) for tensor in made]
        if made and not written and None not in bases:
            for tensor, base in zip(made, bases, strict=True):
                self._view(tensor, cast(Held, base))
        elif made or written:
            self._compute(op, args, read, made, written)

    def _view(self, tensor: Tensor, base: Held) -> None:
        value = base.now
        if value is not None:
            given, shape = self._shape(base.tensor, value), self._shape(tensor, value)
            both = {"inputs": prod(shape), "outputs": prod(shape)}
            if tensor.numel() < base.tensor.numel():
                value = self._call("slice", _cut(base.tensor, tensor), (value,), (given,), shape, both)
            elif _flattens(tuple(base.tensor.shape), tuple(tensor.shape), self.batch):
                value = self._call("flatten", {}, (value,), (given,), shape, both)
        self.values.hold(tensor, value, base.param if value is None else None)

    def _compute(
        self,
        op: Operator,
        args: dict[str, Any],
        read: list[tuple[str, Tensor]],
        made: list[Tensor],
        written: list[Tensor],
    ) -> None:
        held = [(name, self.values.held[id(tensor)]) for name, tensor in read]
        inputs = [(name, h) for name, h in held if not (op.overwrites and name in op.writes and _covers(h))]
        of_image = any(h.now in self.values.of_image for _, h in inputs)
        out = (made or written)[0]
        seen = Seen(
            title=op.title,
            args=args,
            out=out,
            values=sum(h.now is not None or h.param is not None for _, h in inputs),
            depends=lambda tensor: self.values.held[id(tensor)].now in self.values.of_image,
            batch=self.batch if of_image else 1,
        )
        constant = op.reason == CONSTANT and all(_covers(self.values.held[id(tensor)]) for tensor in written)
        value = None if constant else self._operation(found(op, seen), seen, inputs)
        for tensor in written:
            self.values.write(tensor, value)
        for tensor in made:
            self.values.hold(tensor, value)

    def _operation(self, what: Found, seen: Seen, inputs: list[tuple[str, Held]]) -> int | None:
        """Note an operation unless it only computes a constant. The value that it makes."""
        counts = dict.fromkeys(("inputs", "outputs"), 0)
        counts.update({column: -(-n // seen.batch) for column, n in what.counts.items()})
        operands: list[tuple[int, Shape]] = []
        for name, h in inputs:
            value = h.now
            if value is None and h.param is not None:
                if name in what.params:
                    column = what.params[name]
                    counts[column] = counts.get(column, 0) + self.unread.pop(h.param, 0)
                    continue
                value = self._source(h.param)
            if value is not None:
                shape = what.shapes.get(name) or self._shape(h.tensor, value, what.channels_first)
                operands.append((value, shape))
        if not operands and not any(counts.get(column) for column in ("macs", "weights", "biases", "norms")):
            return None  # computed from constants only
        if what.kind == "multiply":  # what is weighted stands first, gates follow
            operands.sort(key=lambda operand: -prod(operand[1]))
        reads, ins = tuple(v for v, _ in operands), tuple(s for _, s in operands)
        out = what.shapes.get("out") or image_shape(tuple(seen.out.shape), seen.batch, what.channels_first)
        counts["inputs"], counts["outputs"] = sum(map(prod, ins)), prod(out)
        return self._call(what.kind, what.attrs, reads, ins, out, counts)

    def _call(
        self,
        kind: str,
        attrs: dict[str, Any],
        reads: tuple[int, ...],
        ins: tuple[Shape, ...],
        out: Shape,
        counts: dict[str, int],
        name: str | None = None,
    ) -> int:
        value = self.values.new(reads)
        name = name or kind.rsplit(".", 1)[-1].strip("_")
        self._calls[-1][1].children.append(Call(name, kind, attrs, reads, value, ins, out, counts))
        return value

    def _source(self, parameter: str, name: str | None = None) -> int:
        """A parameter as a value: read by something that is no layer, such as a sum."""
        value = self._sources.get(parameter)
        if value is None:
            tensor = next(h.tensor for h in self.values.held.values() if h.param == parameter)
            counts = {"weights": self.unread.pop(parameter, 0)}
            shape = image_shape(tuple(tensor.shape), 1)
            name = name or parameter.rsplit(".", 1)[-1]
            value = self._sources[parameter] = self._call("parameter", {"name": parameter}, (), (), shape, counts, name)
        return value


def copy_to(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the same sizes, strides and type; with its values unless the device holds none."""
    if device.type == "meta":
        copy = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
    else:
        copy = tensor.detach().to(device, copy=True)
    return nn.Parameter(copy, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copy


def _batch_norm(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The sizes it makes. Torch's own answer is written in Python and took most of a trace's time."""
    statistics = x.new_empty(x.shape[1])
    return torch.empty_like(x), statistics, statistics


def _covers(held: Held) -> bool:
    return held.tensor.numel() == held.store.elements


def _flattens(given: tuple[int, ...], size: tuple[int, ...], batch: int) -> bool:
    return len(given) > 2 and prod(given[2:]) > 1 and size == (given[0], prod(given[1:])) and given[0] == batch


def _cut(base: Tensor, part: Tensor) -> dict[str, int]:
    """Which channels a view takes, where it takes channels."""
    if base.stride() != part.stride() or base.shape[:1] != part.shape[:1] or base.shape[2:] != part.shape[2:]:
        return {}
    start = (part.storage_offset() - base.storage_offset()) // max(1, base.stride(1))
    return {"start": start, "stop": start + part.shape[1]}
