"""Limits of a sweep on latencies: predicted for a device, of the candidates that the cheap limits leave."""

import csv
import io
import json
import shutil
import subprocess
import sys
from importlib.resources import files

import pytest
from typer.testing import CliRunner

import explorer
from explorer.analysis.device import find_device
from explorer.analysis.roofline import latency
from explorer.cli.app import app
from explorer.errors import UserError
from explorer.sweep import search
from explorer.sweep.candidates import Selection
from explorer.sweep.listing import candidates_of, list_fits, listings, measures_of
from explorer.sweep.run import Interrupted, sweep
from explorer.sweep.sampling import DesignSpace
from explorer.train.execution import Execution

DEVICE = "a100-40gb"
FAMILY = "wrn(16, k=1..6)"


def seconds(text, mode="infer", batch=64, dtype="fp32", input=None):
    """What the roofline predicts of a network, looked at by itself."""
    return latency(explorer.expand(text, input=input), DEVICE, batch, mode, dtype).total


def texts(listing):
    return sorted(fit.candidate.text for fit in listing.fits)


@pytest.mark.parametrize(("where", "holds"), [
    ("infer_latency <= 1.5ms", lambda t: seconds(t) <= 1.5e-3),
    ("train_latency > 5000us and k < 6", lambda t: seconds(t, "train") > 5e-3 and "k = 6" not in t),
    ("train_latency - infer_latency <= 0.004s", lambda t: seconds(t, "train") - seconds(t) <= 4e-3),
    ("train_latency / infer_latency >= 3.15", lambda t: seconds(t, "train") / seconds(t) >= 3.15),
    ("not (infer_latency <= 1ms) and params <= 5e6", lambda t: seconds(t) > 1e-3 and explorer.cost(t).params <= 5e6),
    ("infer_latency < 900000 ns or train_memory > 900MB",
     lambda t: seconds(t) < 9e-4 or explorer.cost(t, batch=64).train_memory > 9e8),
])  # fmt: skip
def test_what_fits_is_what_is_predicted_of_each_by_itself(where, holds):
    expected = [text for text in (f"wrn(16, k = {k})" for k in range(1, 7)) if holds(text)]
    assert 0 < len(expected) < 6
    (found,) = listings(Selection((FAMILY,), where=where, batch=64, on=DEVICE))
    assert texts(found) == expected
    for fit in found.fits:
        for name in ("train_latency", "infer_latency"):
            if name in where:
                own = seconds(fit.candidate.text, name.partition("_")[0])
                assert type(fit.quantities[name]) is int and fit.quantities[name] == pytest.approx(1e9 * own, abs=1)


def test_a_device_is_a_name_or_a_file(tmp_path):
    shutil.copy(str(files("explorer.analysis").joinpath(f"devices/{DEVICE}.toml")), tmp_path / "mine.toml")
    where = "infer_latency <= 1.5ms"
    named, read = (
        listings(Selection((FAMILY,), where=where, batch=64, on=on))[0].fits
        for on in (DEVICE, str(tmp_path / "mine.toml"))
    )
    assert named == read


def test_sizes_and_sampled_spaces_have_latencies_too():
    sizes = ((3, 32, 32), (3, 64, 64))
    (found,) = listings(Selection(("wrn(16, k=1..2)",), where="infer_latency <= 10s", inputs=sizes, on=DEVICE))
    for fit in found.fits:
        own = seconds(fit.candidate.text, batch=1, input=fit.candidate.input)
        assert fit.quantities["infer_latency"] == pytest.approx(1e9 * own, abs=1)
    space = DesignSpace("few", "wrn(16, k = k)", (("k", "uniform(1, 9, 1)"),), 3, 0, "train_latency <= 6ms")
    (found,) = listings(Selection(spaces=(space,), batch=64, on=DEVICE))
    assert found.space == "few" and len(found.fits) == 3
    assert all(seconds(fit.candidate.text, "train") <= 6e-3 for fit in found.fits)


def test_cheap_limits_come_first_and_the_rest_is_bounded(monkeypatch):
    monkeypatch.setattr(search, "MAX_WALKED", 3)
    walked = []
    selection = Selection((FAMILY,), where="infer_latency <= 1s and k <= 3", on=DEVICE)
    listings(selection, watch=lambda done, total: walked.append((done, total)))
    assert walked == [(3, 3)]
    with pytest.raises(UserError) as error:
        listings(Selection((FAMILY,), where="infer_latency <= 1s and k <= 4", on=DEVICE))
    assert "infer_latency must be computed network by network, of at most 3; the other limits leave 4" in str(
        error.value
    )
    assert "limit params, macs, depth" in str(error.value)


def test_where_nothing_fits_the_nearest_is_told_with_its_time():
    with pytest.raises(UserError) as error:
        listings(Selection((FAMILY,), where="infer_latency <= 10us and k >= 2", on=DEVICE))
    nearest = seconds("wrn(16, k = 2)", batch=1) * 1e6
    for words in ("infer_latency <= 10us leaves out 5", f"wrn(16, k = 2) with infer_latency {nearest:.4g} us",
                  f"misses by a factor of {nearest / 10:.3g}"):  # fmt: skip
        assert words in str(error.value)


@pytest.mark.parametrize(("given", "words"), [
    ({"where": "params > 1 and infer_latency <= 5ms"},
     "--where:1:30: infer_latency is predicted for a device; name one: --on a100-40gb"),
    ({"where": "params > 1", "on": DEVICE}, "--on: no limit is about a latency"),
    ({"on": DEVICE}, "--on: no limit is about a latency"),
    ({"where": "infer_latency <= 5ms", "on": "a100"}, "--on: no device is called 'a100'; did you mean"),
    ({"where": "infer_latency <= 5ms", "on": ""}, "--on: no device is called ''"),
    ({"where": "infer_latency <= 5ms", "on": "nowhere.toml"}, "--on: the device file nowhere.toml cannot be read"),
    ({"where": "infer_latency <= 5ms", "on": "cpu"}, "--on: a sweep predicts, it does not measure on cpu"),
    ({"where": "infer_latency <= 5", "on": DEVICE}, "--where:1:15: infer_latency <= 5: one side is a time"),
    ({"where": "k <= 5ms and infer_latency <= 5ms", "on": DEVICE}, "--where:1:3: k <= 5ms: one side is a time"),
    ({"where": "infer_latencies <= 5ms", "on": DEVICE}, "--where:1:17: infer_latencies <= 5ms: one side is a time"),
])  # fmt: skip
def test_what_cannot_be_predicted_is_refused(given, words):
    with pytest.raises(UserError) as error:
        listings(Selection((FAMILY,), **given))
    assert words in str(error.value)


def test_without_a_device_a_latency_is_refused_in_python_too():
    with pytest.raises(UserError, match="train_latency is predicted for a device"):
        list_fits([FAMILY], where="train_latency <= 5ms")


def test_number_formats_change_what_is_predicted():
    selection = Selection(("wrn(16, k=6)",), where="train_latency < 1s", batch=64, on=DEVICE)
    times = {}
    for dtype in ("fp32", "bf16"):
        (found,) = listings(selection, measures=measures_of(selection, dtype))
        times[dtype] = found.fits[0].quantities["train_latency"]
        assert times[dtype] == pytest.approx(1e9 * seconds("wrn(16, k = 6)", "train", dtype=dtype), abs=1)
    assert times["bf16"] < times["fp32"]
    with pytest.raises(UserError, match="--on: the device t4 has no peak rate for bf16; known: fp32, fp16"):
        measures_of(Selection((FAMILY,), where="train_latency < 1s", on="t4"), "bf16")


SMALL = "cifar_resnet(n=1, widths=[2..4..2, 4, 4])"


def limit_between():
    """A limit that the narrower of both candidates meets, on the data's images."""
    times = [
        latency(explorer.expand(f"cifar_resnet(n=1, widths=[{width}, 4, 4])"), "epyc-1-thread", 256).total
        for width in (2, 4)
    ]
    return f"train_latency <= {round(1e9 * sum(times) / 2)} ns"


def test_the_candidates_of_a_training_are_chosen_by_latency():
    selection = Selection((SMALL,), where=limit_between(), batch=256, on="epyc-1-thread")
    ((one,), _) = candidates_of(selection, (3, 32, 32), 10, 3)
    assert one.text == "cifar_resnet(n = 1, widths = [2, 4, 4])"
    assert [record.text for record in sweep(selection, data="digits", train=False).candidates] == [one.text]
    config = selection.as_config()
    assert (config["on"], config["where"]) == ("epyc-1-thread", selection.where)
    assert "on" not in Selection((SMALL,)).as_config()
    with pytest.raises(UserError, match="no peak rate for bf16"):
        sweep(selection, data="digits", execution=Execution(dtype="bf16"))


# --- the command ---


def call(*arguments):
    result = CliRunner().invoke(app, ["sweep", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


LIMITED = ("--no-train", "--on", DEVICE, "--batch", "64", "--where", "infer_latency <= 1.5ms")


def test_the_table_says_what_is_predicted_for_what():
    text = call(FAMILY, *LIMITED).stdout
    for words in ("infer_latency <= 1.5ms leaves out 3", "predicted", "infer_latency, ms", "of infer_latency",
                  "are of 64 images; MACs and activations of one", f"{1e3 * seconds('wrn(16, k = 2)'):.4g}",
                  f"latencies: predicted for {DEVICE}, from its maker's numbers, not calibrated; fp32"):  # fmt: skip
        assert words in text, words
    assert not find_device(DEVICE).measured
    text = call("wrn(16, k=1..2)", "--no-train", "--on", "epyc-1-thread", "--where", "infer_latency <= 10s").stdout
    assert "predicted for epyc-1-thread, calibrated on such a device" in text


@pytest.mark.parametrize("format", ["json", "csv"])
def test_data_have_latencies_with_unit_and_device(format):
    out = call(FAMILY, *LIMITED, "--format", format).stdout
    rows = json.loads(out) if format == "json" else list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 3
    for row in rows:
        assert float(row["infer_latency_ms"]) == pytest.approx(1e3 * seconds(row["network"]), abs=1e-6)
        assert row["predicted_on"] == DEVICE and "train_latency_ms" not in row and "infer_latency" not in row


def test_dtype_is_that_of_the_prediction():
    text = call(FAMILY, *LIMITED, "--dtype", "bf16").stdout
    assert "; bf16, the reference layers" in text
    assert f"{1e3 * seconds('wrn(16, k = 2)', dtype='bf16'):.4g}" in text


def test_a_file_names_the_device_and_the_option_another(tmp_path):
    file = tmp_path / "fast.toml"
    file.write_text(f'networks = ["{FAMILY}"]\nwhere = "infer_latency <= 1.5ms"\nbatch = 64\non = "{DEVICE}"\n')
    rows = json.loads(call(str(file), "--no-train", "--format", "json").stdout)
    assert sorted(row["network"] for row in rows) == [f"wrn(16, k = {k})" for k in (1, 2, 3)]
    (row, *_) = json.loads(call(str(file), "--no-train", "--format", "json", "--on", "h200").stdout)
    assert row["predicted_on"] == "h200"


def test_before_training_the_table_has_what_limits_asked_for(monkeypatch):
    def run(selection, data, announce, execution, **settings):
        chosen, found = candidates_of(selection, (3, 32, 32), 10, 1, None, measures_of(selection, execution.dtype))
        assert len(chosen) == 1
        announce((), found, ())
        raise Interrupted("enough")

    monkeypatch.setattr("explorer.sweep.run.sweep", run)
    arguments = [SMALL, "--where", limit_between(), "--batch", "256", "--on", "epyc-1-thread"]
    result = CliRunner().invoke(app, ["sweep", *arguments], catch_exceptions=False)
    assert result.exit_code == 130
    assert "train_latency, ms" in result.stdout and "predicted for epyc-1-thread" in result.stdout


def test_predicting_loads_no_torch():
    code = (
        "import sys; sys.argv = ['explorer', *sys.argv[1:]]\n"
        "from explorer.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'pandas', 'sympy', 'matplotlib') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, "sweep", "wrn(16, k=1..2)", *LIMITED, "--format", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "infer_latency_ms" in done.stdout and done.stdout.splitlines()[-1] == "[]"
