"""explorer cost --on: what is printed of measurements and predictions, and what is refused."""

import csv
import io
import json

import pytest
from typer.testing import CliRunner

import explorer
from explorer.analysis.device import find_device
from explorer.analysis.memory import memory
from explorer.analysis.roofline import latency
from explorer.cli.app import app
from explorer.errors import UserError
from explorer.measure import Interrupted, Largest, Latency, Measurement, MemoryUse, Ratio
from explorer.measure.calibrate import Fit
from explorer.measure.largest import Trial
from explorer.measure.microbenchmarks import Sample, cases
from explorer.sweep.store import Store, to_pandas

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
    assert "training step, batch 8, fp32, balanced layers" in text and "memory at its peak, MB, balanced layers" in text
    assert (
        "\npredicted: tensors alone, without workspace, on a GPU in blocks of 512 bytes\nmeasured: with workspace"
        in text
    )
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


@pytest.mark.parametrize(("factor", "noisy"), [(1.1, False), (1.4, True)])
def test_a_calibration_on_a_busy_machine_is_doubted(monkeypatch, tmp_path, factor, noisy):
    one = Sample(cases()[0], "forward", 1.0)
    found = Fit(find_device("epyc-1-thread"), [one], [factor])
    monkeypatch.setattr("explorer.measure.calibrate.calibrate", lambda *arguments: found)
    path = str(tmp_path / "my-cpu.toml")
    result = call("--calibrate", path, "--on", "cpu")
    assert ("calibrate again on an idle machine" in result.stderr) == noisy
    assert f"{path}: calibrated" in result.stdout
    text = call("resnet20", "--on", path).stdout
    assert (
        "my-cpu: times predicted from measured rates (calibrated with torch 2.13.0+cpu, 2026-11-21, 1 thread)" in text
    )


# --- devices that lack a number format ---


def test_a_device_without_the_number_format_has_a_dash_and_its_reason(pretend):
    result = call("resnet20", "--on", "h200,t4", "--dtype", "bf16", "--mode", "infer")
    assert "t4: no time is predicted: the device t4 has no peak rate for bf16; known: fp32, fp16" in result.stdout
    assert "h200: times predicted from its maker's numbers" in result.stdout
    row = next(line.split() for line in result.stdout.splitlines() if line.startswith(" resnet20 "))
    assert float(row[1]) > 0 and row[4:] == ["-", "-", "-"]
    found = json.loads(call("resnet20", "--on", "h200,t4", "--dtype", "bf16", "--format", "json").stdout)["predicted"]
    assert found["h200"]["reason"] is None and found["t4"]["latency"] is None
    assert found["t4"]["reason"].startswith("the device t4 has no peak rate for bf16")
    assert "no peak rate for bf16" in refused("resnet20", "--on", "t4,v100", "--dtype", "bf16")


def test_what_is_measured_needs_no_description_in_that_number_format(pretend):
    """The file of the device that measures knows single precision alone."""
    text = call("resnet20", "--on", "cpu", "--dtype", "bf16").stdout
    assert "12.5" in text
    assert "no time is predicted: the device epyc-1-thread has no peak rate for bf16" in text


# --- limits on latencies ---


def test_limits_hold_what_is_measured_and_what_is_predicted(pretend):
    limit = "train_latency <= 12.5ms and infer_memory < 1GB"
    result = call("resnet20", "--on", "cpu,h200", "--batch", "8", "--limit", limit)
    assert (
        "\nlimit: resnet20 meets train_latency <= 12.5ms: train_latency is 12.5 ms (measured on cpu)\n" in result.stdout
    )
    assert result.stdout.count("limit: resnet20 meets") == 3
    shown = call("resnet20", "--on", "h200", "--limit", "infer_latency <= 5ms", "--format", "json")
    assert json.loads(shown.stdout) and " us (predicted for h200)" in shown.stderr
    result = call("resnet20", "--on", "cpu,h200", "--limit", "train_latency < 1us and params < 1", code=1)
    predicted = latency(explorer.expand("resnet20"), "h200").latency_ms
    assert result.stderr.splitlines()[-3:] == [
        "explorer: --limit: resnet20 breaks params < 1: params is 272,474, 272,474 times it",
        "explorer: --limit: resnet20 breaks train_latency < 1us: train_latency is 12.5 ms (measured on cpu),"
        " 12,500 times it",
        f"explorer: --limit: resnet20 breaks train_latency < 1us: train_latency is {predicted:.4g} ms"
        f" (predicted for h200), {1e3 * predicted:,.0f} times it",
    ]


def test_both_modes_of_a_device_that_is_predicted_can_be_limited():
    half = latency(explorer.expand("resnet20"), "h200", 8, "infer").total / 2
    text = f"train_latency < 1s and infer_latency < {round(1e9 * half)} ns"
    for mode in ("train", "infer"):
        result = call("resnet20", "--on", "h200", "--batch", "8", "--mode", mode, "--limit", text, code=1)
        assert "infer_latency is" in result.stderr and "100% above it" in result.stderr
        assert "train_latency" not in result.stderr


def test_a_limit_that_is_not_known_to_hold_is_not_met(monkeypatch, pretend):
    result = call(*NETS, "--on", "cpu", "--limit", "train_latency < 1s", code=1)
    assert "resnet20 + se is not known to meet train_latency < 1s on cpu: it asked for too much" in result.stderr
    assert "resnet20 breaks" not in result.stderr
    result = call("resnet20", "--on", "h200,t4", "--dtype", "bf16", "--limit", "train_latency < 1s", code=1)
    assert "not known to meet train_latency < 1s on t4: the device t4 has no peak rate" in result.stderr
    assert "h200" not in result.stderr


@pytest.mark.parametrize(("arguments", "words"), [
    ([], "--limit: infer_latency needs --on DEVICE: --on cpu measures it, --on h200 predicts it"),
    (["--on", "cpu"], "--limit: infer_latency needs --mode infer; on cpu one mode is measured at a time"),
    (["--on", "h200", "--compile"], "--limit: infer_latency is not predicted for compiled networks"),
])  # fmt: skip
def test_limits_on_latencies_that_there_will_not_be_are_refused(pretend, arguments, words):
    assert words in refused("resnet20", "--limit", "infer_latency <= 1s", *arguments)
    assert pretend == []


# --- part of a list ---


def test_what_ran_counts_though_another_network_did_not(pretend):
    """Exit code 0: not to fit is a result; 1 only where nothing could be measured."""
    result = call(*NETS, "--on", "cpu")
    assert "resnet20 + se on cpu: out of memory" in result.stdout and "12.5" in result.stdout


# --- keeping what is measured ---


def test_what_is_measured_can_be_kept(pretend, tmp_path):
    result = call(*NETS, "--on", "cpu,h200", "--batch", "8", "--depth", "1", "--workspace", str(tmp_path))
    assert f"kept 2 measurements in {tmp_path}" in result.stdout
    with Store.read(tmp_path) as store:
        first, second = sorted(store.measurements(), key=lambda one: one.numbers["outcome"])
        rows = {row["canonical"]: row for row in store.measured()}
    cost = explorer.cost("resnet20")
    assert first.network == cost.graph.digest and first.environment == ENVIRONMENT
    assert (first.setting["device"], first.setting["batch"], first.setting["layers"]) == ("cpu", 8, "balanced")
    assert (first.numbers["latency_ms"], first.numbers["q1_ms"], first.numbers["samples"]) == (12.5, 12.0, 60)
    assert (first.numbers["peak_bytes"], first.numbers["parameters_bytes"]) == (9_000_000, 1_100_000)
    assert first.numbers["parts"] == PARTS and "reserved_bytes" not in first.numbers
    assert second.numbers == {"outcome": "out of memory", "reason": "it asked for too much"}
    row = rows["resnet20"]
    assert (row["macs"], row["input"], row["mode"], row["device_name"]) == (cost.macs, (3, 32, 32), "train", "AMD EPYC")
    assert row["latency_ms"] == 12.5 and rows["resnet20 + se"].get("latency_ms") is None
    frame = to_pandas(list(rows.values()))
    assert len(frame) == 2 and frame["latency_ms"].count() == 1


def test_measured_again_it_stands_beside_the_earlier(pretend, tmp_path):
    for _ in range(2):
        result = call("resnet20", "--on", "cpu", "--workspace", str(tmp_path), "--format", "json")
        assert json.loads(result.stdout) and result.stderr.splitlines()[-1] == f"kept 1 measurement in {tmp_path}"
    listed = CliRunner().invoke(app, ["list", "--measurements", "--workspace", str(tmp_path)], catch_exceptions=False)
    rows = [line.split() for line in listed.stdout.splitlines() if line.split()[:1] == ["resnet20"]]
    assert len(rows) == 2
    assert rows[0][1:10] == ["3x32x32", "AMD", "EPYC", "train", "fp32", "balanced", "1", "12.5", "9.00"]
    place = ["--measurements", "--workspace", str(tmp_path), "--format"]
    rows = json.loads(CliRunner().invoke(app, ["list", "net20", *place, "json"]).stdout)
    names = "canonical", "latency_ms", "input"
    assert [[row[name] for name in names] for row in rows] == [["resnet20", 12.5, [3, 32, 32]]] * 2
    lines = list(csv.DictReader(io.StringIO(CliRunner().invoke(app, ["list", *place, "csv"]).stdout)))
    assert [(line["latency_ms"], line["input"]) for line in lines] == [("12.5", "3x32x32")] * 2
    assert json.loads(CliRunner().invoke(app, ["list", "gunn", *place, "json"]).stdout) == []


def test_ratios_say_to_what(monkeypatch, pretend, tmp_path):
    def measure(nets, settings, **options):
        ratio = Ratio(1.5, 1.4, 1.6, 12, "cpu")
        return [Measurement(net, its, "ok", None, TIME, ratio if "se" in net else None, USE, None, ENVIRONMENT)
                for net, its in zip(nets, settings, strict=True)]  # fmt: skip

    monkeypatch.setattr("explorer.measure.measure", measure)
    call(*NETS, "--on", "cpu", "--workspace", str(tmp_path))
    with Store.read(tmp_path) as store:
        first, second = sorted(store.measurements(), key=lambda one: one.numbers.get("ratio", 0))
    assert "ratio" not in first.numbers and "ratio_to" not in first.numbers
    ratio = {name: value for name, value in second.numbers.items() if name.startswith("ratio")}
    assert ratio == {"ratio": 1.5, "ratio_q1": 1.4, "ratio_q3": 1.6, "ratio_of": "cpu", "ratio_to": first.network}


def test_what_failed_or_was_stopped_is_not_kept(monkeypatch, pretend, tmp_path):
    def measure(nets, settings, **options):
        raise Interrupted([Measurement(nets[0], settings[0], "ok", None, TIME, None, USE, None, ENVIRONMENT),
                           Measurement(nets[1], settings[1], "interrupted", memory=USE)])  # fmt: skip

    monkeypatch.setattr("explorer.measure.measure", measure)
    result = call(*NETS, "--on", "cpu", "--workspace", str(tmp_path), code=130)
    assert "kept 1 measurement in" in result.stdout
    with Store.read(tmp_path) as store:
        assert [one.network for one in store.measurements()] == [explorer.cost("resnet20").graph.digest]


def test_where_nothing_can_be_kept_nothing_is_measured(pretend, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for arguments, words in (
        (["--workspace", str(tmp_path)], "--workspace keeps what is measured"),
        (["--workspace", str(tmp_path), "--on", "h200"], "--workspace keeps what is measured"),
        (["--workspace", str(tmp_path / "file"), "--on", "cpu"], "choose another with --workspace"),
    ):
        assert words in refused("resnet20", *arguments), arguments
    assert pretend == [] and [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(UserError, match="exclude each other"):
        CliRunner().invoke(app, ["list", "--runs", "--measurements"], catch_exceptions=False)


def test_without_a_workspace_nothing_is_written(pretend, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call("resnet20", "--on", "cpu")
    assert list(tmp_path.iterdir()) == []
