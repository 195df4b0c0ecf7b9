"""What data costs in a training step of a CIFAR network: our batches, made at once on the device, beside a DataLoader.

The DataLoader decodes nothing: it takes images from memory and does to each what torchvision's transforms do (pad and
crop, mirror, to a tensor, normalise; Pillow). Both give the same batches of shifted, mirrored, normalised images, the
network trains on neither while they are timed, and all three take turns in one process. Images are random: their
content costs nothing. On the CPU: one thread, CPU time (so the DataLoader has no workers); on a GPU: wall time.
"""

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import explorer
from explorer.train.data import Augmentation, Dataset, Part
from explorer.train.data.feeds import Feeds

IMAGES, CLASSES = 45_000, 10
STANDARD = Augmentation(pad=4, mirror=True)
WITH_HOLE = Augmentation(pad=4, mirror=True, cutout=16)
STEPS, LOADED = 3, 10  # network steps, and batches of the DataLoader, a round; ours: a whole epoch


class PerImage(torch.utils.data.Dataset):
    """What most training scripts do."""

    def __init__(self, data: Dataset) -> None:
        self.images, self.labels = np.ascontiguousarray(data.train.images.transpose(0, 2, 3, 1)), data.train.labels
        both = (data.statistics.mean, data.statistics.deviation)
        self.mean, self.deviation = (torch.tensor(values)[:, None, None] / 255 for values in both)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = ImageOps.expand(Image.fromarray(self.images[index]), border=4, fill=0)
        left, top = random.randint(0, 8), random.randint(0, 8)
        image = image.crop((left, top, left + 32, top + 32))
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().to(torch.float32).div(255)
        return tensor.sub_(self.mean).div_(self.deviation), int(self.labels[index])


def measure(network: str, batch: int, device: str, rounds: int, workers: int) -> dict[str, float]:
    """Milliseconds a step: medians over rounds in which all take turns."""
    data = _data()
    feeds = Feeds(data, device, 1)
    loader: Any = DataLoader(PerImage(data), batch, shuffle=True, num_workers=workers, pin_memory=device != "cpu")
    step = _step(network, batch, device)
    tasks = {
        "network": lambda _: sum(step() for _ in range(STEPS)),
        "ours": lambda number: sum(1 for _ in feeds.train.shuffled(batch, STANDARD, 0, number)),
        "ours, with cutout": lambda number: sum(1 for _ in feeds.train.shuffled(batch, WITH_HOLE, 0, number)),
        "DataLoader": lambda _: sum(1 for one in islice(loader, LOADED) if [part.to(device) for part in one]),
    }
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(rounds + 1):  # the first round warms up and is dropped
        for name, task in tasks.items():
            start = _now(device)
            steps = task(number)
            times[name].append((_now(device) - start) / steps)
    return {name: statistics.median(values[1:]) * 1e3 for name, values in times.items()}


def _data() -> Dataset:
    """Images as many and as large as CIFAR's."""
    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, (IMAGES, 32, 32, 3), np.uint8).transpose(0, 3, 1, 2)
    part = Part(images, chance.integers(0, CLASSES, IMAGES))
    return Dataset("random", part, part.first(1), part.first(1), CLASSES, (3, 32, 32), "", "")


def _step(network: str, batch: int, device: str) -> Callable[[], int]:
    """Forward, loss, backward and update on one batch that stays the same."""
    model = explorer.build(network).to(device=device, memory_format=torch.channels_last).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    images = torch.randn(batch, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (batch,), device=device)

    def step() -> int:
        optimiser.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimiser.step()
        return 1

    return step


def _now(device: str) -> float:
    """Seconds: of CPU time, or on a GPU of wall time when all is done."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="of the DataLoader; on the CPU their time is not seen")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        torch.set_num_threads(1)
    saved = []
    for batch in arguments.batch:
        found = measure(arguments.network, batch, arguments.device, arguments.rounds, arguments.workers)
        print(f"{arguments.network}, batch {batch}: {found['network']:.1f} ms a step")
        for name in list(found)[1:]:
            share, gain = found[name] / found["network"], found["DataLoader"] / found[name]
            print(f"  {name:20}{found[name]:8.2f} ms  {100 * share:6.2f}% of the step  {gain:6.1f} x the DataLoader")
        saved.append({"network": arguments.network, "batch": batch, "ms": found})
    if arguments.save:
        on = {"device": arguments.device, "processor": platform.machine(), "torch": torch.__version__}
        on |= {"threads": torch.get_num_threads(), "rounds": arguments.rounds, "workers": arguments.workers}
        arguments.save.write_text(json.dumps({"runs": saved, **on}, indent=2) + "\n")


if __name__ == "__main__":
    main()
