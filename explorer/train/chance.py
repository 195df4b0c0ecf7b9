"""Every source of chance that a training draws from: seeded together, kept together, put back together."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed_all(seed: int) -> None:
    """Seed torch's global generators (weights, dropout, random joins, mixup), numpy's and Python's."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def state_of_chance(device: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Where the global generators stand, as tensors and as JSON."""
    tensors = {"torch": torch.get_rng_state()}
    kind = torch.device(device).type
    if kind in ("cuda", "mps"):
        tensors[kind] = getattr(torch, kind).get_rng_state(*([device] if kind == "cuda" else []))
    name, keys, *rest = np.random.get_state(legacy=True)
    tensors["numpy"] = torch.from_numpy(np.asarray(keys).astype(np.int64))
    version, words, spare = random.getstate()
    return tensors, {"numpy": [name, *rest], "python": [version, list(words), spare]}


def set_chance(device: str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Put the global generators where `state_of_chance` found them; one of a device that was not used then stays."""
    torch.set_rng_state(tensors["torch"])
    kind = torch.device(device).type
    if kind in tensors:
        getattr(torch, kind).set_rng_state(tensors[kind], *([device] if kind == "cuda" else []))
    name, *rest = facts["numpy"]
    np.random.set_state((name, tensors["numpy"].numpy().astype(np.uint32), *rest))
    version, words, spare = facts["python"]
    random.setstate((version, tuple(words), spare))
