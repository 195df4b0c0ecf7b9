"""Bytes of tensors that are alive, followed storage by storage while a module runs: the same on any device."""

import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SAVED, OTHER = "activations", "temporaries"


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Storages that operations inside made or touched and that are not freed yet: now, and at most.

    Each is of a kind; `at_peak` has the bytes of each when most was there. `block`: what a device's allocator rounds up
    to. One thing differs from a run that nobody looks at: under any dispatch mode torch does not add gradients in place
    where they meet.
    """

    def __init__(self, device: str | None = None, block: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device, self.block = device, block
        self.sizes: dict[int, int] = {}
        self.kinds: dict[int, str] = {}
        self.bytes: Counter[str] = Counter()
        self.at_peak: Counter[str] = Counter()
        self.now = self.peak = 0
        self.made = self.made_at_peak = 0  # storages so far
        self.number: dict[int, int] = {}  # of a storage

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self.add(tensor.untyped_storage())
        return made

    def hold(self, tensors: Iterable[Tensor], kind: str) -> None:
        """Tensors that are there already."""
        for tensor in tensors:
            self.add(tensor.untyped_storage(), kind)

    def add(self, storage: torch.UntypedStorage, kind: str = OTHER) -> None:
        """A storage, unless it is known, or on another device."""
        key = storage._cdata
        if key not in self.sizes and self.device in (None, storage.device.type):
            size = -(-storage.nbytes() // self.block) * self.block
            self.made += 1
            self.sizes[key], self.kinds[key], self.number[key] = size, kind, self.made
            self.bytes[kind] += size
            self.now += size
            self._look()
            weakref.finalize(storage, self._drop, key).atexit = False

    def turn(self, storage: torch.UntypedStorage, before: str, after: str, always: bool = False) -> bool:
        """Makes a storage one of another kind; False where it was not of the kind it should have been.

        `always`: it was of that kind ever since it was made.
        """
        key = storage._cdata
        if self.kinds.get(key) != before:
            return False
        self.kinds[key] = after
        for counted in [self.bytes, *([self.at_peak] if always and self.number[key] <= self.made_at_peak else [])]:
            counted[before] -= self.sizes[key]
            counted[after] += self.sizes[key]
        self._look()
        return True

    def _look(self) -> None:
        if self.now >= self.peak:
            self.peak, self.at_peak, self.made_at_peak = self.now, self.bytes.copy(), self.made

    def _drop(self, key: int) -> None:
        size = self.sizes.pop(key)
        self.now -= size
        del self.number[key]
        self.bytes[self.kinds.pop(key)] -= size


class _Packed:
    """What autograd keeps in place of a tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


@contextmanager
def watching_saved(live: LiveBytes) -> Iterator[None]:
    """Storages that calls inside save for the backward pass are of the kind SAVED for as long as they are saved."""
    holders: Counter[int] = Counter()

    def pack(tensor: Tensor) -> _Packed:
        packed = _Packed(tensor.detach())  # an output as it is would keep the call that saved it, and itself
        storage = packed.tensor.untyped_storage()
        live.add(storage)
        if holders[storage._cdata] or live.turn(storage, OTHER, SAVED):
            holders[storage._cdata] += 1
            weakref.finalize(packed, release, storage).atexit = False
        return packed

    def release(storage: torch.UntypedStorage) -> None:
        holders[storage._cdata] -= 1
        if not holders[storage._cdata]:
            live.turn(storage, SAVED, OTHER)

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda packed: packed.tensor):
        yield


@contextmanager
def watching_gradients(live: LiveBytes, parameters: Iterable[Tensor], kind: str) -> Iterator[None]:
    """Gradients of parameters are of a kind of their own."""

    def arrived(parameter: Tensor) -> None:
        assert parameter.grad is not None
        live.turn(parameter.grad.untyped_storage(), OTHER, kind, always=True)

    learned = [p for p in parameters if p.requires_grad]
    handles = [p.register_post_accumulate_grad_hook(arrived) for p in learned]  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
