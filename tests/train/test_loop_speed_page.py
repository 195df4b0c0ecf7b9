"""docs/training.md shows how fast the loop is beside a plain one; UPDATE_DOCS=1 writes its numbers anew."""

import json
import runpy
from pathlib import Path
from statistics import median

import pytest
import torch
from pages import assert_up_to_date
from torch.utils.flop_counter import FlopCounterMode

import explorer

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "training.md"
BENCHMARK = runpy.run_path(str(ROOT / "benchmarks" / "loop_speed.py"))
SAVED = {
    device: json.loads(path.read_text())
    for device in ("cpu", "cuda")
    if (path := ROOT / "benchmarks" / "results" / f"loop_speed-{device}.json").is_file()
}
TARGETS = {"cpu": 1.2, "cuda": 2.0}
OUTSIDE = 0.05

SETTING = """{device_name}, torch {torch}, Python {python}. {unit}
{load}

{table}"""
UNITS = {
    "cpu": "Gains are of CPU time where a way runs in one thread of one process, else of wall time.",
    "cuda": "Gains are of wall time.",
}
BUSY = "The machine was shared with other jobs (load average {load:.0f}): images a second are fewer than it can do."
IDLE = "The machine did nothing else."
VERDICT = """* **{name}**: our loop trains {gain:.2f} times as fast as the plain one ({spread}; target
  {target}: {met}), {workers:.2f} times where its DataLoader has two workers. Outside of the network (data,
  augmentation, bookkeeping: all but forward, loss, backward and update) is {outside:.1%} of a step (target 5%:
  {small}); an epoch takes {epoch:.3f} times the bare steps."""
NEVER = "\nThis has not been run on a GPU, where the target is 2 times."


def yes(met):
    return "met" if met else "**missed**"


def gains(ways, way, other, device):
    return BENCHMARK["gains"](ways, way, other, device)


def row(way, found, device):
    ways, label = found["ways"], "**ours**" if way == "ours" else way
    wall, cpu = (median(ways[way][unit]) for unit in ("wall_ms", "cpu_ms"))
    against = gains(ways, way, "plain", device)
    speed = 1e3 * found["batch"] / wall
    cells = [label, f"{speed:,.0f}" if speed >= 100 else f"{speed:.1f}", f"{wall:,.1f}"]
    cells.append(f"{cpu:,.1f}" if BENCHMARK["alone"](way, device) else "-")
    ends = f"{against[0]:.2f}, {against[-1]:.2f}" if len(against) > 1 else "-"
    return [*cells, f"{median(against):.2f}", ends]


def table(device):
    head = ["", "images/s", "ms a step", "CPU ms", "gain", "lowest, highest"]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for name, found in SAVED[device]["networks"].items():
        times = len(found["ways"]["plain"]["wall_ms"])
        rounds = f"{times} round{'s' * (times > 1)}"
        lines.append(f"| `{name}`, batches of {found['batch']}, {rounds} |{' |' * (len(head) - 1)}")
        lines += [f"| {' | '.join(row(way, found, device))} |" for way in found["ways"]]
    return "\n".join(lines)


def verdict(name, device):
    ways = SAVED[device]["networks"][name]["ways"]
    against, bare = gains(ways, "ours", "plain", device), median(gains(ways, "bare", "ours", device))
    return VERDICT.format(
        name=name,
        gain=median(against),
        spread="one round" if len(against) == 1 else f"{against[0]:.2f} to {against[-1]:.2f}",
        target=TARGETS[device],
        met=yes(median(against) >= TARGETS[device]),
        workers=median(gains(ways, "ours", "plain, 2 workers", device)),
        outside=1 - 1 / bare,
        small=yes(1 - 1 / bare < OUTSIDE),
        epoch=bare,
    )


def loop_speed():
    parts = []
    for device, saved in SAVED.items():
        load = saved["load_average"][1]
        busy = BUSY.format(load=load) if load > 1.5 else IDLE
        parts.append(SETTING.format(**saved, unit=UNITS[device], load=busy, table=table(device)))
        parts.append("\n" + "\n".join(verdict(name, device) for name in saved["networks"]))
    return "\n".join(parts) + ("" if "cuda" in SAVED else "\n" + NEVER)


def test_the_page_shows_what_was_measured():
    assert_up_to_date(PAGE, loop_speed)


def test_all_ways_and_networks_were_measured_equally_often():
    for device, saved in SAVED.items():
        for found in saved["networks"].values():
            assert {"plain", "plain, 2 workers", "our batches", "ours", "bare"} <= set(found["ways"])
            assert len({len(times[unit]) for times in found["ways"].values() for unit in ("wall_ms", "cpu_ms")}) == 1
        assert saved["device"] == device


def test_the_network_that_is_written_out_is_the_catalogs():
    """Else the plain loop would train another one: as many weights of the same shapes, and as many multiply-adds."""
    written, ours = BENCHMARK["resnet20"](), explorer.build("resnet20")
    shapes = [sorted(tuple(weight.shape) for weight in net.parameters()) for net in (written, ours)]
    assert shapes[0] == shapes[1]
    flops = []
    for net in (written, ours):
        with FlopCounterMode(display=False) as counter:
            net(torch.zeros(1, 3, 32, 32))
        flops.append(counter.get_total_flops())
    assert flops[0] == flops[1] == 2 * explorer.cost("resnet20").macs


@pytest.mark.parametrize("way", ["our batches", "and channels_last", "ours", "bare"])
def test_each_way_is_timed_for_its_second_epoch(way):
    case, clock = BENCHMARK["Case"](4, 2), BENCHMARK["Stopwatch"]("cpu")
    chosen = BENCHMARK["WAYS"][way]
    BENCHMARK[chosen.loop]("resnet20", chosen, case, "cpu", clock)
    assert len(clock.times) == 2 and clock.milliseconds(case.steps)["wall_ms"] > 0
