"""Ways of training: the optimiser's arithmetic, mixup, heads, kept weights, number formats, and what a look tells."""

import math
from dataclasses import replace

import pytest
import torch
from stripes import NET, striped
from torch.nn.functional import cross_entropy, one_hot

import explorer
from explorer.analysis.device import shipped_devices
from explorer.analysis.training import training_macs
from explorer.errors import UserError
from explorer.train import loop, precision
from explorer.train.budget import parse_budget
from explorer.train.checkpoint import load, under
from explorer.train.evaluate import copied, evaluate
from explorer.train.execution import DTYPES, LAYERS, USUAL, Execution
from explorer.train.loop import Host, train
from explorer.train.mixup import Targets, mixed
from explorer.train.outcome import EpochRecord
from explorer.train.precision import out_of_memory, peak_flops
from explorer.train.recipes import RECIPES
from explorer.train.status import WINDOW, Meter

RECIPE = replace(RECIPES["nesterov"], batch=16)
SMALL = (3, 8, 8)
HEADED = """network headed(classes = 2) {
  input 3x8x8
  conv(3x3, 4), relu, auxiliary(0.3) { flatten, linear(classes) }
  conv(3x3, 4), relu, gap, linear(classes)
}
"""


@pytest.fixture(scope="module")
def data():
    return striped(size=16)


def run(data, recipe=RECIPE, budget="3epochs", execution=USUAL, net=NET, **host):
    return train(net, data, parse_budget(budget), recipe, 0, execution, Host(**host))


# -- the step ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("batch", [48, 16])
def test_steps_are_the_papers_arithmetic(tmp_path, nesterov, batch):
    """One epoch over 48 images, by hand: v = m v + g + wd w; w -= lr (g + wd w + m v), or lr v; heads by weight."""
    net, data = tmp_path / "headed.arch", striped(train=48, size=8)
    net.write_text(HEADED)
    recipe = replace(RECIPE, batch=batch, nesterov=nesterov, weight_decay=0.01)
    outcome = run(data, recipe, "1epoch", Execution("reference"), str(net), weights=tmp_path / "weights.safetensors")
    trained, _ = load(tmp_path / "weights.safetensors")

    torch.manual_seed(0)
    model = explorer.build(str(net), input=SMALL, classes=2)
    weights = dict(model.named_parameters())
    speeds = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    losses = []
    for step, (images, labels) in enumerate(batches_of(data, batch)):
        scores, [(share, head)] = model.with_auxiliaries(images)
        assert share == 0.3
        main = cross_entropy(scores, labels)
        gradients = torch.autograd.grad(main + 0.3 * cross_entropy(head, labels), list(weights.values()))
        lr = 0.1 * 0.1 ** sum(step / (48 / batch) >= milestone for milestone in (0.5, 0.75))
        with torch.no_grad():
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
                slope = gradient + 0.01 * weight
                speeds[name] = 0.9 * speeds[name] + slope if step else slope
                weight -= lr * (slope + 0.9 * speeds[name] if nesterov else speeds[name])
        losses.append(main.item())
    assert outcome.steps == 48 // batch
    assert outcome.history[0].train_loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    for name, weight in weights.items():
        torch.testing.assert_close(trained[name], weight.detach(), rtol=1e-4, atol=1e-6)


def batches_of(data, batch):
    """The first epoch's batches under seed 0, as any training sees them."""
    from explorer.train.data.feeds import Feeds

    return Feeds(data, "cpu", 10).train.shuffled(batch, data.augmentation, 0, 0)


def test_an_auxiliary_head_changes_what_is_learned_and_not_what_is_recorded(tmp_path):
    files = [tmp_path / "light.arch", tmp_path / "heavy.arch"]
    files[0].write_text(HEADED)
    files[1].write_text(HEADED.replace("0.3", "3"))
    data = striped(train=48, size=8)
    both = [run(data, replace(RECIPE, batch=48), "2epochs", net=str(file)) for file in files]
    first, second = zip(*(outcome.history for outcome in both), strict=True)
    assert first[0].train_loss == first[1].train_loss < math.log(2) * 1.5  # before the first step
    assert second[0].train_loss != second[1].train_loss


# -- mixup ---------------------------------------------------------------------------------------------


def test_without_mixup_a_batch_stays_what_it_is():
    images, labels = torch.randn(4, 3, 2, 2), torch.tensor([0, 1, 0, 1])
    before = torch.get_rng_state()
    same, targets = mixed(images, labels, 0)
    assert same is images and targets.labels is labels
    assert torch.equal(torch.get_rng_state(), before)


def test_images_are_mixed_as_their_labels():
    torch.manual_seed(1)
    labels = torch.arange(6)
    images = labels.float()[:, None, None, None].expand(6, 3, 2, 2)
    shares = []
    for _ in range(200):
        made, targets = mixed(images, labels, 1.0)
        wanted = targets.share * labels + (1 - targets.share) * targets.others
        torch.testing.assert_close(made, wanted[:, None, None, None].expand_as(images))
        assert sorted(targets.others.tolist()) == labels.tolist()
        shares.append(targets.share)
    assert min(shares) < 0.05 and max(shares) > 0.95 and abs(sum(shares) / 200 - 0.5) < 0.08  # Beta(1, 1)


def test_the_loss_of_a_mixture_is_that_of_soft_labels():
    scores, labels, others = torch.randn(5, 7), torch.randint(7, (5,)), torch.randint(7, (5,))
    soft = 0.3 * one_hot(labels, 7) + 0.7 * one_hot(others, 7)
    targets = Targets(labels, others, 0.3)
    torch.testing.assert_close(targets.loss(scores), cross_entropy(scores, soft))
    best = scores.argmax(1)
    wrong = 0.3 * (best != labels).sum() + 0.7 * (best != others).sum()
    assert targets.wrong(scores).item() == pytest.approx(wrong.item())


def test_a_training_with_mixup_learns(data):
    assert run(data, replace(RECIPE, mixup=1.0), "6epochs").test_error == 0


# -- which weights are reported ------------------------------------------------------------------------


def test_votes_are_mean_probabilities():
    """Against models that were loaded with each set of weights in turn."""
    nets = []
    for seed in range(3):
        torch.manual_seed(seed)
        nets.append(
            explorer.build("cifar_resnet(n=1, widths=[4,4,8]) + mssar(1, 2)", input=SMALL, classes=5, layers="balanced")
        )
        nets[-1](torch.randn(16, *SMALL))  # running statistics of its own
    images, labels = torch.randn(40, *SMALL), torch.randint(5, (40,))
    chances = torch.stack([net.eval()(images).softmax(1) for net in nets]).mean(0).detach()
    batches = list(zip(images.split(16), labels.split(16), strict=True))
    loss, error = evaluate(nets[0], batches, [copied(net) for net in nets])
    assert loss == pytest.approx(-chances[range(40), labels].log().mean().item(), rel=1e-5)
    assert error == (chances.argmax(1) != labels).double().mean().item()
    assert evaluate(nets[0], batches, [copied(nets[0])]) == pytest.approx(evaluate(nets[0], batches))


def test_snapshots_vote_at_the_end(data, tmp_path):
    recipe = replace(RECIPE, cycles=3, reports="snapshots", lr=0.02)
    outcome = run(data, recipe, "3epochs", weights=tmp_path / "weights.safetensors")
    tensors, _ = load(tmp_path / "weights.safetensors")
    votes = [under(f"vote{number}", tensors) for number in range(3)]
    assert sum(map(len, votes)) == len(tensors)
    chances = []
    for weights in votes:
        model = explorer.build(NET, input=data.shape, classes=2)
        model.load_state_dict(weights)
        with torch.no_grad():
            chances.append(model.eval()(torch.from_numpy(data.test.images)).softmax(1))
    assert not torch.equal(chances[0], chances[1]) and not torch.equal(chances[1], chances[2])
    labels = torch.from_numpy(data.test.labels)
    mean = torch.stack(chances).mean(0)
    assert outcome.test_error == pytest.approx((mean.argmax(1) != labels).double().mean().item())
    assert outcome.test_loss == pytest.approx(-mean[range(len(labels)), labels].log().mean().item(), rel=1e-4)


def test_the_best_epoch_of_the_first_part_is_reported(data):
    recipe = replace(RECIPE, lr=0.3, milestones=(), reports="best", within=0.5)
    outcome = run(data, recipe, "10epochs")
    first, all_errors = outcome.history[:5], [epoch.validation_error for epoch in outcome.history]
    lowest = min(epoch.validation_error for epoch in first)
    assert outcome.validation_error == lowest
    final = run(data, replace(recipe, reports="final"), "10epochs")
    assert [epoch.validation_error for epoch in final.history] == all_errors
    assert final.validation_error == all_errors[-1]


def test_a_budget_without_a_first_part_reports_the_last_weights(data):
    outcome = run(data, replace(RECIPE, reports="best", within=0.5), "1epoch")
    assert outcome.validation_error == outcome.history[0].validation_error


# -- number formats and torch's switches ---------------------------------------------------------------


def test_words_of_an_execution_are_checked():
    assert Execution().check() == Execution("balanced", "fp32")
    for layers in LAYERS:
        assert explorer.build(NET, layers=layers)  # nn knows the same words
    with pytest.raises(UserError, match=r"--layers.*did you mean 'lean'"):
        Execution(layers="leen").check()
    with pytest.raises(UserError, match=r"--dtype: there is no 'bf61'"):
        Execution(dtype="bf61").check()
    assert set(DTYPES) == set(precision.TYPES)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_convolutions_compute_in_the_chosen_numbers_and_weights_stay_single(data, tmp_path, monkeypatch, dtype):
    seen = []
    build = explorer.build

    def watched(*arguments, **more):
        model = build(*arguments, **more)
        convolution = next(module for module in model.modules() if isinstance(module, torch.nn.Conv2d))
        convolution.register_forward_hook(lambda module, inputs, output: seen.append((output.dtype, module.training)))
        return model

    monkeypatch.setattr(explorer, "build", watched, raising=False)
    outcome = run(data, budget="4epochs", execution=Execution(dtype=dtype), weights=tmp_path / "weights.safetensors")
    assert outcome.test_error == 0
    assert set(seen) == {(precision.TYPES[dtype], True), (precision.TYPES[dtype], False)}
    tensors, _ = load(tmp_path / "weights.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32, torch.int64}


def test_gradients_that_are_not_finite_cost_a_step_in_fp16():
    weight = torch.nn.Parameter(torch.ones(2))
    optimiser, numbers = torch.optim.SGD([weight], lr=1.0), precision.Precision("cpu", "fp16")
    scale = numbers.scaler.get_scale()
    numbers.step((weight * torch.tensor([1.0, float("inf")])).sum(), optimiser)
    assert weight.tolist() == [1, 1] and numbers.scaler.get_scale() == scale / 2
    optimiser.zero_grad()
    numbers.step((weight * torch.tensor([1.0, 0.5])).sum(), optimiser)
    assert weight.tolist() == [0, 0.5]


def test_substitutes_learn_what_the_reference_learns(data):
    net = "cifar_resnet(n=1, widths=[4,4,8]) + mssar(1, 2)"
    losses = {}
    for layers in LAYERS:
        outcome = run(data, replace(RECIPE, lr=0.01), "2epochs", Execution(layers), net)
        losses[layers] = [epoch.train_loss for epoch in outcome.history]
    assert losses["balanced"] == pytest.approx(losses["reference"], rel=1e-3)
    assert losses["lean"] == pytest.approx(losses["reference"], rel=1e-3)


def test_torch_is_put_back_as_it_was(data):
    def switches():
        return (
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.benchmark,
        )

    before, inside = switches(), []
    run(data, budget="1epoch", execution=Execution(deterministic=True), progress=lambda _: inside.append(switches()))
    assert switches() == before
    assert set(inside) == {(1, True, False)}


@pytest.mark.slow
def test_a_compiled_network_learns_the_same(data):
    plain, compiled = (
        run(data, replace(RECIPE, lr=0.01), "2epochs", Execution("reference", compile=compile))
        for compile in (False, True)
    )
    losses = [[epoch.train_loss for epoch in outcome.history] for outcome in (plain, compiled)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


# -- what stops a training -----------------------------------------------------------------------------


def test_flops_are_what_was_paid_for(data):
    macs = training_macs(explorer.expand(NET, input=data.shape, classes=2)).total
    outcome = run(data, budget=f"{2 * macs * 100}flops")  # 100 images: an epoch of 64, and two batches of 16
    assert (outcome.steps, len(outcome.history)) == (6, 2)
    with pytest.raises(UserError, match=r"--budget: .* less than one step"):
        run(data, budget="10flops")


def test_a_lost_loss_ends_the_epoch_early(data, monkeypatch):
    monkeypatch.setattr(loop, "LOST_STEPS", 2)
    outcome = run(data, replace(RECIPE, lr=1e30))
    assert (outcome.status, outcome.steps) == ("diverged", 2)
    assert outcome.message == "the loss was not finite in epoch 1"


def test_out_of_memory_is_an_outcome_with_its_epoch_and_the_batch_it_had(data, monkeypatch):
    """The size that is asked for is refused by the allocator itself."""
    step = loop._Training.step

    def greedy(self, images, labels):
        step(self, images, labels)
        if self.state.steps == 6:
            torch.empty(2**60)

    monkeypatch.setattr(loop._Training, "step", greedy)
    outcome = run(data)
    assert (outcome.status, outcome.steps, len(outcome.history)) == ("failed", 6, 1)
    assert outcome.message.startswith("out of memory: ")
    assert outcome.message.endswith(" (in epoch 2, after 6 steps; batches of 16)")
    assert outcome.test_error is outcome.train_error is None


def test_other_errors_are_no_want_of_memory(data, monkeypatch):
    def broken(self, images, labels):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(loop._Training, "step", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        run(data)
    assert out_of_memory(RuntimeError("shapes do not match")) is None
    assert (
        out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to\nallocate"))
        == "CUDA out of memory. Tried to"
    )
    assert out_of_memory(MemoryError())


# -- what a look tells ---------------------------------------------------------------------------------


def test_a_meter_tells_speed_share_and_time_left():
    times = iter([0.0, 10.0, 20.0])
    meter = Meter(lambda: next(times), macs=50, peak_flops=1000.0)
    meter.trained(40)
    first = meter.look(0.25, 1, 2.0, 0.5, None, None)
    assert (first.images_per_second, first.flops_per_second, first.peak_share) == (4.0, 400.0, 0.4)
    assert first.seconds_left is None
    meter.trained(40)
    record = EpochRecord(1, 1.0, 0.1, 2.0, 0.5, 2.0, 0.5)
    second = meter.look(0.5, 2, None, None, record, "the disk is full")
    assert second.seconds_left == pytest.approx(20.0)  # a quarter of the budget in ten seconds
    assert (second.images_per_second, second.latest, second.notice) == (4.0, record, "the disk is full")


def test_a_meter_forgets_old_speeds_and_knows_no_peak():
    clock = [0.0]
    meter = Meter(lambda: clock[0], macs=1, peak_flops=None)
    for look in range(100):
        clock[0] += 1
        meter.trained(1 if look < 50 else 10)
        status = meter.look(look / 100, 1, None, None, None, None)
    assert WINDOW < 50
    assert (status.images_per_second, status.peak_share) == (10.0, None)


def test_a_meter_leaves_out_what_is_read_and_counts_it_into_the_time_left():
    """40 images a second in steps; a read image takes half of a second."""
    clock = [100.0]
    meter = Meter(lambda: clock[0], macs=1, peak_flops=None, final_images=60)

    def look(fraction):
        return meter.look(fraction, 1, None, None, None, None)

    def read(images, final):
        with meter.reading():
            clock[0] += images / 4
            halfway = look(1.0 if final else 0.5)
            clock[0] += images / 4
            meter.read(images, final)
        return halfway

    assert look(0.0).seconds_left is None
    clock[0] += 10
    meter.trained(400)
    assert look(0.25).seconds_left == pytest.approx(30 + 60 / 3 / 40)  # nothing read: the forward pass of a step
    clock[0] += 10
    meter.trained(400)
    assert read(20, final=False).images_per_second == 40
    after = look(0.5)
    assert (after.images_per_second, after.seconds_left) == (40, pytest.approx(30 + 60 / 2))
    clock[0] += 20
    meter.trained(800)
    assert look(1.0).seconds_left == pytest.approx(60 / 2)
    assert read(40, final=True).images_per_second == 40
    assert look(1.0).seconds_left == pytest.approx(20 / 2)


def test_a_process_that_finds_all_steps_done_knows_what_is_left_to_read():
    clock = [0.0]
    meter = Meter(lambda: clock[0], macs=1, peak_flops=None, final_images=30)
    with meter.reading():
        clock[0] += 5
        meter.read(10, final=True)
    assert meter.look(1.0, 3, None, None, None, None).seconds_left == pytest.approx(10)


@pytest.mark.parametrize("recipe", [RECIPE, replace(RECIPES["snapshot-cifar"], batch=16, cycles=3)])
def test_all_final_images_are_read_and_nothing_is_left(data, recipe, monkeypatch):
    meters = []
    monkeypatch.setattr(loop, "Meter", lambda *arguments: meters.append(Meter(*arguments)) or meters[0])
    run(data, recipe)
    assert meters[0].to_read == 0
    assert meters[0].images_read == 3 * 32 + (64 + 32 + 48) * max(1, recipe.cycles)


def test_looks_are_rare_and_tell_of_the_running_epoch(data):
    """On this clock a step takes a quarter of a second or more, so that about every second one is told."""
    now, told = [0.0], []

    def clock():
        now[0] += 0.05
        return now[0]

    outcome = run(data, progress=told.append, clock=clock)
    assert outcome.steps > len(told) - 4 > 0
    assert [status.fraction for status in told] == sorted(status.fraction for status in told)
    assert told[-1].fraction == 1 and told[-1].latest == outcome.history[-1]
    running = [status for status in told if status.loss is not None]
    assert running and all(0 < status.loss < 10 and 0 <= status.error <= 1 for status in running)
    assert all(status.images_per_second > 0 for status in running)


def test_the_peak_of_a_gpu_is_looked_up_by_its_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    found = shipped_devices()["h100-sxm"]
    assert peak_flops("cuda", "bf16") == found.peak["bf16"]
    assert peak_flops("cuda:1", "fp32") == found.peak_of("fp32", True)[1]
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Voodoo 2")
    assert peak_flops("cuda", "fp32") is None
    assert peak_flops("cpu", "fp32") is None
