"""Trials of the command line and of sweeps: what identifies them, what they keep, and how they go on."""

import os
import re
import signal
import subprocess
import sys
import termios
from contextlib import suppress

import pytest

import explorer
from explorer.analysis.training import training_macs
from explorer.cli.train import clock, execution, live
from explorer.errors import UserError
from explorer.sweep.run import sweep, train_one
from explorer.sweep.store import Store
from explorer.train import loop
from explorer.train.checkpoint import load
from explorer.train.execution import Execution
from explorer.train.files import aside, checkpoint_of, discard, weights_of
from explorer.train.outcome import EpochRecord
from explorer.train.status import Status

TINY = "cifar_resnet(n=1, widths=[2,2,2])"
EPOCHS = "20epochs"  # of five steps


def test_how_it_is_computed_makes_another_trial_and_stands_in_the_store(tmp_path):
    trials = {}
    for way in (Execution(), Execution("reference", dtype="bf16"), Execution(deterministic=True)):
        result = train_one(TINY, budget="1epoch", execution=way, workspace=tmp_path)
        assert not result.found
        trials[result.trial.id] = way
    assert len(trials) == 3
    with Store.read(tmp_path) as store:
        for trial in store.trials():
            way = trials[trial.id]
            kept = [trial.environment[name] for name in ("layers", "dtype", "compile", "deterministic")]
            assert kept == [way.layers, way.dtype, way.compile, way.deterministic]
            assert trial.status == "done"


def test_a_full_budget_is_the_epochs_of_the_networks_own_recipe(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "check_device", no_training)
    result = train_one("gunn15", budget="full", workspace=tmp_path)
    assert (result.trial.budget, result.trial.status) == ("300epochs", "failed")
    assert train_one("gunn15", budget="300epochs", workspace=tmp_path).trial.id == result.trial.id
    assert train_one(TINY, budget="full", recipe="ms-sar-cifar-resnet", workspace=tmp_path).trial.budget == "160epochs"


def no_training(device):
    raise RuntimeError("there is no time for this here")


def test_flops_for_less_than_a_step_are_refused_before_training_by_network(tmp_path):
    for run in (lambda: train_one(TINY, budget="10flops", workspace=tmp_path),
                lambda: sweep([TINY], [1], budget="10flops", workspace=tmp_path)):  # fmt: skip
        with pytest.raises(UserError, match=rf"{re.escape(TINY)}.*--budget: 1e1flops is less than one step"):
            run()
    assert not list(tmp_path.iterdir())


def test_equal_flops_are_fewer_steps_of_a_costlier_network(tmp_path):
    """Both spend 1e9 FLOPs, to within a step; an epoch is five steps through 300 images."""
    steps = []
    for width in (2, 4):
        net = f"cifar_resnet(n=1, widths=[{width},{width},{width}])"
        steps.append(train_one(net, budget="1e9flops", workspace=tmp_path).trial.steps)
        epochs, rest = divmod(steps[-1], 5)
        price = 2 * training_macs(explorer.expand(net)).total
        assert 1e9 - 64 * price < (300 * epochs + 64 * rest) * price <= 1e9
    assert steps[0] > 2 * steps[1] > 0


# -- going on ------------------------------------------------------------------------------------------


def start_and_stop(workspace):
    """The command on a terminal of its own, and Ctrl-C once it trains: its exit status, and what it has shown."""
    command = [sys.executable, "-m", "explorer", "train", TINY, "--budget", EPOCHS, "--workspace", str(workspace)]
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 200))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as process, open(ours, "rb", 0) as screen:
        os.close(theirs)
        shown, stopped = "", False
        with suppress(OSError):  # the end, as Linux tells it
            while piece := screen.read(1000):
                shown += piece.decode(errors="replace")
                if "images/s" in shown and not stopped:
                    process.send_signal(signal.SIGINT)
                    stopped = True
    return process.returncode, shown


def test_ctrl_c_at_the_command_line_and_the_same_again(tmp_path):
    status, shown = start_and_stop(tmp_path)
    assert status == 130
    assert "interrupted; the same command again goes on" in shown and "Traceback" not in shown
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    steps = load(checkpoint)[1]["steps"]
    assert 0 < steps < 20 * 5
    result = train_one(TINY, budget=EPOCHS, workspace=tmp_path)
    whole = train_one(TINY, budget=EPOCHS, workspace=tmp_path / "whole")
    assert not result.found
    for measured in ("steps", "train_loss", "train_error", "validation_error", "test_error", "test_loss"):
        assert getattr(result.trial, measured) == getattr(whole.trial, measured)
    weights = [load(weights_of(folder, result.trial.id))[0] for folder in (tmp_path, tmp_path / "whole")]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[1])
    assert list((tmp_path / "checkpoints").iterdir()) == []  # it is stored


@pytest.mark.slow
def test_a_worker_that_is_killed_is_followed_by_one_that_goes_on(tmp_path, monkeypatch):
    """Workers save every second here, and the first is killed when it has."""
    (tmp_path / "sitecustomize.py").write_text("import explorer.train.loop as loop\nloop.SAVE_SECONDS = 0.2\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    monkeypatch.syspath_prepend(str(tmp_path))
    steps = []

    def kill(progress):
        found = list((tmp_path / "work" / "checkpoints").glob("*.safetensors"))
        if found and not steps:
            steps.append(load(found[0])[1]["steps"])
            os.kill(worker_of(os.getpid()), signal.SIGKILL)

    result = sweep([TINY], None, seeds=1, budget="40epochs", workers=1, workspace=tmp_path / "work", progress=kill)
    (trial,) = result.trials
    assert steps and steps[0] > 0
    assert (trial.status, trial.steps) == ("done", 200)
    whole = train_one(TINY, budget="40epochs", workspace=tmp_path / "whole").trial
    assert (trial.id, trial.test_loss, trial.train_loss) == (whole.id, whole.test_loss, whole.train_loss)
    assert list((tmp_path / "work" / "checkpoints").iterdir()) == []
    assert not (tmp_path / "work" / "weights").exists()  # a sweep keeps none


def worker_of(parent):
    """The one child process that is a worker."""
    found = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True, check=True
    )
    (line,) = [line for line in found.stdout.splitlines() if "explorer.sweep.worker" in line]
    return int(line.split()[0])


def test_what_ran_out_of_time_is_failed_and_goes_on(tmp_path):
    first = train_one(TINY, budget="200epochs", time_limit=0.5, workspace=tmp_path)
    assert first.trial.status == "failed"
    assert first.trial.message.startswith("out of time: the limit is 0.5 s (in epoch ")
    assert len(first.history) == first.trial.epochs
    assert checkpoint_of(tmp_path, first.trial.id).exists()
    second = train_one(TINY, budget="200epochs", time_limit=0.5, workspace=tmp_path)
    assert second.trial.steps > first.trial.steps


def test_discarding_leaves_nothing_and_minds_nothing(tmp_path):
    path = checkpoint_of(tmp_path, "a")
    discard(path)
    path.parent.mkdir()
    for own in (path, aside(path)):
        own.touch()
    discard(path)
    assert list(path.parent.iterdir()) == []


# -- words ---------------------------------------------------------------------------------------------


def test_options_of_layers():
    assert execution(False, False, "fp32", False, False) == Execution()
    assert execution(True, False, "bf16", True, True) == Execution("reference", "bf16", True, True)
    assert execution(False, True, "fp16", False, False).layers == "lean"
    with pytest.raises(UserError, match="--reference and --lean"):
        execution(True, True, "fp32", False, False)
    with pytest.raises(UserError, match="--dtype"):
        execution(False, False, "fp8", False, False)


def test_the_live_line_leaves_out_what_is_not_known():
    assert live(Status(0, 1, None, None)) == "epoch 1"
    status = Status(0.5, 3, 1.25, 0.5, 1234.4, 2.5e12, 0.31, 75.0, None, "the disk is full")
    assert live(status) == (
        "epoch 3, loss 1.250, error 50.0%, 1,234 images/s, 2.5 TFLOP/s (31% of peak), 1:15 left, the disk is full"
    )
    record = EpochRecord(2, 1.0, 0.1, None, 0.75, None, None)
    assert live(Status(0.5, 2, None, None, 10.0, 1e9, latest=record)).endswith("10 images/s, 1 GFLOP/s")
    assert (clock(59.6), clock(3675)) == ("1:00", "1:01:15")
