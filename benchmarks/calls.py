"""Calls that a module makes while it runs, the same on any device."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Calls(TorchDispatchMode):
    """Operations that compute or copy, about one kernel each; views and empty tensors are none.

    Of maps of `numel` elements: how many of the calls read or make one (`of_maps`), and how many in all (`maps`).
    """

    def __init__(self, numel: int | None = None) -> None:
        super().__init__()
        self.numel = numel
        self.number = self.of_maps = self.maps = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        if not _is_view(function):
            tensors = [t for t in (*tree_leaves((args, kwargs)), *tree_leaves(made)) if isinstance(t, torch.Tensor)]
            maps = sum(t.numel() == self.numel and 0 not in t.stride() for t in tensors)  # none that is repeated
            self.number += 1
            self.of_maps += maps > 0
            self.maps += maps
        return made


NOTHING_DONE = {"aten::empty", "aten::empty_strided", "aten::empty_like", "aten::detach", "aten::_unsafe_view"}


def _is_view(function: Any) -> bool:
    returns = function._schema.returns
    view = bool(returns) and returns[0].alias_info is not None and not returns[0].alias_info.is_write
    return view or function._schema.name in NOTHING_DONE
