"""Interrupted anywhere, however hard, a training ends with the weights of one that was not, bit for bit."""

import itertools
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace

import pytest
import torch
from stripes import NET, striped

from explorer.errors import UserError
from explorer.train import loop
from explorer.train.budget import parse_budget
from explorer.train.checkpoint import load
from explorer.train.data import Augmentation
from explorer.train.execution import Execution
from explorer.train.loop import Host, train
from explorer.train.recipes import RECIPES

# everything that draws or remembers: dropout, drop-path, shake, auxiliary head, recalibration, a gradual update
WILD = """network wild(classes = 2) {
  input 3x16x16
  conv(3x3, 8), bn, relu, dropout(0.2), auxiliary(0.3) { flatten, linear(classes) }
  update(parts = 4) { add { part | conv(3x3, out), bn } }
  stochastic_basic(8, rate = 0.3), shake_basic(8), mssar(1, 2)
  gap, linear(classes)
}
"""
RECIPE = replace(RECIPES["nesterov"], batch=16)
STRICT = Execution(deterministic=True, observe=("channel-pairs",))


@pytest.fixture(scope="module")
def data():
    return striped(size=16, augmentation=Augmentation(pad=2, mirror=True))


@pytest.fixture(autouse=True)
def saves_at_every_pause(monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(loop, "SAVE_TIMES", 0)


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    path = tmp_path_factory.mktemp("wild") / "wild.arch"
    path.write_text(WILD)
    return str(path)


def weights_of(path):
    return {name: tensor.numpy().tobytes() for name, tensor in load(path)[0].items()}


def numbers(outcome):
    """All of an outcome but its times."""
    return replace(outcome, seconds=0, history=tuple(replace(epoch, seconds=0) for epoch in outcome.history))


class Interrupting:
    """A clock on which every pause is due, and a progress that asks for an interrupt at the wanted look."""

    def __init__(self, looks):
        self.left, self.now = looks, 0.0

    def clock(self):
        self.now += 1.0
        return self.now

    def __call__(self, status):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


def run(data, folder, recipe=RECIPE, looks=0, net=NET, budget="3epochs", execution=STRICT, **more):
    interrupting = Interrupting(looks)
    host = Host(
        checkpoint=folder / "checkpoint.safetensors",
        weights=folder / "weights.safetensors",
        progress=interrupting,
        clock=interrupting.clock,
    )
    return train(net, data, parse_budget(budget), recipe, 0, execution, replace(host, **more))


KINDS = {
    "plain": RECIPE,
    "mixup and snapshots": replace(RECIPE, mixup=0.4, cycles=3, reports="snapshots"),
    "best": replace(RECIPE, reports="best", within=0.7),
}


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_again_and_again(data, wild, tmp_path, kind):
    """Looks come after each step, in evaluations and at epochs' ends; each time one more passes before Ctrl-C."""
    recipe, whole = KINDS[kind], tmp_path / "whole"
    wanted = run(data, whole, recipe, net=wild)
    interrupted = tmp_path / "interrupted"
    for count in itertools.count(1):
        try:
            outcome = run(data, interrupted, recipe, looks=count + 2, net=wild)
            break
        except KeyboardInterrupt:
            assert (interrupted / "checkpoint.safetensors").is_file()
    assert count > 4
    assert numbers(outcome) == numbers(wanted)
    assert [seen.epoch for seen in wanted.observations] == [0, 1, 2, 3]
    assert weights_of(interrupted / "weights.safetensors") == weights_of(whole / "weights.safetensors")


def test_ctrl_c_once_at_every_moment(data, tmp_path):
    wanted, stops = run(data, tmp_path / "whole", budget="2epochs"), 0
    for moment in itertools.count(1):
        folder = tmp_path / str(moment)
        try:
            run(data, folder, looks=moment, budget="2epochs")
            break
        except KeyboardInterrupt:
            stops += 1
        assert numbers(run(data, folder, budget="2epochs")) == numbers(wanted)
        assert weights_of(folder / "weights.safetensors") == weights_of(tmp_path / "whole" / "weights.safetensors")
    assert stops >= 2 * (4 + 1) + 3  # after each step and validation, and in the three last evaluations


def killed(data, wild, folder):
    """In a process of its own; nothing is told to whoever kills it."""
    run(data, folder, net=wild)


def kill_often(data, wild, folder, times, moments):
    """Kill so many processes, each after it has saved once or more and at any moment from there on."""
    fork, path, deaths = multiprocessing.get_context("fork"), folder / "checkpoint.safetensors", 0
    while deaths < times:
        process = fork.Process(target=killed, args=(data, wild, folder))
        before = path.stat().st_mtime_ns if path.exists() else 0
        process.start()
        while process.is_alive() and not (path.exists() and path.stat().st_mtime_ns > before):
            time.sleep(0.001)
        process.join(moments.uniform(0, 0.1))
        process.kill()
        process.join()
        if process.exitcode == 0:
            return deaths
        assert process.exitcode == -signal.SIGKILL
        deaths += 1
    return deaths


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("times", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_killed_at_random_moments(data, wild, tmp_path, times):
    wanted = run(data, tmp_path / "whole", net=wild)
    deaths, moments = 0, random.Random(times)
    for attempt in range(times):
        folder = tmp_path / str(attempt)
        deaths += kill_often(data, wild, folder, times - deaths, moments)
        outcome = run(data, folder, net=wild)
        assert numbers(outcome) == numbers(wanted)
        assert weights_of(folder / "weights.safetensors") == weights_of(tmp_path / "whole" / "weights.safetensors")
        if deaths >= times:
            break
    assert deaths >= times


def test_a_second_ctrl_c_does_not_wait(data, tmp_path):
    def twice(status):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path, progress=twice)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_budget_in_seconds_counts_those_before(data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path, looks=9, budget="200s")
    spent = load(tmp_path / "checkpoint.safetensors")[1]["seconds"]
    assert spent > 20
    outcome = run(data, tmp_path, budget="200s")
    assert outcome.status == "done"
    assert 200 <= outcome.seconds < 250
    assert outcome.history[0].seconds > 0 and outcome.history[-1].seconds > spent


def test_no_checkpoint_is_written_before_it_is_worth_it(data, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 1e9)
    run(data, tmp_path)
    assert not (tmp_path / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net": "cifar_resnet(n=1, widths=[4,4,8])"}, r"network is .*\[4, 4, 4\].* there and .*\[4, 4, 8\].* here"),
        ({"recipe": replace(RECIPE, lr=0.2)}, "recipe lr is 0.1 there and 0.2 here"),
        ({"budget": "4epochs"}, "budget is 3epochs there and 4epochs here"),
    ],
)
def test_a_checkpoint_of_another_training_says_what_differs(data, tmp_path, change, message):
    run(data, tmp_path)
    with pytest.raises(UserError, match=message):
        run(data, tmp_path, **change)


def test_a_checkpoint_whose_identity_lies_is_refused_by_its_weights(data, tmp_path, monkeypatch):
    run(data, tmp_path)
    monkeypatch.setattr(loop, "check_identity", lambda *_: None)
    with pytest.raises(UserError, match=r"the weight .* is \[4, .*\] there and \[8, .*\] here"):
        run(data, tmp_path, net="cifar_resnet(n=1, widths=[4,4,8])")


def test_a_full_disk_is_told_and_costs_no_result(data, tmp_path, monkeypatch):
    def full(path, *_):
        raise UserError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(loop, "save", full)
    notices = []
    outcome = run(data, tmp_path, progress=lambda status: notices.append(status.notice))
    assert outcome.status == "done"
    assert "checkpoint.safetensors: No space left" in next(filter(None, notices))
    assert "weights.safetensors: No space left" in notices[-1]


def test_what_ran_out_of_time_goes_on_from_there(data, tmp_path):
    """On this clock a second passes with every look at it."""
    first = run(data, tmp_path, budget="20epochs", time_limit=100)
    assert first.status == "failed"
    assert first.message.startswith("out of time: the limit is 100 s (in epoch ")
    assert f"(in epoch {len(first.history) + 1}, after {first.steps} steps; batches of 16)" in first.message
    steps = load(tmp_path / "checkpoint.safetensors")[1]["steps"]
    assert steps == first.steps > 0
    second = run(data, tmp_path, budget="20epochs", time_limit=100)
    assert second.steps > first.steps
    assert [epoch.epoch for epoch in second.history] == list(range(1, len(second.history) + 1))


def test_a_time_limit_in_the_final_evaluation_is_told_as_that(data, tmp_path, monkeypatch):
    """Hours pass when the weights that are to be judged are taken."""
    times = [0.0]
    monkeypatch.setattr(loop._Training, "voters", lambda self: times.append(1e4) or [])
    first = run(data, tmp_path, budget="1epoch", time_limit=5, clock=lambda: times[-1])
    where = "in the final evaluation, after 4 steps; batches of 16"
    assert (first.status, first.message) == ("failed", f"out of time: the limit is 5 s ({where})")
    second = run(data, tmp_path, budget="1epoch")
    assert (second.status, second.steps) == ("done", 4)


def test_the_weights_kept_are_those_that_were_judged(data, tmp_path):
    import explorer

    outcome = run(data, tmp_path)
    model = explorer.build(NET, input=data.shape, classes=2, layers="balanced")
    tensors, facts = load(tmp_path / "weights.safetensors")
    model.load_state_dict(tensors)
    assert facts["network"] == model.graph.canonical
    with torch.inference_mode():
        wrong = model.eval()(torch.from_numpy(data.test.images)).argmax(1) != torch.from_numpy(data.test.labels)
    assert wrong.double().mean().item() == pytest.approx(outcome.test_error)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_on_a_gpu_it_goes_on_as_if_nothing_had_been(data, tmp_path, dtype):
    net, execution = "cifar_resnet(n=1, widths=[8,8,8])", Execution(dtype=dtype, deterministic=True)
    outcomes = []
    for folder, looks in ((tmp_path / "whole", 0), (tmp_path / "stopped", 7)):
        try:
            outcomes.append(run(data, folder, looks=looks, net=net, device="cuda", execution=execution))
        except KeyboardInterrupt:
            outcomes.append(run(data, folder, net=net, device="cuda", execution=execution))
    assert numbers(outcomes[0]) == numbers(outcomes[1])
    assert weights_of(tmp_path / "whole/weights.safetensors") == weights_of(tmp_path / "stopped/weights.safetensors")
