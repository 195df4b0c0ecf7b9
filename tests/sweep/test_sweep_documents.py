"""`explorer sweep --format json|csv` and `explorer list --runs`: one document on stdout, everything else on stderr."""

import csv
import io
import json
import os
import re
import sqlite3
import statistics
from contextlib import closing

import pytest
import sweep_tasks
from typer.testing import CliRunner

from explorer.cli.app import app
from explorer.cli.list_runs import what
from explorer.errors import ArchError, UserError
from explorer.sweep import run
from explorer.sweep.files import read
from explorer.sweep.opening import check_usable
from explorer.sweep.run import sweep
from explorer.sweep.schema import FILE, VERSION
from explorer.sweep.store import Store

TINY = "cifar_resnet(n=1, widths=[2,2,2])"
FILE_TEXT = """
networks = ["cifar_resnet(n=1, widths=[2,2,2])", "cifar_resnet(n=1, widths=[4,4,4])"]
data = ["blank", "digits"]
seeds = 4
"""


@pytest.fixture
def eventful(monkeypatch, tmp_path):
    """Sweeps in which seed 0 is done, 1 diverges, 2 and 3 fail."""
    sweep_tasks.install_blank_data()
    monkeypatch.setattr(run, "TASK", "sweep_tasks:eventful")
    monkeypatch.setenv("PRETEND_LOG", str(tmp_path / "log"))
    (tmp_path / "two.toml").write_text(FILE_TEXT)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


def swept(folder, form):
    result = call("sweep", folder / "two.toml", "--workspace", folder / "work", "--format", form)
    assert result.exit_code == 0, result.output
    return result


def test_several_data_sets_are_one_document_with_costs_and_results(eventful):
    result = swept(eventful, "json")
    found = json.loads(result.stdout)
    assert [(one["run"], one["data"], one["trials"], one["found"]) for one in found["runs"]] == [
        (1, "blank", 8, 0),
        (2, "digits", 8, 0),
    ]
    (first, _), _ = (one["networks"] for one in found["runs"])
    assert (first["network"], first["params"], first["macs"]) == (TINY, 344, 153364)
    assert [first[name] for name in ("done", "diverged", "failed")] == [1, 1, 2]
    memory, died = "out of memory: tried to get 9 GB", "its worker process died 2 times: killed by SIGKILL"
    assert len(first["messages"]) == 3 and memory in first["messages"]
    for reason in (
        f"4 trials failed: {memory}",
        f"4 trials failed: {died}",
        "4 trials diverged: the loss was not finite",
    ):
        assert reason in result.stderr
    assert (first["test_error_mean"], first["test_error_std"], first["validation_error_mean"]) == (0.125, None, 0.25)
    assert found["report"]["page"] == str(eventful / "work" / "report" / "report.html")
    assert all(os.path.isfile(path) for path in found["report"]["figures"])
    assert "wrote " in result.stderr and "wrote " not in result.stdout
    again = json.loads(swept(eventful, "json").stdout)
    assert [one["found"] for one in again["runs"]] == [4, 4]  # done and diverged


def test_as_csv_it_is_a_line_for_each_network_and_data_set(eventful):
    rows = list(csv.DictReader(io.StringIO(swept(eventful, "csv").stdout)))
    assert [(row["run"], row["data"]) for row in rows] == [("1", "blank")] * 2 + [("2", "digits")] * 2
    assert {(row["done"], row["failed"], row["test_error_mean"], row["test_error_std"]) for row in rows} == {
        ("1", "2", "0.125", "")
    }


def test_a_search_adds_the_quantities_it_asked_for(eventful, monkeypatch):
    monkeypatch.setattr(run, "TASK", "sweep_tasks:pretend")
    arguments = ["cifar_resnet(widths=[2,2,2])", "--axis", "n=1,2", "--where", "launches < 1000", "--seeds", 2]
    result = call("sweep", *arguments, "--data", "blank", "--workspace", eventful / "work", "--format", "json")
    (found,) = json.loads(result.stdout)["runs"]
    assert "2 candidates" in result.stderr
    assert all(row["launches"] > 0 and row["space"] for row in found["networks"])
    assert [row["test_error_std"] for row in found["networks"]] == [statistics.stdev([0.125, 0.125])] * 2


def test_networks_that_are_one_are_trained_and_told_once(eventful, monkeypatch):
    monkeypatch.setattr(run, "TASK", "sweep_tasks:pretend")
    arguments = ["--data", "blank", "--seeds", 1, "--workspace", eventful / "work", "--format", "json"]
    result = call("sweep", TINY, "cifar_resnet(1, [2, 2, 2])", *arguments)
    (found,) = json.loads(result.stdout)["runs"]
    assert [row["network"] for row in found["networks"]] == [TINY] and found["trials"] == 1
    assert "the same: cifar_resnet(1, [2, 2, 2])" in result.stderr
    result = call("sweep", TINY, "--modifier", "mssar(1)", "--scales", 1, *arguments)
    assert "3 candidates, 1 repeated and left out" in result.stderr
    assert len(json.loads(result.stdout)["runs"][0]["networks"]) == 3


def test_counts_are_those_of_what_is_trained_and_told_before(eventful, monkeypatch):
    monkeypatch.setattr(run, "TASK", "sweep_tasks:pretend")
    arguments = ["--where", "macs <= 1e9", "--data", "blank", "--seeds", 1, "--workspace", eventful / "work"]
    result = call("sweep", "cifar_resnet(n=1, widths=[2, max(3, 2..4), 2])", *arguments)
    assert "2 candidates, 1 repeated and left out, 0 are beyond the limits, 2 fit" in result.stdout
    left_out = "the same: cifar_resnet(n = 1, widths = [2, max(3, 3), 2])"
    assert result.output.index(left_out) < result.output.index("test error, %")


@pytest.mark.parametrize(
    "arguments",
    [
        ["sweep", TINY, "--axis", "classes=10,20", "--seeds", 1],
        ["sweep", TINY, "--axis", "classes=10..20", "--no-train"],
        ["sweep", "cifar_resnet(n=1, classes=20)"],
        ["train", "cifar_resnet(n=1, classes=20)"],
        ["sweep", "cifar_resnet(n=1, classes=5*4)", "--no-train"],
        ["sweep", "cifar_resnet(n=1)", "--axis", "classes=5*2,5*4", "--no-train"],
    ],
)
def test_networks_have_the_classes_of_their_data(tmp_path, arguments):
    sweep_tasks.install_blank_data()
    result = call(*arguments, "--data", "blank", "--workspace", tmp_path / "work")
    assert re.search(r"classes: cifar_resnet is given \d+, and the data have 10", str(result.exception))
    assert result.stdout == "" and not (tmp_path / "work").exists()


def test_tables_say_of_what_they_are(eventful, monkeypatch):
    monkeypatch.setattr(run, "TASK", "sweep_tasks:pretend")
    arguments = ["--data", "blank", "--budget", "2epochs", "--workspace", eventful / "work"]
    text = call("sweep", TINY, "--seeds", 2, *arguments).stdout
    assert "blank, 2epochs; test error: mean ± standard deviation over 2 seeds" in text
    assert "costs are of one image of 3x32x32" in text and "Δ" not in text
    text = call("sweep", TINY, "--scales", 1, "--seeds", 1, *arguments).stdout
    assert "Δ: against the same network without MS-SAR" in text
    assert "blank, 2epochs; test error: of 1 seed\n" in text
    for limits in ([], ["--where", "macs > 0"]):
        table = call("sweep", "resnet18", "resnet20", "--no-train", *limits).stdout
        assert "costs are of" not in table and "3x224x224" in table and "3x32x32" in table
        table = call("sweep", "resnet18", "--data", "blank", "--no-train", *limits).stdout
        assert "costs are of one image of 3x32x32" in table


def test_runs_are_told_at_a_glance_and_in_full(eventful):
    swept(eventful, "json")
    sweep([TINY], [1, 2], seeds=1, data="blank", workspace=eventful / "work")
    full = json.loads(call("list", "--runs", "--workspace", eventful / "work", "--format", "json").stdout)
    assert [(one["run"], one["data"], one["seeds"], one["planned"]) for one in full] == [
        (1, "blank", 4, 8),
        (2, "digits", 4, 8),
        (3, "blank", 1, 4),
    ]
    assert [(one["done"], one["failed"], one["missing"]) for one in full] == [(4, 4, 0), (4, 4, 0), (4, 0, 0)]
    assert full[2]["config"]["scales"] == [1, 2] and full[2]["what"] == f"{TINY}; scales 1,2"
    text = call("list", "--runs", "--workspace", eventful / "work", "--format", "csv").stdout
    assert [row["what"] for row in csv.DictReader(io.StringIO(text))] == [one["what"] for one in full]
    lines = call("list", "--runs", "--workspace", eventful / "work").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:1] == ["1"] and "two.toml: cifar_r" in line and " blank " in line for line in lines)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"network": "gunn24", "seed": 3}, "gunn24, seed 3"),
        ({"experiment": "ms-sar/table3", "bases": ["a"]}, "ms-sar/table3"),
        (
            {"bases": ["a"], "axes": ["k=1,2"], "where": "macs<9", "modifiers": ["se"]},
            "a; + se; axis k=1,2; where macs<9",
        ),
        ({"bases": [], "draws": [{"name": "wide"}]}, "space wide"),
    ],
)
def test_what_a_run_compared(config, told):
    assert what(config) == told


def test_runs_that_differ_in_how_they_train_say_so(eventful):
    place = ["--workspace", eventful / "work"]
    for more in ([], ["--recipe", "momentum"], ["--dtype", "bf16", "--deterministic"]):
        assert call("sweep", TINY, "--data", "blank", "--seeds", 1, *place, *more).exit_code == 0
    header, *lines = call("list", "--runs", *place).stdout.splitlines()
    assert header.split()[4:7] == ["budget", "how", "seeds"]
    assert [line.split("20epochs ")[1].split("  ")[0].strip() for line in lines] == [
        "-",
        "momentum",
        "bf16, deterministic",
    ]
    call("sweep", "cifar_resnet(n=1, widths=[4,4,4])", "--data", "blank", "--seeds", 1, *place)
    runs = json.loads(call("list", "4,4,4", "--runs", *place, "--format", "json").stdout)
    assert [(run["run"], run["how"]) for run in runs] == [(4, "")]


def test_a_format_is_for_what_is_in_the_store_alone():
    assert "--format: it is for --runs and --measurements" in str(call("list", "--format", "json").exception)


# -- refused before anything is done --------------------------------------------------------------------------


def test_a_store_that_cannot_be_used_is_refused_before_costs_are_shown(tmp_path):
    Store.open(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    result = call("sweep", TINY, "--workspace", tmp_path)
    assert result.stdout == "" and f"has version {VERSION + 1}" in str(result.exception)
    (tmp_path / FILE).write_bytes(b"no database at all" * 100)
    result = call("sweep", TINY, "--workspace", tmp_path)
    assert result.stdout == "" and "is damaged or not explorer's" in str(result.exception)


def test_a_place_that_cannot_be_written_is_refused_and_nothing_is_made(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot create the workspace folder .*file is a file; choose another"):
        check_usable(tmp_path / "file" / "work")
    check_usable(tmp_path / "new" / "work")
    Store.open(tmp_path / "old").close()
    check_usable(tmp_path / "old")
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "old" / FILE)
    with pytest.raises(UserError, match=r"cannot write to the store .*it is readonly; choose another"):
        check_usable(tmp_path / "old")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "old"]


def test_what_is_in_the_way_of_a_store_is_said_by_all_commands(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "taken" / FILE).mkdir(parents=True)
    for command in (["sweep", TINY], ["train", TINY], ["list", "--runs"], ["report"], ["cost", TINY, "--on", "cpu"]):
        for place, words in (("file", "file is a file"), ("taken", "is a folder")):
            result = call(*command, "--workspace", tmp_path / place)
            assert result.stdout == "" and words in str(result.exception), command


def test_what_is_refused_is_refused_before_costs_are_shown(tmp_path):
    sweep_tasks.install_blank_data()
    arguments = ["sweep", TINY, "--data", "blank", "--workspace", tmp_path / "work"]
    for more in (["--budget", "10flops"], ["--engine", "ray:127.0.0.1:1"]):
        result = call(*arguments, *more)
        assert result.stdout == "" and isinstance(result.exception, UserError), more


@pytest.mark.parametrize("action", [check_usable, Store.read])
def test_a_place_that_cannot_even_be_looked_at_is_refused(tmp_path, action):
    with pytest.raises(UserError, match=r"cannot look for the store .*File name too long; choose another folder"):
        action(tmp_path / ("x" * 300))


def test_torchrun_is_refused(tmp_path, monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    result = call("sweep", TINY, "--workspace", tmp_path / "work")
    assert result.stdout == "" and "torchrun has started 4 processes" in str(result.exception)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('data = "digitz"', r"mine\.toml:3:1: --data: there is no data set 'digitz'.*did you mean 'digits'"),
        ('data = ["digits", "no/folder"]', r"mine\.toml:3:1: --data: cannot read the folder no/folder"),
        ('stand_in = "cifr10"', r"mine\.toml:3:1: .*did you mean 'cifar10'"),
    ],
)
def test_data_that_are_not_there_are_pointed_at(line, message):
    with pytest.raises(ArchError, match=message):
        read(f'\nnetworks = ["resnet20"]\n{line}\n', "mine.toml")
