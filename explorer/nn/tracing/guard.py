"""Running a module without leaving a mark: everything it holds is put back afterwards, also when it fails."""

import random
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

CONTAINERS = (dict, OrderedDict, list, set)


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Attributes, parameters, buffers, hooks and mode of every sub-module are restored."""
    saved = [(m, type(m), dict(m.__dict__), _contents(m)) for m in module.modules()]
    generators = [g for m, *_ in saved for g in m.__dict__.values() if isinstance(g, torch.Generator)]
    states = [g.get_state() for g in generators]
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        for m, kind, attributes, contents in saved:
            m.__class__ = kind
            m.__dict__.clear()
            m.__dict__.update(attributes)
            for container, content in contents:
                container.clear()
                (container.extend if isinstance(container, list) else container.update)(content)


def _contents(module: nn.Module) -> list[tuple[Any, Any]]:
    return [(value, value.copy()) for value in module.__dict__.values() if type(value) in CONTAINERS]


@contextmanager
def same_randomness() -> Iterator[None]:
    """The states of torch's, Python's and numpy's generators are restored."""
    states: list[tuple[Callable[[Any], Any], Any]] = [(random.setstate, random.getstate())]
    if "numpy" in sys.modules:
        numpy: Any = sys.modules["numpy"]
        states.append((numpy.random.set_state, numpy.random.get_state()))
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for restore, state in states:
            restore(state)


@contextmanager
def decomposed() -> Iterator[None]:
    """Torch takes no fused short cuts: attention and recurrent layers reach the dispatcher as matrix products."""
    mha, mkldnn = torch.backends.mha, cast(Any, torch.backends.mkldnn)
    fast, enabled = mha.get_fastpath_enabled(), mkldnn.enabled
    mha.set_fastpath_enabled(False)
    mkldnn.enabled = False
    try:
        with torch.inference_mode(False), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        mha.set_fastpath_enabled(fast)
        mkldnn.enabled = enabled


def substitute(module: nn.Module, replace: Callable[[Tensor], Tensor]) -> None:
    """Every tensor that a module holds, alone or in a list or dict, replaced by another; inside `untouched`."""
    for m in module.modules():
        for attribute, value in list(m.__dict__.items()):
            if isinstance(value, Tensor):
                m.__dict__[attribute] = replace(value)
            elif type(value) in CONTAINERS and not isinstance(value, set):
                for key, item in value.items() if isinstance(value, dict) else enumerate(list(value)):
                    if isinstance(item, Tensor):
                        value[key] = replace(item)


def set_mode(module: nn.Module, train: bool) -> None:
    """The mode as a plain flag, since `train()` may be overridden, and no compiled calls; inside `untouched`."""
    for m in module.modules():
        m.training = train
        m._compiled_call_impl = None
