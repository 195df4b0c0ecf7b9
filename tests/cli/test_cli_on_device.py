"""explorer cost --on: what is printed of measurements and predictions, and what is refused."""

import csv
import io
import json

import pytest
from typer.testing import CliRunner

import explorer
from explorer.analysis.memory import memory
from explorer.analysis.roofline import latency
from explorer.cli.app import app
from explorer.errors import UserError
from explorer.measure import Interrupted, Largest, Latency, Measurement, MemoryUse, Ratio
from explorer.measure.largest import Trial

NETS = ["resnet20", "resnet20 + se"]
TIME = Latency(12.5, 12.0, 13.0, 15.0, 60, 12, 640.0, 11.5, 20, True, True)
USE = MemoryUse(9_000_000, None, 1_100_000, 6_000, 1_100_000, 98_000, 150_000, 5_000_000, 400_000, 1_146_000, 7_854_000,
                5_100_000, 3_300_000)  # fmt: skip
PARTS = {
    "tree": {
        "name": "cifar_resnet", "forward_ms": 4.0, "backward_ms": 6.0, "saved": 100,
        "children": [{"name": "stage1", "forward_ms": 3.0, "backward_ms": 4.5, "saved": 60, "children": []}],
    },
    "loss_ms": 0.1,
    "update_ms": 0.2,
}  # fmt: skip
ENVIRONMENT = {"device_name": "AMD EPYC", "threads": 1, "torch": "2.0"}


@pytest.fixture
def pretend(monkeypatch):
    """Measuring that answers at once; what it was asked is returned."""
    asked = []

    def measure(nets, settings, depth=0, progress=None):
        asked.append((list(nets), list(settings), depth))
        progress(0.5, "something")
        found = [
            Measurement(net, its, "ok", None, TIME, None, USE, PARTS if depth else None, ENVIRONMENT)
            for net, its in zip(nets, settings, strict=True)
        ]
        if len(found) > 1:
            lost = Measurement(nets[1], settings[1], "out of memory", "it asked for too much", environment=ENVIRONMENT)
            ratio = Ratio(1.5, 1.4, 1.6, 12, "cpu")
            found[1] = lost if "se" in nets[1] else Measurement(nets[1], settings[1], "ok", None, TIME, ratio, USE)
        return found

    monkeypatch.setattr("explorer.measure.measure", measure)
    monkeypatch.setattr("explorer.measure.check", lambda setting: 10**9)
    return asked


def call(*arguments, code=0):
    result = CliRunner().invoke(app, ["cost", *arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def refused(*arguments):
    with pytest.raises(UserError) as error:
        CliRunner().invoke(app, ["cost", *arguments], catch_exceptions=False)
    return str(error.value)


def test_measured_and_predicted_stand_side_by_side(pretend):
    text = call(*NETS, "--on", "cpu,h200", "--batch", "8").stdout
    assert "training step, batch 8, fp32, balanced layers" in text
    for words in ("measured", "predicted", "12.5", "12..13", "11.5", "640.0", "AMD EPYC, 1 thread", "cpu measured",
                  "h200 predicted", "not calibrated", "resnet20 + se on cpu: out of memory: it asked for"):  # fmt: skip
        assert words in text, words
    assert pretend == [(NETS, [pretend[0][1][0]] * 2, 0)]
    setting = pretend[0][1][0]
    assert (setting.device, setting.batch, setting.mode, setting.layers) == ("cpu", 8, "train", "balanced")


def test_options_reach_the_measurement(pretend):
    call("resnet20", "--on", "cpu", "--mode", "infer", "--dtype", "bf16", "--compile", "--channels-last", "--lean",
         "--input", "3x48x48", "--classes", "7", "--depth", "2")  # fmt: skip
    ((_, (setting,), depth),) = pretend
    assert setting.as_dict() == {
        "device": "cpu", "batch": 1, "mode": "infer", "dtype": "bf16", "compile": True, "channels_last": True,
        "layers": "lean", "input": (3, 48, 48), "classes": 7,
    }  # fmt: skip
    assert depth == 2
    call("resnet20", "--on", "cpu", "--reference")
    assert pretend[1][1][0].layers == "reference" and pretend[1][2] == 0


def test_json_has_both(pretend):
    found = json.loads(call("resnet20", "--on", "cpu,h200", "--batch", "8", "--format", "json").stdout)
    assert found["measured"]["cpu"]["latency"]["median_ms"] == 12.5
    assert found["measured"]["cpu"]["memory"]["peak_bytes"] == 9_000_000
    assert found["measured"]["cpu"]["environment"] == ENVIRONMENT
    graph = explorer.expand("resnet20")
    assert found["predicted"]["h200"]["latency"]["latency_ms"] == latency(graph, "h200", 8).latency_ms
    assert found["predicted"]["h200"]["memory"]["peak"] == memory(graph, 8, device="cuda").peak
    assert found["predicted"]["cpu"]["memory"]["peak"] == memory(graph, 8, layers="balanced").peak
    assert found["predicted"]["cpu"]["latency"]["device"] == "epyc-1-thread"
    assert found["params"] == 272_474


def test_without_on_nothing_is_added():
    assert "measured" not in json.loads(call("resnet20", "--format", "json").stdout)


def test_csv_has_a_row_for_each_network_device_and_kind(pretend):
    rows = list(csv.DictReader(io.StringIO(call(*NETS, "--on", "cpu,h200", "--format", "csv").stdout)))
    keys = [(r["network"], r["device"], r["kind"], r["outcome"]) for r in rows]
    assert keys == [
        (net, device, kind, outcome if kind == "measured" else "")
        for net, outcome in zip(NETS, ("ok", "out of memory"), strict=True)
        for device, kind in (("cpu", "measured"), ("cpu", "predicted"), ("h200", "predicted"))
    ]
    assert rows[0]["latency_ms"] == "12.5" and rows[3]["latency_ms"] == "" and float(rows[2]["latency_ms"]) > 0
    assert rows[0]["workspace"] == "1146000" and rows[1]["workspace"] == ""
    assert rows[2]["ratio"] == "" and float(rows[5]["ratio"]) > 1


def test_of_compiled_networks_nothing_is_predicted(pretend):
    assert "h200: nothing is predicted" in call("resnet20", "--on", "h200", "--compile").stdout


def test_with_a_depth_it_says_where_time_and_memory_go(pretend):
    text = call("resnet20", "--on", "cpu", "--depth", "1").stdout
    row = next(line.split() for line in text.splitlines() if line.split()[:2] == ["stage1", "3"])
    predicted = latency(explorer.expand("resnet20"), "epyc-1-thread", 1).tree(1)
    share = predicted["children"][1]["latency_ms"] / predicted["latency_ms"]
    assert row[:5] == ["stage1", "3", "4.5", "75.0%", f"{100 * share:.1f}%"] and row[5] == "60.0%"
    assert "where time" not in call("resnet20", "--on", "cpu").stdout


def test_halves_in_training_have_no_predicted_memory(pretend):
    found = json.loads(call("resnet20", "--on", "h200", "--dtype", "bf16", "--format", "json").stdout)
    assert found["predicted"]["h200"]["memory"] is None and found["predicted"]["h200"]["latency"]["dtype"] == "bf16"
    assert found["measured"] == {}


def test_notes_are_warnings(monkeypatch, pretend):
    monkeypatch.setattr(
        "explorer.measure.measure",
        lambda nets, settings, **options: [Measurement(nets[0], settings[0], "ok", notes=("something was running",))],
    )
    assert "explorer: resnet20 on cpu: something was running" in call("resnet20", "--on", "cpu").stderr


def test_where_everything_fails_the_exit_code_tells(monkeypatch, pretend):
    monkeypatch.setattr(
        "explorer.measure.measure",
        lambda nets, settings, **options: [Measurement(nets[0], settings[0], "failed", "torch.compile failed: why")],
    )
    assert "resnet20 on cpu: failed: torch.compile failed: why" in call("resnet20", "--on", "cpu", code=1).stdout


def test_interrupted_it_prints_what_there_is(monkeypatch, pretend):
    def measure(nets, settings, **options):
        raise Interrupted([Measurement(nets[0], settings[0], "interrupted", memory=USE)])

    monkeypatch.setattr("explorer.measure.measure", measure)
    result = call("resnet20", "--on", "cpu", code=130)
    assert "9.00" in result.stdout and "resnet20 on cpu: interrupted" in result.stdout


@pytest.mark.parametrize("format", ["table", "json"])
def test_the_largest_batch(monkeypatch, pretend, format):
    found = Largest(300, (Trial(320, "out of memory", "too much"), Trial(300, "ok", None)))
    none = Largest(None, (Trial(1, "out of memory", "too much"),))
    monkeypatch.setattr("explorer.measure.largest_batch", lambda net, setting, progress: none if "se" in net else found)
    text = call(*NETS, "--on", "cpu", "--batch", "max", "--format", format).stdout
    assert [(nets, settings[0].batch) for nets, settings, _ in pretend] == [(NETS[:1], 300)]
    if format == "json":
        first, second = json.loads(text)
        assert first["batch"] == 300 and first["largest_batch"]["batch"] == 300
        assert second["measured"]["cpu"]["outcome"] == "out of memory" and second["largest_batch"]["batch"] is None
    else:
        assert "resnet20: 300 images fit on cpu; 320 do not (out of memory)" in text
        assert "resnet20 + se: not even one image fits on cpu" in text


def test_what_cannot_be_asked_for_is_refused():
    for arguments, words in (
        (["--on", "gpu"], "--on: no device is called 'gpu'"),
        (["--on", "cpu,cpu"], "given twice"),
        (["--on", ","], "name devices"),
        (["--on", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["--mode", "infer"], "--mode needs --on"),
        (["--channels-last"], "--channels-last needs --on"),
        (["--lean"], "--lean needs --on"),
        (["--on", "cpu", "--lean", "--reference"], "exclude each other"),
        (["--on", "cpu", "--mode", "training"], "did you mean 'train'?"),
        (["--on", "cpu", "--dtype", "float16"], "known: bf16, fp16, fp32"),
        (["--on", "t4", "--dtype", "bf16"], "no peak rate for bf16"),
        (["--batch", "max"], "--batch max needs --on"),
        (["--batch", "max", "--on", "h200"], "--batch max needs --on with one device that is here"),
        (["--batch", "max", "--on", "cpu,h200"], "--batch max needs --on with one device that is here"),
        (["--batch", "many"], "neither a number of images nor max"),
        (["--batch", "0"], "--batch: 0 is not from 1"),
    ):
        assert words in refused("resnet20", *arguments), arguments


def test_a_device_that_is_not_here_is_refused_before_anything_runs(monkeypatch, pretend):
    def check(setting):
        if setting.device == "cuda":
            raise UserError("there is no device cuda here to measure on; there is cpu")

    monkeypatch.setattr("explorer.measure.check", check)
    assert "there is cpu; others are predicted for by name" in refused("resnet20", "--on", "cpu,cuda")
    assert pretend == []
