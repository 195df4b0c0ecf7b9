"""A part whose images are decoded while training, some batches ahead, in processes of their own (see `decoder`)."""

import json
import os
import subprocess
import sys
from collections import deque
from contextlib import suppress

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.errors import UserError
from explorer.train.budget import steps_per_epoch
from explorer.train.data.augment import Preparation, draw
from explorer.train.data.decoder import HEADER
from explorer.train.data.feeds import Batches, generator
from explorer.train.data.parts import Augmentation, Files, Statistics

MOST_PROCESSES = 16  # for one device
PIPE_BYTES = 1 << 20


class Streamed:
    """Image files, one batch after the other."""

    def __init__(self, files: Files, size: int, statistics: Statistics | None, device: torch.device) -> None:
        self.files, self.size, self.device = files, size, device
        self.prepare = Preparation(statistics, device)

    def __len__(self) -> int:
        return len(self.files)

    def shuffled(self, batch: int, augmentation: Augmentation, seed: int, epoch: int, first: int = 0) -> Batches:
        """See `Feed`. The result does not depend on the number of processes."""
        random = generator(seed, epoch)
        order = torch.randperm(len(self), generator=random).numpy()
        draws = draw(len(self), augmentation, self.size, self.size, random)
        zoom = (seed, epoch) if augmentation.zoom else None
        start = first * batch
        for decoded, labels in self._decoded(order[start : steps_per_epoch(len(self), batch) * batch], batch, zoom):
            own = draws.part(start, start + len(labels)).to(self.device)
            everything = torch.arange(len(labels), device=self.device)
            yield self.prepare.augmented(decoded, everything, augmentation, own), labels
            start += len(labels)

    def in_order(self, batch: int) -> Batches:
        """See `Feed`."""
        for decoded, labels in self._decoded(np.arange(len(self)), batch, None):
            yield self.prepare.plain(decoded), labels

    def _decoded(self, order: NDArray[np.int64], batch: int, zoom: tuple[int, int] | None) -> Batches:
        """Pixels [N, H, W, 3] and labels of the batches, on the device; UserError for a file that is no image."""
        requests = [order[start : start + batch] for start in range(0, len(order), batch)]
        crew = [_Decoder(self.files, self.size, zoom) for _ in range(min(_processes(self.device), len(requests)))]
        busy: deque[_Decoder] = deque()
        try:
            for which in requests[: len(crew)]:
                busy.append(crew[len(busy)].ask(which))
            for which, following in zip(requests, [*requests[len(crew) :], *[None] * len(crew)], strict=True):
                decoder = busy.popleft()
                pixels = decoder.answer(pinned=self.device.type == "cuda")
                if following is not None:
                    busy.append(decoder.ask(following))
                labels = torch.from_numpy(self.files.labels[which])
                yield pixels.to(self.device, non_blocking=True), labels.to(self.device)
        finally:
            for decoder in crew:
                decoder.end()


class _Decoder:
    """One decoding process. It is asked only when it has answered, so that neither waits for the other to read."""

    def __init__(self, files: Files, size: int, zoom: tuple[int, int] | None) -> None:
        self.files, self.size, self.zoom = files, size, zoom
        self.asked = 0  # images of the last request
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", "explorer.train.data.decoder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            pipesize=PIPE_BYTES,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
            start_new_session=True,  # Ctrl-C is not for them
        )

    def ask(self, which: NDArray[np.int64]) -> "_Decoder":
        """Request a batch; itself."""
        files = [
            (str(self.files.file(self.files.paths[index])), self.zoom and (*self.zoom, int(index))) for index in which
        ]
        assert self.process.stdin
        left = memoryview(json.dumps({"size": self.size, "files": files}).encode() + b"\n")
        with suppress(BrokenPipeError):  # it has died: the answer will tell
            while left:
                left = left[self.process.stdin.write(left) :]
        self.asked = len(which)
        return self

    def answer(self, pinned: bool) -> Tensor:
        """The pixels [N, H, W, 3] of the batch that was asked for; UserError where a file is no image."""
        length = int.from_bytes(self._read(memoryview(bytearray(HEADER))), "little")
        if length:
            raise UserError(bytes(self._read(memoryview(bytearray(length)))).decode())
        pixels = torch.empty(self.asked, self.size, self.size, 3, dtype=torch.uint8, pin_memory=pinned)
        self._read(pixels.view(-1).numpy().data)
        return pixels

    def _read(self, into: memoryview) -> memoryview:
        """Fill the memory from the pipe; RuntimeError where the process has died."""
        assert self.process.stdout
        at = 0
        while at < len(into):
            got = self.process.stdout.readinto(into[at:])  # type: ignore[attr-defined]  # unbuffered, so it has one
            if not got:
                raise RuntimeError(f"a process that decodes images died (exit code {self.process.wait()})")
            at += got
        return into

    def end(self) -> None:
        """End the process now and close what belongs to it."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()


def _processes(device: torch.device) -> int:
    """How many decode for one device: one on the CPU, whose other cores have other trials, else one per core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if device.type == "cpu" else min(cores, MOST_PROCESSES)
