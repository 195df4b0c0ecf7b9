"""Quantities of a stored network that the store does not keep, computed again from its text for one image."""

from functools import lru_cache

from explorer.errors import UserError
from explorer.sweep.records import NetworkRecord

LABELS = {
    "flops": "FLOPs of one image (two for each multiply-add)",
    "launches": "launches in evaluation",
    "bytes_moved": "bytes moved in evaluation, one image",
    "bytes_copied": "bytes copied in evaluation, one image",
    "intensity": "FLOPs for each byte moved",
    "train_memory": "predicted peak of a training step on one image (bytes)",
    "infer_memory": "predicted peak of an inference of one image (bytes)",
}


@lru_cache(100_000)
def quantity(network: NetworkRecord, classes: int, name: str) -> float | None:
    """A quantity of LABELS; None where the network's text no longer gives the same network, or it is not known."""
    from explorer.analysis.limits import QUANTITIES
    from explorer.api import cost

    try:
        channels, height, width = network.input
        found = cost(network.canonical, input=(channels, height, width), classes=classes)
    except UserError:
        return None
    value = QUANTITIES[name](found) if found.graph.digest == network.digest else None
    return None if value is None else float(value)
