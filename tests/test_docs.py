"""Every example in the documentation is run."""

import json
import os
import re
import shlex
from pathlib import Path
from statistics import median

import pytest
from typer.testing import CliRunner

import explorer
from explorer.analysis.facts import check_facts
from explorer.cli.app import app
from explorer.grammar.parser import parse_file
from explorer.grammar.syntax import Network

DOCS = Path(__file__).parent.parent / "docs"
TEXT = (DOCS / "grammar.md").read_text()


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("text", blocks("arch"))
def test_arch_examples(text):
    networks = [d for d in parse_file(text).definitions if isinstance(d, Network)]
    assert networks
    for network in networks:
        call = f"\nnetwork wanted-one = {network.name}"
        assert explorer.cost(text + call).params > 0
        for fact, holds in check_facts(network, lambda values, net=text + call: explorer.cost(net, values=values)):
            assert holds, fact


@pytest.mark.parametrize("line", [line for block in blocks("expression") for line in block.splitlines()])
def test_expression_examples(line):
    assert explorer.cost(line).macs > 0


def test_python_examples():
    found = blocks("python")
    assert found
    for text in found:
        exec(compile(text, "grammar.md", "exec"), {})


def test_files_that_the_documents_name_exist():
    root = DOCS.parent
    for document in [*DOCS.glob("*.md"), root / "README.md"]:
        for name in re.findall(r"`((?:explorer|tests|docs|benchmarks)/[\w/.]+\.\w+)`", document.read_text()):
            assert (root / name).exists(), f"{document.name}: {name}"


README = DOCS.parent / "README.md"
SHOWN = re.compile(r"(```console\n\$ explorer ((?:cost|show|list|audit) [^\n]*)\n)([^`$]*)(```)")


def output_of(command):
    """What a command prints, without trailing blanks."""
    result = CliRunner().invoke(app, shlex.split(command), catch_exceptions=False)
    lines = [line.rstrip() for line in result.output.strip().splitlines()]
    return "\n".join(lines) + "\n"


def test_the_readme_shows_real_output():
    """UPDATE_README=1 writes it anew."""
    text = README.read_text()
    if os.environ.get("UPDATE_README"):
        README.write_text(SHOWN.sub(lambda m: m[1] + output_of(m[2]) + m[4], text))
        text = README.read_text()
    found = SHOWN.findall(text)
    assert len(found) >= 4
    for _, command, shown, _ in found:
        assert shown == output_of(command), f"{command}: run UPDATE_README=1 pytest tests/test_docs.py"


RESULTS = DOCS.parent / "benchmarks" / "results"
MEASURED = re.compile(r"(<!-- (\w+) -->\n)(.*?)(<!-- /\2 -->)", re.DOTALL)


def results(name):
    return json.loads((RESULTS / f"{name}-cpu.json").read_text())


def ledger_speed():
    """A table: explorer beside the fastest of the others."""
    saved = results("ledger_speed")
    peers = [name for name in next(iter(saved["cpu_ms"].values())) if name != "explorer"]
    lines = [
        "| network | explorer | fastest of the others | ratio | build + fvcore | ratio |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for network, times in saved["cpu_ms"].items():
        best = min(peers, key=times.__getitem__)
        ours, theirs, fvcore = times["explorer"], times[best], times["build + fvcore, real"]
        shown = [network, f"{ours:.1f} ms", f"{theirs:.0f} ms ({best})", f"{theirs / ours:.0f}x"]
        shown += [f"{fvcore:.0f} ms", f"{fvcore / ours:.0f}x"]
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def predictions():
    """How far predicted memory and latency are from what was measured."""
    memory = results("memory_prediction")["networks"]["reference"].values()
    equal = sum(one["predicted"]["saved"] == one["measured"]["saved"] for one in memory)
    peak = max(
        abs(one["predicted"][mode]["tensors"] / one["measured"][mode]["tensors"] - 1)
        for one in memory
        for mode in ("train", "infer")
    )
    networks = results("latency_prediction")["networks"].values()
    train, infer = (
        median(abs(one["predicted"][mode]["seconds"] / one["measured"][mode]["least"] - 1) for one in networks)
        for mode in ("train", "infer")
    )
    return f"""\
* **Memory** is predicted from the graph alone, in milliseconds: what autograd saves is equal to the byte on {equal} of
  {len(memory)} networks, peaks of tensors are at most {peak:.2%} off (on the CPU, [docs/memory.md](docs/memory.md)).
  `--limit "train_memory <= 24GB"` asks whether it fits.
* **Latency** is predicted by a roofline over the kernels ([docs/latency.md](docs/latency.md)). On a calibrated CPU the
  median error is {train:.0%} for training steps and {infer:.0%} for inferences of {len(networks)} networks, none of
  which the calibration saw. The files of GPUs hold makers' numbers; no prediction has been compared with a GPU yet.
  `--on cpu --calibrate my-cpu.toml` measures the rates of the device at hand.
"""


def fast_layers():
    """What the substitutes gain."""
    gunn, seqconv = (results("fast_layers")["groups"][name]["networks"] for name in ("gunn15", "seqresnet-k8-r4-n1"))
    fast, lean, step = gunn["balanced"], gunn["lean"], seqconv["balanced"]
    speed, memory = f"{fast['speed_ratio']:.2f}", f"{fast['memory_ratio']:.2f}"
    its_speed, its_memory = f"{step['speed_ratio']:.2f}", f"{step['memory_ratio']:.2f}"
    least, again = f"{lean['memory_ratio']:.2f}", f"{lean['macs_ratio']:.2f}"
    return f"""\
* **The papers' layers are made fast and lean** ([docs/fast-layers.md](docs/fast-layers.md)): on one CPU thread a step
  of training runs {speed} times as fast as the plain module in {memory} of its memory for gunn15, {its_speed} times as
  fast in {its_memory} for seqresnet-k8-r4-n1. This is what runs when explorer trains or measures; `--reference` is the
  plain module, `--lean` takes least memory (gunn15: {least}, with {again} times the multiply-adds). Nothing of it was
  timed on a GPU yet.
"""


SAVED = {"bench": ledger_speed, "predictions": predictions, "fast": fast_layers}


def test_the_readme_shows_the_saved_measurements():
    text = README.read_text()
    if os.environ.get("UPDATE_README"):
        README.write_text(MEASURED.sub(lambda m: m[1] + SAVED[m[2]]() + m[4], text))
        text = README.read_text()
    shown = {name: words for _, name, words, _ in MEASURED.findall(text)}
    assert shown == {name: written() for name, written in SAVED.items()}
    cold = results("cold_start")["cpu_s"]
    assert cold["explorer cost gunn18"] < cold["import torch"] / 3
