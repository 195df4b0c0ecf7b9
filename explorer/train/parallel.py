"""One network trained by several processes, each on its share of every batch; their gradients are averaged.

torch's launcher starts them: `torchrun --nproc-per-node 4 -m explorer train NET --device cuda`. The result is that of
one process with the same batches, up to rounding, save for what sees one share only: batch norms (their running
statistics are the first process's), as when the papers trained on 4 and 8 GPUs, and random layers, which draw in each
process.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from explorer.errors import UserError
from explorer.train.chance import seed_all
from explorer.train.launcher import rank, size

LEAST = 2  # images of a share: batch norm on a map of 1x1 cannot take fewer


@dataclass(frozen=True)
class Crew:
    """The processes of one training; `rank` is this one's number."""

    rank: int = 0
    size: int = 1

    def check(self, processes: int, batch: int, unit: str) -> None:
        """UserError unless it has so many processes, a batch can be shared, and a budget is not each process's own."""
        if self.size != processes:
            raise UserError(f"{self.size} processes train together, and the trial is one of {processes}")
        if self.size > 1 and unit == "s":
            raise UserError("--budget: processes that train together have no common clock; give epochs or flops")
        if batch < LEAST * self.size:
            raise UserError(f"{self.size} processes cannot share a batch of {batch}: each needs {LEAST} images")

    def usable(self, images: int, batch: int) -> int:
        """The images of an epoch, without a last batch that is too small to be shared."""
        rest = images % batch
        return images - rest if self.size > 1 and 0 < rest < LEAST * self.size < images else images

    def share(self, batch: Tensor) -> Tensor:
        """This process's part of a batch [N, ...]."""
        return batch[self.rank :: self.size]

    def weight(self, own: int, whole: int) -> float:
        """What the mean loss of `own` images counts, so that the average over processes is the mean of `whole`."""
        return own * self.size / whole

    def wrapped(self, module: nn.Module) -> nn.Module:
        """The module; with others, one that averages gradients as they come."""
        return module if self.size == 1 else nn.parallel.DistributedDataParallel(module)

    def added(self, sums: Tensor) -> Tensor:
        """The sum of all processes' tensors."""
        if self.size == 1:
            return sums
        total = sums.clone()
        torch.distributed.all_reduce(total)
        return total

    def reseed(self, seed: int, steps: int) -> None:
        """Let processes but the first draw numbers of their own from here on."""
        if self.rank:
            seed_all((seed + 7919 * self.rank + 104_729 * steps) % 2**32)


class WithAuxiliaries(nn.Module):
    """A network whose forward pass gives its auxiliary heads too."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Any:
        """[N, C, H, W] -> [N, classes], and of each head the weight of its loss and its [N, classes]."""
        return self.network.with_auxiliaries(images)


@contextmanager
def joined(device: str) -> Iterator[tuple[Crew, str]]:
    """The crew that this process belongs to, and its device: with --device cuda a GPU of its own."""
    if size() == 1:
        yield Crew(), device
        return
    local = os.environ.get("LOCAL_RANK", "0")
    own = f"cuda:{local}" if device == "cuda" else device
    if own.startswith("cuda"):
        torch.cuda.set_device(own)
    torch.distributed.init_process_group("nccl" if own.startswith("cuda") else "gloo")
    try:
        yield Crew(rank(), size()), own
    finally:
        torch.distributed.destroy_process_group()
