"""Calibration: numbers are found again from times that they made, and files are read back."""

import stat
from dataclasses import replace

import pytest
import torch

from explorer.analysis.device import find_device, parse_device, shipped_devices
from explorer.analysis.kernels import BACKWARD_PASS, EVALUATION, FORWARD_PASS, INPUT_PASS, WEIGHT_PASS
from explorer.blocks.ops import PRIMITIVES
from explorer.errors import UserError
from explorer.measure.calibrate import as_toml, calibrate, fit, times_of, works_of, write_calibration
from explorer.measure.microbenchmarks import Case, Sample, Stopwatch, cases, made, measure_case, phases

TRUE = find_device("epyc-1-thread")


def test_a_device_is_found_again_from_its_own_times():
    """All cases, timed by a known device; the fit begins elsewhere and must predict those times."""
    blank = [Sample(case, phase, 1.0) for case in cases() for phase in phases(case)]
    seconds = times_of(TRUE, blank, [works_of(TRUE, sample) for sample in blank])
    samples = [sample._replace(seconds=taken) for sample, taken in zip(blank, seconds, strict=True)]
    found = fit(replace(TRUE, peak={"fp32": TRUE.peak["fp32"]}, rates={}), samples)
    assert found.error < 0.005 and found.device.source == f"{TRUE.source}, median error 0%"
    for predicted, sample in zip(found.predicted, samples, strict=True):
        assert predicted == pytest.approx(sample.seconds, rel=0.1)
    assert found.device.memory.bandwidth == pytest.approx(TRUE.memory.bandwidth, rel=0.05)
    assert found.device.rates["statistics"] == pytest.approx(TRUE.rates["statistics"], rel=0.05)
    assert found.device.achieved.forward == pytest.approx(TRUE.achieved.forward, rel=0.05)


def test_cases_are_ops_small_enough_and_of_many_kinds():
    ops = [case.op for case in cases()]
    assert {"conv", "linear", "bn", "relu", "add", "concat", "update", "maxpool", "avgpool"} <= {op.kind for op in ops}
    assert {op.kind for op in ops} <= set(PRIMITIVES)
    for case in cases():
        assert 4 * case.batch * max(c * h * w for c, h, w in (*case.op.ins, case.op.out)) < 40e6


@pytest.mark.parametrize("case", [
    Case(made("conv", (4, 6, 6), kernel=3, width=6), 2),
    Case(made("linear", (4, 1, 1), width=3), 2),
    Case(made("update", (4, 3, 3), (2, 3, 3), start=1), 2),
    Case(made("bn", (4, 3, 3)), 2, calls=3),
    Case(made("add", (4, 1, 1), (4, 1, 1)), 1, calls=3),
])  # fmt: skip
def test_each_phase_is_timed(case):
    found = measure_case(case, Stopwatch("cpu", 1), least=1e-4)
    assert all(0 < sample.seconds < 0.1 and sample.case is case for sample in found)
    wanted = {"conv": {FORWARD_PASS, INPUT_PASS, WEIGHT_PASS}, "bn": {EVALUATION, FORWARD_PASS, BACKWARD_PASS}}
    assert {sample.phase for sample in found} == wanted.get(case.op.kind, {FORWARD_PASS, BACKWARD_PASS})


def test_a_stopwatch_divides_by_the_calls():
    calls = []
    seconds = Stopwatch("cpu", 1).measure(lambda: calls.append(sum(range(2000))), least=0.01)
    assert len(calls) > 10 and seconds < 0.005


@pytest.mark.parametrize("name", sorted(shipped_devices()))
def test_files_are_read_back(name):
    device = find_device(name)
    again = parse_device(as_toml(device), "again.toml")
    assert again.measured and again == replace(device, measured=True)


def test_files_appear_whole_under_their_own_name(tmp_path):
    path = tmp_path / "mine.toml"
    write_calibration(path, TRUE)
    assert find_device(str(path)) == replace(TRUE, name="mine")
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.toml"]


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match=r"cannot write the device file .*mine\.toml"):
        write_calibration(tmp_path / "no" / "mine.toml", TRUE)
    locked = tmp_path / "locked.toml"
    locked.mkdir()
    with pytest.raises(UserError, match="cannot write"):
        write_calibration(locked, TRUE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["locked.toml"] and stat.S_ISDIR(locked.stat().st_mode)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:9", "tpu"])
def test_devices_that_are_not_there(device):
    with pytest.raises(UserError, match=f"cannot calibrate on '{device}'; there is cpu"):
        calibrate(device)


def test_no_threads():
    with pytest.raises(UserError, match="threads is a whole number of at least 1"):
        calibrate("cpu", 0)


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_calibrated():
    found = calibrate("cuda")
    assert found.device.measured and found.device.launch.ahead and found.error < 0.5


@pytest.mark.slow
def test_this_processor_is_calibrated():
    found = calibrate("cpu", 1)
    assert found.device.threads == 1 and found.error < 0.25
