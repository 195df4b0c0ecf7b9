"""The loop on real, tiny networks: what it learns, repeats, records, and never reads."""

import json
import math
import platform
from collections import Counter
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from stripes import NET, striped, stripes

import explorer
from explorer.errors import UserError
from explorer.measure.environment import environment, revision
from explorer.train.budget import Budget
from explorer.train.data import Dataset, Part
from explorer.train.evaluate import evaluate
from explorer.train.loop import Host, train
from explorer.train.recipes import RECIPES

RECIPE = replace(RECIPES["nesterov"], batch=16)


@pytest.fixture(scope="module")
def data():
    return striped()


def run(data, epochs=4, seed=0, recipe=RECIPE, **host):
    return train(NET, data, Budget(epochs, "epochs"), recipe, seed, host=Host(**host))


@pytest.fixture(scope="module")
def outcome(data):
    return run(data)


def test_it_learns_what_can_be_learned(outcome):
    assert outcome.status == "done"
    assert outcome.train_error == outcome.validation_error == outcome.test_error == 0
    assert outcome.history[-1].train_loss < outcome.history[0].train_loss / 2


def test_the_history_has_every_epoch(outcome):
    assert [epoch.epoch for epoch in outcome.history] == [1, 2, 3, 4]
    assert outcome.steps == 4 * math.ceil(64 / 16)
    assert [epoch.lr for epoch in outcome.history] == pytest.approx([0.1, 0.1, 0.01, 0.001])
    seconds = [epoch.seconds for epoch in outcome.history]
    assert seconds[0] > 0 and seconds == sorted(seconds) and seconds[-1] <= outcome.seconds


def test_the_best_epoch_is_the_first_of_the_lowest_validation_error(outcome):
    errors = [epoch.validation_error for epoch in outcome.history]
    assert outcome.best.epoch == 1 + errors.index(min(errors))


def test_the_same_seed_gives_the_same_bits(data, outcome):
    before = torch.get_num_threads()
    again = run(data)
    assert torch.get_num_threads() == before
    assert _numbers(again) == _numbers(outcome)
    assert _numbers(run(data, seed=1)) != _numbers(outcome)


def _numbers(outcome):
    """All of an outcome but its times."""
    epochs = tuple(replace(epoch, seconds=0.0) for epoch in outcome.history)
    return replace(outcome, seconds=0.0, history=epochs)


class Watched(Dataset):
    """A data set that counts how often each part is read."""

    reads: ClassVar[Counter[str]] = Counter()

    def __getattribute__(self, name):
        if name in ("train", "validation", "test"):
            Watched.reads[name] += 1
        return super().__getattribute__(name)


@pytest.fixture
def watched(data):
    Watched.reads.clear()
    fields = ("name", "train", "validation", "test", "classes", "shape", "description", "evidence")
    return Watched(*(getattr(data, field) for field in fields))


def test_the_test_part_is_read_once_and_after_everything_else(watched):
    reads_before_the_end = []

    def look(status):
        if status.latest is None or status.latest.epoch < 4:
            reads_before_the_end.append(Watched.reads["test"])

    run(watched, progress=look)
    assert set(reads_before_the_end) == {0}
    assert Watched.reads["test"] == 1


def test_divergence_is_an_outcome_and_leaves_the_test_part_alone(watched):
    outcome = run(watched, recipe=replace(RECIPE, lr=1e30))
    assert outcome.status == "diverged"
    assert "not finite in epoch 1" in outcome.message
    assert [epoch.epoch for epoch in outcome.history] == [1]
    assert outcome.history[0].train_loss is None
    assert outcome.test_error is outcome.train_error is outcome.validation_error is outcome.best is None
    assert Watched.reads["test"] == 0


def test_at_most_200_images_are_validated_after_an_epoch(data):
    big = replace(data, validation=stripes(300, 3))
    wrong_beyond_200 = big.validation.labels.copy()
    wrong_beyond_200[200:] = 1 - wrong_beyond_200[200:]
    doubtful = replace(big, validation=Part(big.validation.images, wrong_beyond_200))
    outcome = run(doubtful)
    assert outcome.history[-1].validation_error == 0
    assert outcome.validation_error == pytest.approx(100 / 300)
    outcome = run(doubtful, recipe=replace(RECIPE, reports="best"))  # all, where they choose
    assert outcome.history[-1].validation_error == pytest.approx(100 / 300)


class Recorder(torch.nn.Sequential):
    """A linear network that notes in which mode it saw how many images."""

    def __init__(self):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 2))
        self.graph = explorer.expand(NET)  # what a step costs
        self.seen = []

    def forward(self, images):
        self.seen.append((self.training, torch.is_grad_enabled(), len(images)))
        return super().forward(images)

    def with_auxiliaries(self, images):
        return self(images), []


def test_it_trains_in_training_mode_and_evaluates_in_evaluation_mode(data, monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(explorer, "build", lambda text, **_: recorder, raising=False)
    run(data, epochs=2)
    epoch = [(True, True, 16)] * 4 + [(False, False, 16)] * 2
    final = [(False, False, 16)] * (4 + 2 + 3)  # training, validation, test part
    assert recorder.seen == epoch * 2 + final


def test_a_budget_in_seconds_follows_the_clock(data):
    ticks = iter(range(10_000))
    outcome = train(NET, data, Budget(200, "s"), RECIPE, 0, host=Host(clock=lambda: next(ticks)))
    assert outcome.status == "done"
    assert 200 <= outcome.seconds < 240
    rates = [round(epoch.lr, 6) for epoch in outcome.history]
    assert rates == sorted(rates, reverse=True)
    assert set(rates) == {0.1, 0.01, 0.001}


def test_one_step_is_made_however_late_it_is(data):
    ticks = iter(range(0, 10_000_000, 1000))
    outcome = train(NET, data, Budget(1, "s"), RECIPE, 0, host=Host(clock=lambda: next(ticks)))
    assert (outcome.status, outcome.steps, len(outcome.history)) == ("done", 1, 1)


def test_progress_goes_from_the_first_step_to_the_end(data):
    """A second passes with each look at this clock: every step, batch of an evaluation and end of an epoch is told."""
    told, ticks = [], iter(range(10_000))
    run(data, epochs=2, progress=told.append, clock=lambda: next(ticks))
    epoch = [1, 2, 3, 4, 4, 4, 4]  # four steps, two batches of validation, the end
    final = [8] * (4 + 2 + 3)  # training, validation, test part
    steps = [*epoch, *(4 + step for step in epoch), *final]
    assert [status.fraction for status in told] == pytest.approx([step / 8 for step in steps])
    assert [status.epoch for status in told] == [1] * 7 + [2] * 7 + [2] * 9
    assert [status.latest and status.latest.epoch for status in told] == [None] * 6 + [1] * 7 + [2] * 10


def test_evaluation_is_in_batches_without_changing_the_result():
    part = stripes(600, 5, classes=10)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10))
    images, labels = torch.from_numpy(part.images), torch.from_numpy(part.labels)
    loss, error = evaluate(model, zip(images.split(256), labels.split(256), strict=True))
    scores = model(images)
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(scores, labels).item(), rel=1e-5)
    assert error == pytest.approx((scores.argmax(1) != labels).double().mean().item())


@pytest.mark.parametrize("device", ["tpu9", "cuda:77", "gpu", "meta", "cpu:0", ""])
def test_a_device_that_is_not_there_is_refused_by_name(data, device):
    with pytest.raises(UserError, match=f"--device.*{device}"):
        run(data, device=device)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_learns_on_a_gpu(data):
    assert run(data, device="cuda").test_error == 0


def test_the_environment_tells_versions_and_no_host():
    found = environment("cpu")
    assert found["torch"] == torch.__version__
    assert found["threads"] == 1
    assert found["revision"] == revision()
    assert found["machine"] == platform.platform()  # system and processor, without the host's name
    assert json.loads(json.dumps(found)) == found
