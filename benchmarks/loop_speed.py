"""explorer's training loop beside the usual one: plain PyTorch, a DataLoader, torchvision's transforms.

Both train the same network on the same number of random images of CIFAR's size, in float32, with the same optimiser and
batch, and on the CPU in one thread. `plain` is written as its users write it: pad and crop, mirror, to a tensor,
normalise, image by image; loss and hits are read after each step; ResNet-20 is written out below, GUNN-15 is
explorer's plain module. The ways between `plain` and `ours` change one thing after the other. `bare` is what no loop
can do without: forward, loss, backward and update, on one batch that stays the same.

Each way runs in a fresh process, for two epochs of which the second is timed; the ways take turns, round after round.
Prints a table for each network; --save writes JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

BATCHES_LOADED, BATCHES_OURS = "DataLoader", "ours"


class Case(NamedTuple):
    batch: int  # the recipe's
    steps: int  # of an epoch


class Way(NamedTuple):
    """How a network is trained; the defaults are the plain loop's."""

    loop: str = "plain"  # plain, ours, bare
    batches: str = BATCHES_LOADED
    workers: int = 0
    channels_last: bool = False
    kept: bool = False  # freed memory is kept by the process (glibc)
    layers: str = "reference"
    threads: int = 1  # on the CPU


CASES = {"resnet20": Case(128, 10), "gunn15": Case(64, 3)}
MANY = os.cpu_count() or 1
WAYS = {
    "plain": Way(),
    "plain, 2 workers": Way(workers=2),
    "plain, all threads": Way(threads=MANY),
    "our batches": Way(batches=BATCHES_OURS),
    "and channels_last": Way(batches=BATCHES_OURS, channels_last=True),
    "and freed memory kept": Way(batches=BATCHES_OURS, channels_last=True, kept=True),
    "ours": Way("ours", BATCHES_OURS, 0, True, True, "balanced"),
    "bare": Way("bare", BATCHES_OURS, 0, True, True, "balanced"),
}
ONLY_CPU = ("plain, all threads", "and freed memory kept")


# --- in a process of its own ---


class Stopwatch:
    """Wall and CPU time between two calls; on a GPU when all is done."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.times: list[tuple[float, float]] = []

    def __call__(self) -> None:
        import torch

        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        self.times.append((time.perf_counter(), time.process_time()))

    def milliseconds(self, steps: int) -> dict[str, float]:
        (wall, cpu), (wall_end, cpu_end) = self.times
        return {"wall_ms": 1e3 * (wall_end - wall) / steps, "cpu_ms": 1e3 * (cpu_end - cpu) / steps}


def run(name: str, way: Way, case: Case, device: str) -> dict[str, float]:
    """Milliseconds of a step."""
    if way.kept:
        from explorer.nn.fast.allocator import keep_freed_memory

        keep_freed_memory()
    import torch

    if device == "cpu":
        torch.set_num_threads(way.threads)
    else:
        torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    loops = {"plain": plain, "ours": ours, "bare": bare}
    clock = Stopwatch(device)
    loops[way.loop](name, way, case, device, clock)
    return clock.milliseconds(case.steps)


def plain(name: str, way: Way, case: Case, device: str, clock: Stopwatch) -> None:
    """The customary loop."""
    import torch

    model, optimiser = built(name, way, device)
    criterion = torch.nn.CrossEntropyLoss()
    epoch = batches(way, case, device)
    layout = torch.channels_last if way.channels_last else torch.contiguous_format
    for number in range(2):
        if number:
            clock()
        total = hits = 0.0
        for images, labels in epoch(number):
            images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            images = images.contiguous(memory_format=layout)  # our batches come in channels_last
            optimiser.zero_grad()
            scores = model(images)
            loss = criterion(scores, labels)
            loss.backward()
            optimiser.step()
            total += loss.item()
            hits += (scores.argmax(1) == labels).sum().item()
    clock()


def ours(name: str, way: Way, case: Case, device: str, clock: Stopwatch) -> None:
    """explorer.train.loop; its progress is told at the end of each epoch, when it has waited for the device."""
    from explorer.train.budget import Budget
    from explorer.train.execution import Execution
    from explorer.train.loop import Host, train
    from explorer.train.recipes import recipe_for

    class EnoughError(Exception):
        pass

    def watch(status: Any) -> None:
        if status.latest and status.latest.epoch > len(clock.times):
            clock()
        if len(clock.times) == 2:
            raise EnoughError  # before the final errors

    recipe = replace(recipe_for(name, "cifar"), batch=case.batch)
    try:
        train(
            name,
            random_images(case),
            Budget(2, "epochs"),
            recipe,
            0,
            Execution(way.layers),
            Host(device, progress=watch),
        )
    except EnoughError:
        return


def bare(name: str, way: Way, case: Case, device: str, clock: Stopwatch) -> None:
    """Nothing but forward, loss, backward and update."""
    import torch

    model, optimiser = built(name, way, device)
    images = torch.randn(case.batch, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (case.batch,), device=device)
    for number in range(2):
        if number:
            clock()
        for _ in range(case.steps):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimiser.step()
    clock()


def built(name: str, way: Way, device: str) -> tuple[Any, Any]:
    """The network and its recipe's optimiser."""
    import torch

    import explorer
    from explorer.train.recipes import recipe_for

    written = way.loop == "plain" and name == "resnet20"
    model = resnet20() if written else explorer.build(name, layers=way.layers)
    model.to(device=device, memory_format=torch.channels_last if way.channels_last else torch.contiguous_format)
    recipe = recipe_for(name, "cifar")
    optimiser = torch.optim.SGD(
        model.parameters(), recipe.lr, recipe.momentum, 0, recipe.weight_decay, nesterov=recipe.nesterov
    )
    return model.train(), optimiser


def batches(way: Way, case: Case, device: str) -> Callable[[int], Iterable[Any]]:
    """What gives an epoch's batches: a DataLoader, or explorer's feeds."""
    import torch

    data = random_images(case)
    if way.batches == BATCHES_OURS:
        from explorer.train.data.feeds import Feeds

        feeds = Feeds(data, device, 1)
        return lambda number: feeds.train.shuffled(case.batch, data.augmentation, 0, number)
    loader: Any = torch.utils.data.DataLoader(
        Transformed(data.train.images, data.train.labels),
        case.batch,
        shuffle=True,
        num_workers=way.workers,
        pin_memory=device != "cpu",
        persistent_workers=way.workers > 0,
    )
    return lambda number: loader


class Transformed:
    """Images [N, 3, 32, 32] as torchvision's CIFAR10 holds and gives them, with the customary transforms."""

    def __init__(self, images: Any, labels: Any) -> None:
        transforms = torchvision_transforms()
        self.images, self.labels = images.transpose(0, 2, 3, 1).copy(), labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def torchvision_transforms() -> Any:
    """torchvision's, even where it was built for CUDA and torch was not: its own operators are not needed."""
    try:
        import torchvision.transforms as found
    except RuntimeError:
        from explorer.nn.tracing.load import _declare_detection

        _declare_detection()
        import torchvision.transforms as found
    except ImportError:
        raise SystemExit("the plain loop needs torchvision: pip install -c constraints.txt torchvision") from None
    return found


def random_images(case: Case) -> Any:
    """Images of CIFAR's size and form for one epoch of both loops; one for validation and test each."""
    import numpy as np

    from explorer.train.data import Augmentation, Dataset, Part

    chance = np.random.default_rng(0)
    count = case.batch * case.steps
    part = Part(chance.integers(0, 256, (count, 3, 32, 32), np.uint8), chance.integers(0, 10, count))
    return Dataset(
        "random", part, part.first(1), part.first(1), 10, (3, 32, 32), "", "", augmentation=Augmentation(4, mirror=True)
    )


def resnet20() -> Any:
    """ResNet-20 as one writes it: 1x1 projections where the width changes, as in the catalog."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, inputs: int, width: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.shortcut = nn.Sequential()
            if stride != 1 or inputs != width:
                self.shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = torch.relu(self.bn1(self.conv1(x)))
            return torch.relu(self.bn2(self.conv2(out)) + self.shortcut(x))

    blocks, inputs = [], 16
    for width, stride in ((16, 1), (32, 2), (64, 2)):
        for number in range(3):
            blocks.append(Block(inputs, width, stride if number == 0 else 1))
            inputs = width
    first = (nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    return nn.Sequential(*first, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


# --- one process after the other ---


def measure(name: str, case: Case, device: str, rounds: int) -> dict[str, Any]:
    """Milliseconds of a step, each way, each round."""
    ways = [way for way in WAYS if device == "cpu" or way not in ONLY_CPU]
    found: dict[str, Any] = {way: {"wall_ms": [], "cpu_ms": []} for way in ways}
    for number in range(rounds):
        for way in ways[number % len(ways) :] + ways[: number % len(ways)]:  # none is always after the same other
            for unit, value in spawn(name, way, case, device).items():
                found[way][unit].append(value)
    return {"batch": case.batch, "steps": case.steps, "ways": found}


def spawn(name: str, way: str, case: Case, device: str) -> dict[str, float]:
    """One way's milliseconds, from a fresh process."""
    command = [sys.executable, __file__, "--worker", name, way, str(case.steps), "--device", device]
    environment = {**os.environ, "OMP_NUM_THREADS": str(WAYS[way].threads)} if device == "cpu" else None
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def alone(way: str, device: str) -> bool:
    """Whether it runs in one thread of one process, whose CPU time other jobs on the machine do not lengthen."""
    return device == "cpu" and WAYS[way].threads == 1 and not WAYS[way].workers


def gains(ways: dict[str, Any], way: str, other: str, device: str) -> list[float]:
    """How many times as fast a way is as another, in each round, in order: in CPU time where both run alone."""
    unit = "cpu_ms" if alone(way, device) and alone(other, device) else "wall_ms"
    return sorted(a / b for a, b in zip(ways[other][unit], ways[way][unit], strict=True))


def table(name: str, found: dict[str, Any], device: str) -> str:
    """One line for each way."""
    ways = found["ways"]
    lines = [
        f"\n{name}, batches of {found['batch']}",
        f"  {'':24}{'images/s':>10}{'wall ms':>10}{'CPU ms':>9}{'plain':>8}",
    ]
    for way, row in ways.items():
        wall, cpu, gain = median(row["wall_ms"]), median(row["cpu_ms"]), median(gains(ways, way, "plain", device))
        lines.append(f"  {way:24}{1e3 * found['batch'] / wall:10.1f}{wall:10.1f}{cpu:9.1f}{gain:7.2f}x")
    return "\n".join(lines)


def main() -> None:
    """Run the networks that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help=f"by default all: {', '.join(CASES)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--steps", type=int, help="of an epoch; by default 10 for ResNet-20, 3 for GUNN-15, on a GPU 20 times as many"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--save", type=Path, help="write JSON; networks that the file has and that are not run stay")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        name, way, steps = arguments.worker
        print(json.dumps(run(name, WAYS[way], CASES[name]._replace(steps=int(steps)), arguments.device)))
        return
    if unknown := [name for name in arguments.networks if name not in CASES]:
        parser.error(f"no network {', '.join(unknown)}; there are: {', '.join(CASES)}")
    times = 1 if arguments.device == "cpu" else 20
    networks: dict[str, Any] = {}
    if arguments.save and arguments.save.exists():
        networks = json.loads(arguments.save.read_text())["networks"]
    for name in arguments.networks or CASES:
        case = CASES[name]
        case = case._replace(steps=arguments.steps or case.steps * times)
        networks[name] = measure(name, case, arguments.device, arguments.rounds)
        print(table(name, networks[name], arguments.device), flush=True)
    if arguments.save:
        from explorer.measure.environment import environment

        facts = {**environment(arguments.device), "load_average": os.getloadavg()}
        arguments.save.write_text(json.dumps({**facts, "networks": networks}, indent=1) + "\n")


if __name__ == "__main__":
    main()
