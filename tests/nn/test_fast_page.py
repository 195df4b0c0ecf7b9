"""docs/fast-layers.md shows what was measured; UPDATE_DOCS=1 writes its tables anew."""

import json
import re
import runpy
from itertools import chain
from pathlib import Path

import pytest
from pages import assert_up_to_date

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "fast-layers.md"
SAVED = json.loads((ROOT / "benchmarks" / "results" / "fast_layers-cpu.json").read_text())
GROUPS = SAVED["groups"]
SEQRESNET = "seqresnet-k8-r4-n1"
BENCHMARK = runpy.run_path(str(ROOT / "benchmarks" / "fast_layers.py"))

SETTING = """{device_name}, {threads} thread, CPU time, torch {torch}, Python {python}; {rounds} rounds after two runs
to warm up. {load}"""
BUSY = """The machine was shared with other jobs (load average {load}), which also disturb CPU time: ratios are of
networks that took turns, and the table has the lowest and the highest of them."""
IDLE = "The machine did nothing else."
FOLDS = """{table}

gunn15 trains {gunn:.2f} times as fast as the plain module at {gunn_memory:.2f} of its memory (`balanced`; the targets
were 1.15 times, and about a quarter), and at {lean_memory:.2f} with {lean_macs:.2f} times the multiply-adds (`lean`).
The latter is {sunn:.2f} of what its SUNN twin takes, run plainly; the target was 1 at most. Where the C library's
allocator is left as it is, which hands each large tensor back to the system and has its pages cleared anew, the gain is
{allocator:.2f} times: the rest of that is the allocator's doing. explorer has its own processes keep freed memory
(`explorer/nn/fast/allocator.py`)."""
FINE = """{table}

From 12 channels per segment to 1 the plain module's step takes {plain:.1f} times as long, that of `balanced` {ours:.1f}
times; at 1 channel `balanced` is {speed:.2f} times as fast as the plain module at {memory:.3f} of its memory."""
MSSAR = """{table}

Over SE, MS-SAR adds {over_se:.0%} of time (plain module: {plain_over_se:.0%}), over the plain network {over:.0%}
(plain module: {plain_over:.0%}). The targets of 10% and 15% are for a GPU."""
DEFAULT = """{table}

Of these, gunn15, seqresnet-k8-r4-n1 and the networks of the next table, `{net}` does worst beside its plain module:
{speed:.2f} times as fast, at {memory:.2f} of its memory."""
CLAIM = """{table}

ResNeXt-50 does {resnext:.1f} images a second, DenseNet-264 {densenet:.1f}, GUNN-18 {gunn:.1f} (plain module:
{plain:.1f}): {verdict}."""


def table(head, rows):
    line = "|".join(["---", *["---:"] * (len(head) - 1)])
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, *rows]).replace("|\n", f"|\n|{line}|\n", 1)


HEAD = ["", "batch", "ms", "images/s", "speed", "lowest, highest", "memory, MB", "memory", "MACs", "calls"]


def rows_of(*names, label=False):
    return list(chain.from_iterable(_rows(name, GROUPS[name], label) for name in names))


def _rows(name, group, label):
    for net, row in group["networks"].items():
        low, high = row["speed_ratios"]
        yield [
            f"{name}: {net}" if label else net, str(group["batch"]), f"{row['cpu_ms']:,.0f}",
            f"{row['images_per_s']:.1f}", f"{row['speed_ratio']:.2f}", f"{low:.2f}, {high:.2f}",
            f"{row['peak_bytes'] / 1e6:,.0f}", f"{row['memory_ratio']:.3f}", f"{row['macs_ratio']:.2f}",
            f"{row['calls']:,}",
        ]  # fmt: skip


def tabled(*names, label=True):
    return table(HEAD, rows_of(*names, label=label))


def recalibrations():
    found = [
        [name, *(str(row[way][what]) for what in ("calls", "of_maps", "maps_moved") for way in ("forward", "backward"))]
        for name, row in SAVED["recalibrations"].items()
    ]
    return table(["", "calls", "back", "of whole maps", "back", "maps moved", "back"], found)


def inference():
    return tabled("gunn15, inference", "seqresnet-k8-r4-n1, inference")


def setting():
    load = SAVED["load_average"][0]  # of the last minute; our own thread is 1
    told = BUSY.format(load=f"{load:.1f}") if load > 1.3 else IDLE
    return SETTING.format(load=told, **{k: SAVED[k] for k in ("device_name", "threads", "torch", "python", "rounds")})


def folds():
    nets = GROUPS["gunn15"]["networks"]
    return FOLDS.format(
        table=tabled("gunn15", "gunn15, allocator as it is", SEQRESNET),
        gunn=nets["balanced"]["speed_ratio"],
        gunn_memory=nets["balanced"]["memory_ratio"],
        lean_memory=nets["lean"]["memory_ratio"],
        lean_macs=nets["lean"]["macs_ratio"],
        sunn=nets["lean"]["peak_bytes"] / nets["sunn15 reference"]["peak_bytes"],
        allocator=GROUPS["gunn15, allocator as it is"]["networks"]["balanced"]["speed_ratio"],
    )


def blocks():
    return tabled("gunn15 blocks")


def fine():
    times = {name: GROUPS[name]["networks"] for name in GROUPS if name.startswith("fine ")}
    plain, ours = (
        times["fine 1"][which]["cpu_ms"] / times["fine 12"][which]["cpu_ms"] for which in ("reference", "balanced")
    )
    finest = times["fine 1"]["balanced"]
    return FINE.format(
        table=tabled(*times), plain=plain, ours=ours, speed=finest["speed_ratio"], memory=finest["memory_ratio"]
    )


def mssar():
    speed = {name: row["speed_ratio"] for name, row in GROUPS["mssar"]["networks"].items()}
    return MSSAR.format(
        table=tabled("mssar", "sliding"),
        over_se=speed["se"] / speed["mssar"] - 1,
        plain_over_se=speed["se"] / speed["mssar reference"] - 1,
        over=1 / speed["mssar"] - 1,
        plain_over=1 / speed["mssar reference"] - 1,
    )


def default():
    names = [name for name in GROUPS if name.startswith("default ")]
    pairs = {name.removeprefix("default "): GROUPS[name]["networks"] for name in [*names, "gunn15", SEQRESNET]}
    worst = {name: (nets["balanced"]["speed_ratio"], nets["balanced"]["memory_ratio"]) for name, nets in pairs.items()}
    nets = GROUPS["claim"]["networks"]
    for name in ("gunn18", "seqresnet-b22"):
        ours, plain = nets[name], nets[f"{name} reference"]
        worst[name] = plain["cpu_ms"] / ours["cpu_ms"], ours["peak_bytes"] / plain["peak_bytes"]
    net = min(worst, key=worst.__getitem__)
    return DEFAULT.format(table=tabled(*names), net=net, speed=worst[net][0], memory=worst[net][1])


def claim():
    speed = {name: row["images_per_s"] for name, row in GROUPS["claim"]["networks"].items()}
    between = sorted((speed["resnext50-32x4d"], speed["densenet264"]))
    inside = between[0] <= speed["gunn18"] <= between[1]
    return CLAIM.format(
        table=tabled("claim", label=False),
        resnext=speed["resnext50-32x4d"],
        densenet=speed["densenet264"],
        gunn=speed["gunn18"],
        plain=speed["gunn18 reference"],
        verdict="between them" if inside else "not between them",
    )


SECTIONS = [recalibrations, inference, setting, folds, blocks, fine, mssar, default, claim]


@pytest.mark.parametrize("section", SECTIONS)
def test_the_page_is_up_to_date(section):
    assert_up_to_date(PAGE, section)


def test_what_was_measured_is_what_the_benchmark_has():
    """Else the page shows other networks than the benchmark runs: run it again with --save."""
    wanted = {name: (group.batch, list(group.size), list(group.nets)) for name, group in BENCHMARK["GROUPS"].items()}
    found = {name: (group["batch"], group["input"], list(group["networks"])) for name, group in GROUPS.items()}
    assert found == wanted
    assert SAVED["recalibrations"].keys() == BENCHMARK["RECALIBRATIONS"].keys()


def test_targets():
    """Those that hold on a CPU."""
    nets = GROUPS["gunn15"]["networks"]
    assert nets["balanced"]["speed_ratio"] >= 1.15 and nets["balanced"]["memory_ratio"] < 0.35
    assert nets["lean"]["peak_bytes"] <= nets["sunn15 reference"]["peak_bytes"]
    for name, group in GROUPS.items():
        if name.startswith("default "):
            ours = group["networks"]["balanced"]
            assert ours["speed_ratio"] > 0.85 and ours["memory_ratio"] <= 1, name


def test_recalibrations_still_do_what_was_counted(monkeypatch):
    """And MS-SAR moves maps as often as SE."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    counted = BENCHMARK["recalibrations"]()
    assert counted == SAVED["recalibrations"]
    for way in ("forward", "backward"):
        assert counted["mssar(1,2,4)"][way]["maps_moved"] == counted["se"][way]["maps_moved"]


def test_the_page_runs():
    found = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    for text in found:
        exec(compile(text, PAGE.name, "exec"), {})
