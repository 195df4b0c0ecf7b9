"""Which value of the network each tensor of a traced run holds, through views and writes in place.

A value is a number: something the run computed. Constants hold none; a parameter holds none until an operation
that is no layer reads it. Every write gives the written memory a new value: whoever reads that memory afterwards
through an older tensor reads the new one.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

IMAGE, START = 0, 1  # the input; what reads no other value begins at START


class Store:
    """One piece of memory: its latest value and how often it was written to."""

    __slots__ = ("elements", "param", "value", "version")

    def __init__(self, elements: int, value: int | None, param: str | None) -> None:
        self.elements = elements
        self.value = value
        self.param = param  # the parameter that lies here
        self.version = 0


class Held:
    """A tensor, kept alive so that its identity stays its own, and what it held when it was made."""

    __slots__ = ("param", "store", "tensor", "value", "version")

    def __init__(self, tensor: Tensor, store: Store, value: int | None, param: str | None) -> None:
        self.tensor = tensor
        self.store = store
        self.value = value
        self.param = param  # the parameter that it is, or is a view of
        self.version = store.version

    @property
    def now(self) -> int | None:
        """The value that reading it gives; None for a constant or an untouched parameter."""
        return self.value if self.version == self.store.version else self.store.value


class Values:
    """All tensors of a run by identity, and all memory by address."""

    def __init__(self) -> None:
        self.held: dict[int, Held] = {}
        self.stores: dict[int, Store] = {}
        self.of_image = {IMAGE}  # values that depend on the image
        self.latest = START

    def new(self, reads: Iterable[int]) -> int:
        """A value computed from others."""
        self.latest += 1
        if not self.of_image.isdisjoint(reads):
            self.of_image.add(self.latest)
        return self.latest

    def hold(self, tensor: Tensor, value: int | None, param: str | None = None) -> None:
        """Note what a new tensor holds."""
        address = _address(tensor)
        store = self.stores.get(address)
        if store is None:
            elements = tensor.untyped_storage().nbytes() // max(1, tensor.element_size())
            store = self.stores[address] = Store(elements, value, param)
        self.held[id(tensor)] = Held(tensor, store, value, param)

    def find(self, tensor: Tensor) -> bool:
        """Whether a tensor is known, if only by its memory, as `x.data` is."""
        if id(tensor) not in self.held:
            store = self.stores.get(_address(tensor))
            if store is None:
                return False
            self.hold(tensor, store.value, None if store.value is not None else store.param)
        return True

    def write(self, tensor: Tensor, value: int | None) -> None:
        """Note that a tensor was changed in place."""
        held = self.held[id(tensor)]
        held.store.version += 1
        held.store.value = held.value = value
        held.version = held.store.version

    def same_memory(self, tensor: Tensor, others: Iterable[Tensor]) -> Held | None:
        """Of other tensors, the one that `tensor` is a view of."""
        address = _address(tensor)
        if address not in self.stores:
            return None
        return next((self.held[id(other)] for other in others if _address(other) == address), None)


def _address(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Tensors of nested lists, tuples and dicts, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))
    elif hasattr(value, "__dataclass_fields__"):
        yield from tensors_in(list(vars(value).values()))
