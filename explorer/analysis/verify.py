"""Our counts beside those of torchinfo, fvcore and torch, measured on the built module."""

import logging
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from explorer.analysis.cost import Cost
from explorer.analysis.ledger import Row
from explorer.errors import UserError
from explorer.nn.module import NetworkModule


class Comparison(NamedTuple):
    """One quantity of one image, ours and another counter's; `gap` is theirs minus ours."""

    quantity: str
    counter: str
    ours: int
    theirs: int | None
    gap: int | None
    reason: str
    explained: bool


def verify(cost: Cost) -> list[Comparison]:
    """Build the network and count it with three other counters, on one image."""
    try:
        return _verify(cost)
    except (RuntimeError, MemoryError, OverflowError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(f"{cost.canonical[:200]} cannot be built and counted at this size: {reason}") from None


def _verify(cost: Cost) -> list[Comparison]:
    macs = cost.macs // cost.batch
    with torch.device("meta"):
        meta = NetworkModule(cost.graph.main).eval()
        image = torch.empty(1, *cost.graph.input)
    rows = [
        _equal("params", "torch (numel)", cost.params, sum(p.numel() for p in meta.parameters())),
        _equal("params", "torchinfo", cost.params, _torchinfo(meta, image)[0]),
        _equal("MACs", "torch FlopCounterMode / 2", macs, _torch_flops(meta, image) // 2),
        _fvcore(cost, macs),
        _torchinfo_macs(cost, macs, _torchinfo(meta, image)[1]),
    ]
    return rows


def _equal(quantity: str, counter: str, ours: int, theirs: int) -> Comparison:
    equal = ours == theirs
    return Comparison(quantity, counter, ours, theirs, theirs - ours, "equal" if equal else "UNEXPLAINED", equal)


def _quietly(count: Callable[[], int]) -> int:
    """Other tools' warnings are about what they leave out; the table says it better."""
    previous = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return count()
    finally:
        logging.disable(previous)


def _torch_flops(module: NetworkModule, image: torch.Tensor) -> int:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        module(image)
    return int(counter.get_total_flops())


def _torchinfo(module: NetworkModule, image: torch.Tensor) -> tuple[int, int]:
    import torchinfo

    result = torchinfo.summary(module, input_data=image, device="meta", verbose=0)
    return int(result.total_params), int(result.total_mult_adds)


def _torchinfo_macs(cost: Cost, ours: int, theirs: int) -> Comparison:
    """torchinfo counts a bias like a weight, and each batch-norm parameter once."""
    ledger = cost.ledger
    biases = sum(ledger.get(kind, Row()).bias_adds for kind in ("conv", "linear"))
    norms = ledger.get("bn", Row()).norms
    parts = [f"{biases:,} bias additions"] * bool(biases) + [f"{norms:,} batch-norm parameters"] * bool(norms)
    explained = theirs - ours == biases + norms
    reason = f"it adds {' and '.join(parts)}" if parts else "equal"
    return Comparison("MACs", "torchinfo mult-adds", ours, theirs, theirs - ours,
                      reason if explained else "UNEXPLAINED", explained)  # fmt: skip


def _fvcore(cost: Cost, ours: int) -> Comparison:
    """fvcore traces real tensors; it cannot run on the meta device."""
    from fvcore.nn import FlopCountAnalysis

    def count() -> int:
        module = NetworkModule(cost.graph.main).eval()
        with torch.no_grad():
            found = FlopCountAnalysis(module, torch.zeros(1, *cost.graph.input))
            found.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            by_kind = found.by_operator()
        return int(sum(by_kind.get(kind, 0) for kind in ("conv", "linear", "addmm", "matmul")))

    return _equal("MACs", "fvcore conv + linear", ours, _quietly(count))
