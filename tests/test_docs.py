"""Every example in the documentation is run."""

import json
import os
import re
import shlex
from pathlib import Path

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
BENCH = re.compile(r"(<!-- bench -->\n)(.*?)(<!-- /bench -->)", re.DOTALL)


def bench_table():
    """The saved measurement as the README shows it."""
    saved = json.loads((RESULTS / "ledger_speed-cpu.json").read_text())
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


def test_the_readme_shows_the_saved_measurements():
    text = README.read_text()
    if os.environ.get("UPDATE_README"):
        README.write_text(BENCH.sub(lambda m: m[1] + bench_table() + m[3], text))
        text = README.read_text()
    shown = BENCH.search(text)
    assert shown is not None and shown[2] == bench_table()
    cold = json.loads((RESULTS / "cold_start-cpu.json").read_text())["cpu_s"]
    assert cold["explorer cost gunn18"] < cold["import torch"] / 5
