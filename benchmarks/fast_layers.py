"""Substituted layers beside the reference: time of a training step, memory, multiply-adds done again, calls.

Every group of networks runs in one fresh process, its networks taking turns, under equal allocator settings; ratios
are medians over rounds of what was measured side by side. Memory is the peak of live tensors in a step, parameters and
gradients included (on CUDA the allocator's peak stands beside it). Prints one table for each group; --save writes JSON.

CPU: one thread is measured in CPU time, more in wall time, which other jobs on the machine lengthen.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

GUNN_LAYER = (
    "network layer {{ input {0}x32x32\n update({1}) {{ add {{ part | bottleneck_update(2) }} }}\n gap, linear(10) }}"
)
SMALL, REDUCED = (3, 32, 32), (3, 128, 128)


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
    allocator: str = "kept"


def _each(text: str, *layers: str) -> dict[str, Net]:
    return {name: Net(text, name) for name in ("reference", *layers)}


GROUPS = {
    "gunn15": Group(
        "target: balanced at least 1.15 times as fast on CPU, 2 times on GPU; lean at most the memory of SUNN",
        SMALL,
        64,
        {
            **_each("gunn15", "balanced", "lean"),
            "sunn15 reference": Net("sunn15"),
            "sunn15 balanced": Net("sunn15", "balanced"),
        },
    ),
    "gunn15, allocator as it is": Group(
        "what the C library's allocator costs", SMALL, 32, _each("gunn15", "balanced"), allocator="default"
    ),
    "gunn15 blocks": Group(
        "parts made together (default floor(sqrt(P)) = 4, 5, 5)",
        SMALL,
        16,
        {"reference": Net("gunn15"), **{f"balanced, {b}": Net("gunn15", "balanced", b) for b in (1, 2, 5, 10, 30)}},
    ),
    "seqresnet-k8-r4-n1": Group(
        "target: balanced at least 1.5 times as fast on GPU",
        SMALL,
        64,
        _each("seqresnet-k8-r4-n1", "balanced", "lean"),
    ),
    "mssar": Group(
        "target on GPU: at most 10% over SE and 15% over the plain network; reduced image (its last map is 4x4)",
        REDUCED,
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
        SMALL,
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
        REDUCED,
        8,
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
            4,
            _each(GUNN_LAYER.format(240, parts), "balanced", "lean"),
        )
        for parts in (20, 60, 120, 240)
    },
    **{
        f"{name}, inference": Group(
            "evaluation; folded: batch norms folded into convolutions",
            SMALL,
            64,
            {
                **_each(name, "balanced"),
                "reference, folded": Net(name),
                "balanced, folded": Net(name, "balanced"),
            },
            training=False,
        )
        for name in ("gunn15", "seqresnet-k8-r4-n1")
    },
    **{
        f"default {name}": Group("balanced, the default, beside the reference", size, batch, _each(name, "balanced"))
        for name, size, batch in (
            ("gunn24", SMALL, 4),
            ("wide-gunn18", REDUCED, 2),
            ("seqresnet-k16-r10-n1", SMALL, 8),
            ("seqresnet-b-k16-r7-n1", SMALL, 32),
            ("seqresnext24", REDUCED, 8),
            ("resnet20 + mssar(1,2,4)", SMALL, 32),
        )
    },
}


# --- in a process of its own ---


def run_group(group: Group, threads: int, rounds: int, device: str) -> dict[str, Any]:
    """Measurements of each network of a group, and ratios to the first."""
    from explorer.nn.fast.allocator import keep_freed_memory

    kept = group.allocator == "kept" and keep_freed_memory()

    import torch

    torch.set_num_threads(threads)
    nets = {name: made(net, name, group, device) for name, net in group.nets.items()}
    x = torch.randn(group.batch, *group.size, device=device)
    x.requires_grad_(group.size[0] > 3)  # a layer alone, not a network that reads images
    labels = torch.arange(group.batch, device=device) % 10
    actions = {name: action(net, x, labels, group.training) for name, net in nets.items()}
    found = {name: statics(actions[name], nets[name], device) for name in nets}
    times = timed(actions, rounds, device)
    first = next(iter(nets))
    which = 1 if device == "cpu" and threads == 1 else 0
    for name, (wall, cpu) in times.items():
        row = found[name]
        row["wall_ms"], row["cpu_ms"] = statistics.median(wall), statistics.median(cpu)
        row["images_per_s"] = 1e3 * group.batch / row[("wall_ms", "cpu_ms")[which]]
        ratios = sorted(a / b for a, b in zip(times[first][which], times[name][which], strict=True))
        row["speed_ratio"], row["speed_ratios"] = statistics.median(ratios), [ratios[0], ratios[-1]]
        row["memory_ratio"] = row["peak_bytes"] / found[first]["peak_bytes"]
        row["macs_ratio"] = row["macs"] / found[first]["macs"]
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
    """What does not depend on the clock, from a second run: multiply-adds, calls, the peak of live tensors."""
    import torch
    from calls import Calls
    from torch.utils.flop_counter import FlopCounterMode

    from explorer.measure.live import LiveBytes

    run()
    right = {torch.ops.aten.convolution_backward: convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=right) as counter, Calls() as calls, LiveBytes() as live:
        for p in net.parameters():
            live.add(p.untyped_storage())
            if p.grad is not None:
                live.add(p.grad.untyped_storage())
        run()
    found = {"macs": counter.get_total_flops() // 2, "calls": calls.number, "peak_bytes": live.peak}
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        run()
        found["allocator_peak_bytes"] = torch.cuda.max_memory_allocated()
    return found


def convolution_backward(gradient: Any, x: Any, weight: Any, *rest: Any, out_shape: Any = None, **more: Any) -> int:
    """FLOPs, from shapes; torch's own formula does not know groups."""
    *_, wanted = rest
    return 2 * math.prod(gradient) * math.prod(weight[1:]) * sum(wanted[:2])


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


# --- one recalibration ---

MAP = (64, 32, 32)
RECALIBRATIONS = {
    "se": Net("se"),
    "mssar(1,2,4) reference": Net("mssar(1,2,4)"),
    "mssar(1,2,4)": Net("mssar(1,2,4)", "balanced"),
    "mssar(1,2,4), sliding, reference": Net("mssar(1,2,4, pool = sliding)"),
    "mssar(1,2,4), sliding": Net("mssar(1,2,4, pool = sliding)", "balanced"),
}


def recalibrations() -> dict[str, Any]:
    """Of one recalibration: calls that read or make a whole map, and how many maps they move, forward and back."""
    import torch
    from calls import Calls

    import explorer

    found: dict[str, Any] = {}
    for name, net in RECALIBRATIONS.items():
        text = f"network n {{\n input {'x'.join(map(str, MAP))}\n a: {net.text}\n}}"
        module = explorer.build(text, layers=net.layers)
        x = torch.randn(2, *MAP, requires_grad=True)
        with Calls(x.numel()) as forward:
            y = module(x)
        given = torch.randn_like(y)
        with Calls(x.numel()) as back:
            y.backward(given)
        found[name] = {
            "forward": {"calls": forward.number, "of_maps": forward.of_maps, "maps_moved": forward.maps},
            "backward": {"calls": back.number, "of_maps": back.of_maps, "maps_moved": back.maps},
        }
    return found


# --- one process after the other ---


def spawn(name: str, threads: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """A group's results, from a fresh process."""
    command = [sys.executable, __file__, "--worker", name, "--threads", str(threads)]
    command += ["--rounds", str(arguments.rounds), "--device", arguments.device]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def table(name: str, result: dict[str, Any]) -> str:
    """One line for each network of a group."""
    size = "x".join(map(str, result["input"]))
    kept = "kept" if result["freed_memory_kept"] else "as it is"
    lines = [
        f"\n{name}: {result['why']}",
        f"  batch {result['batch']} of {size}, {result['threads']} threads, freed memory {kept}; {result['ratios_of']}",
        f"  {'':26}{'wall ms':>10}{'CPU ms':>10}{'images/s':>10}{'speed':>8}{'MiB':>10}{'memory':>8}{'MACs':>8}"
        f"{'calls':>8}",
    ]
    lines += [
        f"  {label:26}{found['wall_ms']:10.1f}{found['cpu_ms']:10.1f}{found['images_per_s']:10.1f}"
        f"{found['speed_ratio']:8.2f}{found['peak_bytes'] / 2**20:10.1f}{found['memory_ratio']:8.3f}"
        f"{found['macs_ratio']:8.2f}{found['calls']:8}"
        for label, found in result["networks"].items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Run the groups that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", help=f"by default all: {'; '.join(GROUPS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], help="by default cuda where there is one")
    parser.add_argument("--save", type=Path, help="write JSON; groups that the file has and that are not run stay")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        group = GROUPS[arguments.worker]
        print(json.dumps(run_group(group, arguments.threads, arguments.rounds, arguments.device)))
        return
    if arguments.device is None:
        import torch

        arguments.device = "cuda" if torch.cuda.is_available() else "cpu"
    unknown = [name for name in arguments.groups if name not in GROUPS]
    if unknown:
        parser.error(f"no group {', '.join(unknown)}; there are: {'; '.join(GROUPS)}")
    groups: dict[str, Any] = {}
    if arguments.save and arguments.save.exists():
        groups = json.loads(arguments.save.read_text())["groups"]
    for name in arguments.groups or GROUPS:
        groups[name] = spawn(name, arguments.threads, arguments)
        print(table(name, groups[name]), flush=True)
        if arguments.save:
            saved = {**machine(arguments), "recalibrations": recalibrations(), "groups": groups}
            arguments.save.write_text(json.dumps(saved, indent=1) + "\n")


def machine(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the numbers were measured with."""
    from explorer.measure.environment import environment

    return {**environment(arguments.device), "load_average": os.getloadavg(), "rounds": arguments.rounds}


if __name__ == "__main__":
    main()
