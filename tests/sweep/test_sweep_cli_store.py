"""The store and the engines as the command line shows them."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from importlib.util import find_spec

import pytest
from test_sweep_store import trial
from test_sweep_store_versions import filled

from explorer.cli.live import status
from explorer.sweep.progress import Progress
from explorer.sweep.schema import FILE, VERSION


def explorer(*arguments):
    command = [sys.executable, "-m", "explorer", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_another_stores_trials_come_in_with_one_option(tmp_path):
    config = {"budget": "2epochs", "seeds": 2, "data": "blank"}
    filled(tmp_path / "here", trial("a"), **config)
    there = filled(tmp_path / "there", trial("a"), trial("b", seed=1), **config)
    arguments = ["report", "--workspace", tmp_path / "here", "--format", "json"]
    done = explorer(*arguments, "--import", there, "--import", there / FILE)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"imported 1 trials and 0 measurements from {there}",
        f"imported 0 trials and 0 measurements from {there / FILE}",
    ]
    assert json.loads(done.stdout)[0]["done"] == 2
    assert explorer(*arguments).stdout == done.stdout


UNREACHABLE = "no Ray cluster answers at 127.0.0.1:9" if find_spec("ray") else "pip install 'explorer[ray]'"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "cifar_resnet(n=1)", "--engine", "rya"], "--engine: 'rya' is no engine"),
        (["sweep", "cifar_resnet(n=1)", "--engine", "ray:127.0.0.1:9"], UNREACHABLE),
        (["report", "--format", "csv", "--x", "params"], "--x, --y and --open are about the page"),
        (["report", "--import", "nowhere"], "--import: there is no store nowhere"),
        (["list", "--runs"], f"has version {VERSION + 1}, this explorer reads up to {VERSION}; update explorer"),
        (["report", "--format", "csv"], f"has version {VERSION + 1}"),
        (["sweep", "cifar_resnet(n=1)", "--seeds", "1"], f"has version {VERSION + 1}"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(tmp_path, arguments, message):
    filled(tmp_path, trial("a"))
    if "version" in message:
        with closing(sqlite3.connect(tmp_path / FILE)) as database:
            database.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = (tmp_path / FILE).read_bytes()
    done = explorer(*arguments, "--workspace", tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / FILE).read_bytes() == before


NOON = datetime(2026, 1, 1, 12)
BEGINNING = Progress("net", 0, done=0, total=12, running=2)


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (BEGINNING, "0 of 12 done, 2 running, 10 waiting"),
        (
            replace(BEGINNING, done=5, failed=1, elsewhere=3, per_minute=2.5, eta_seconds=90),
            "5 of 12 done, 2 running, 1 failed, 2 waiting, 3 run by another sweep, 2.5 a minute, ends about 12:01:30",
        ),
        (
            replace(BEGINNING, done=1, per_minute=0.01, eta_seconds=86400.0),
            "1 of 12 done, 2 running, 9 waiting, 0.01 a minute, ends about 2026-01-02 12:00",
        ),
        (replace(BEGINNING, done=12, running=0, per_minute=1234.5, eta_seconds=0.0), "12 of 12 done, 1,234 a minute"),
    ],
)
def test_the_live_line_says_what_there_is_to_say(progress, line):
    assert status(progress, NOON) == line
