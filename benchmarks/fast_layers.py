"""Substituted layers beside the reference: time of a training step, memory, multiply-adds done again.

Every group of networks runs in one fresh process, its networks taking turns, under equal allocator settings; ratios
are medians over rounds of what was measured side by side. Memory is the peak of live tensors in a step, parameters and
gradients included (on CUDA the allocator's peak stands beside it). Prints one table for each group; --save writes JSON.

CPU: one thread is measured in CPU time, more in wall time, which other jobs on the machine lengthen.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

GUNN_LAYER = (
    "network layer {{ input {0}x32x32\n update({1}) {{ add {{ part | bottleneck_update(2) }} }}\n gap, linear(10) }}"
)


class Net(NamedTuple):
    text: str
    layers: str = "reference"
    block: int | None = None


class Group(NamedTuple):
    """Networks compared with the first of them."""

    why: str
    size: tuple[int, int, int]
    batch: int
    nets: dict[str, Net]
    training: bool = True


def _each(text: str, *layers: str) -> dict[str, Net]:
    return {name: Net(text, name) for name in ("reference", *layers)}


GROUPS = {
    "gunn15": Group(
        "target: balanced at least 1.15 times as fast on CPU, 2 times on GPU",
        (3, 32, 32),
        64,
        {
            **_each("gunn15", "balanced", "lean"),
            "sunn15 reference": Net("sunn15"),
            "sunn15 lean": Net("sunn15", "lean"),
        },
    ),
    "gunn15 blocks": Group(
        "parts made together (default floor(sqrt(P)) = 4, 5, 5)",
        (3, 32, 32),
        16,
        {"reference": Net("gunn15"), **{f"balanced, {b}": Net("gunn15", "balanced", b) for b in (1, 2, 5, 10, 30)}},
    ),
    "seqresnet-k8-r4-n1": Group(
        "target: balanced at least 1.5 times as fast on GPU",
        (3, 32, 32),
        64,
        _each("seqresnet-k8-r4-n1", "balanced", "lean"),
    ),
    "mssar": Group(
        "target on GPU: at most 10% over SE and 15% over the plain network; reduced image (its last map is 4x4)",
        (3, 128, 128),
        8,
        {
            "resnet18": Net("resnet18"),
            "se": Net("resnet18 + se"),
            "mssar reference": Net("resnet18 + mssar(1,2,4)"),
            "mssar": Net("resnet18 + mssar(1,2,4)", "balanced"),
        },
    ),
    "sliding": Group(
        "sliding means by partial sums",
        (3, 32, 32),
        32,
        {
            "resnet20": Net("resnet20"),
            "square reference": Net("resnet20 + mssar(1,2,4, pool = sliding)"),
            "square": Net("resnet20 + mssar(1,2,4, pool = sliding)", "balanced"),
            "diamond reference": Net("resnet20 + mssar(1,2,4, pool = sliding, shape = diamond)"),
            "diamond": Net("resnet20 + mssar(1,2,4, pool = sliding, shape = diamond)", "balanced"),
        },
    ),
    "claim": Group(
        "GUNN section 4.3: 'between ResNeXt and DenseNet'; reduced image and batch",
        (3, 128, 128),
        4,
        {
            "resnet50": Net("resnet50"),
            "resnext50-32x4d": Net("resnext50-32x4d"),
            "densenet264": Net("densenet264"),
            "gunn18 reference": Net("gunn18"),
            "gunn18": Net("gunn18", "balanced"),
            "seqresnet-b22 reference": Net("seqresnet-b22"),
            "seqresnet-b22": Net("seqresnet-b22", "balanced"),
        },
    ),
    **{
        f"fine {240 // parts}": Group(
            f"one GUNN layer of 240 channels, {240 // parts} per segment",
            (240, 32, 32),
            8,
            _each(GUNN_LAYER.format(240, parts), "balanced", "lean"),
        )
        for parts in (20, 60, 120, 240)
    },
    **{
        f"{name}, inference": Group(
            "evaluation; folded: batch norms folded into convolutions",
            (3, 32, 32),
            64,
            {"reference": Net(name), "balanced": Net(name, "balanced"), "balanced, folded": Net(name, "balanced")},
            training=False,
        )
        for name in ("gunn15", "seqresnet-k8-r4-n1")
    },
}


# --- in a process of its own ---


def run_group(group: Group, threads: int, rounds: int, allocator: str, device: str) -> dict[str, Any]:
    """Measurements of each network of a group, and ratios to the first."""
    from explorer.nn.fast.allocator import keep_freed_memory

    kept = allocator == "kept" and keep_freed_memory()

    import torch

    torch.set_num_threads(threads)
    nets = {name: made(net, name, group, device) for name, net in group.nets.items()}
    x = torch.randn(group.batch, *group.size, device=device)
    x.requires_grad_(group.size[0] > 3)  # a layer alone, not a network that reads images
    labels = torch.arange(group.batch, device=device) % 10
    actions = {name: action(net, x, labels, group.training) for name, net in nets.items()}
    found = {name: statics(actions[name], nets[name], device) for name in nets}
    times = timed(actions, rounds, device)
    for name, (wall, cpu) in times.items():
        found[name]["wall_ms"], found[name]["cpu_ms"] = statistics.median(wall), statistics.median(cpu)
        found[name]["images_per_s"] = 1e3 * group.batch / found[name]["wall_ms"]
    first = next(iter(nets))
    which = 1 if device == "cpu" and threads == 1 else 0
    for name in nets:
        pairs = zip(times[first][which], times[name][which], strict=True)
        found[name]["speed_ratio"] = statistics.median(a / b for a, b in pairs)
        found[name]["memory_ratio"] = found[name]["peak_bytes"] / found[first]["peak_bytes"]
    return {
        "why": group.why, "threads": threads, "batch": group.batch, "input": group.size, "training": group.training,
        "ratios_of": "CPU time" if which else "wall time", "freed_memory_kept": kept, "networks": found,
    }  # fmt: skip


def made(net: Net, name: str, group: Group, device: str) -> Any:
    """A network as a module, in the mode of its group."""
    import torch

    import explorer
    from explorer.nn.fast.choose import substitute
    from explorer.nn.fast.folding import folded
    from explorer.nn.module import NetworkModule

    torch.manual_seed(0)
    module = NetworkModule(explorer.expand(net.text, input=group.size), substitute(net.layers, net.block))
    module = folded(module) if "folded" in name else module.train(group.training)
    return module.to(device)


def action(net: Any, x: Any, labels: Any, training: bool) -> Any:
    """What is measured: a step forward and back, or a prediction."""
    import torch

    def step() -> None:
        net.zero_grad(set_to_none=False)
        torch.nn.functional.cross_entropy(net(x), labels).backward()

    def predict() -> None:
        with torch.no_grad():
            net(x)

    return step if training else predict


def statics(run: Any, net: Any, device: str) -> dict[str, Any]:
    """Multiply-adds and the peak of live tensors, after a first run."""
    import torch
    from live_memory import LiveBytes
    from torch.utils.flop_counter import FlopCounterMode

    run()
    with FlopCounterMode(display=False) as counter:
        run()
    with LiveBytes() as live:
        for p in net.parameters():
            live.add(p.untyped_storage())
            if p.grad is not None:
                live.add(p.grad.untyped_storage())
        run()
    found = {"macs": counter.get_total_flops() // 2, "peak_bytes": live.peak}
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        run()
        found["allocator_peak_bytes"] = torch.cuda.max_memory_allocated()
    return found


def timed(actions: dict[str, Any], rounds: int, device: str) -> dict[str, tuple[list[float], list[float]]]:
    """Wall and CPU milliseconds of each action in each round; they take turns."""
    import torch

    def finish() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in actions}
    for _ in range(rounds):
        for name, run in actions.items():
            finish()
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            finish()
            times[name][0].append(1e3 * (time.perf_counter() - wall))
            times[name][1].append(1e3 * (time.process_time() - cpu))
    return times


# --- one process after the other ---


def spawn(name: str, threads: int, allocator: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """A group's results, from a fresh process."""
    command = [sys.executable, __file__, "--worker", name, "--threads", str(threads), "--allocator", allocator]
    command += ["--rounds", str(arguments.rounds), "--device", arguments.device]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def table(name: str, result: dict[str, Any]) -> str:
    """One line for each network of a group."""
    networks = result["networks"]
    first = next(iter(networks.values()))
    size = "x".join(map(str, result["input"]))
    kept = "kept" if result["freed_memory_kept"] else "as it is"
    lines = [
        f"\n{name}: {result['why']}",
        f"  batch {result['batch']} of {size}, {result['threads']} threads, freed memory {kept}; {result['ratios_of']}",
        f"  {'':26}{'wall ms':>10}{'CPU ms':>10}{'images/s':>10}{'speed':>8}{'MiB':>10}{'memory':>8}{'MACs':>8}",
    ]
    for label, found in networks.items():
        lines.append(
            f"  {label:26}{found['wall_ms']:10.1f}{found['cpu_ms']:10.1f}{found['images_per_s']:10.1f}"
            f"{found['speed_ratio']:8.2f}{found['peak_bytes'] / 2**20:10.1f}{found['memory_ratio']:8.3f}"
            f"{found['macs'] / first['macs']:8.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", help=f"by default all: {', '.join(GROUPS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--device", default=None, help="cpu or cuda; by default cuda where there is one")
    parser.add_argument("--allocator", choices=["kept", "default"], default="kept")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.device is None:
        import torch

        arguments.device = "cuda" if torch.cuda.is_available() else "cpu"
    if arguments.worker:
        threads = arguments.threads[0]
        group = GROUPS[arguments.worker]
        print(json.dumps(run_group(group, threads, arguments.rounds, arguments.allocator, arguments.device)))
        return
    results: dict[str, Any] = {}
    for name in arguments.groups or GROUPS:
        for threads in arguments.threads if arguments.device == "cpu" else [1]:
            allocators = (
                ["kept", "default"] if name == "gunn15" and arguments.device == "cpu" else [arguments.allocator]
            )
            for allocator in allocators:
                found = spawn(name, threads, allocator, arguments)
                results[f"{name}, {threads} threads, {allocator}"] = found
                print(table(name, found), flush=True)
    if arguments.save:
        arguments.save.write_text(json.dumps({**machine(arguments), "results": results}, indent=1) + "\n")


def machine(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the numbers were measured with."""
    import torch

    cuda = arguments.device == "cuda"
    return {
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "rounds": arguments.rounds,
    }


if __name__ == "__main__":
    main()
