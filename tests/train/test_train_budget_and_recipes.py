"""Budgets and recipes: what is read, what is refused, and each paper's own settings and schedule."""

import json
import re
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import explorer
from explorer.analysis.training import training_macs
from explorer.catalog.methods import methods
from explorer.errors import UserError
from explorer.train.budget import FULL, LIMITS, Budget, parse_budget, steps_per_epoch
from explorer.train.recipes import (
    RECIPES,
    SETTINGS,
    epochs_of,
    kind_of,
    recipe_for,
    recipe_from,
    recipe_named,
    recipe_of,
)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("5epochs", Budget(5, "epochs")),
        ("1epoch", Budget(1, "epochs")),
        (" 20 epochs ", Budget(20, "epochs")),
        ("60s", Budget(60, "s")),
        ("90 s", Budget(90, "s")),
        ("2e15flops", Budget(2 * 10**15, "flops")),
        ("1.5e3 FLOPs", Budget(1500, "flops")),
        ("123456flops", Budget(123456, "flops")),
        ("1e2epochs", Budget(100, "epochs")),
        ("1.5e1s", Budget(15, "s")),
        ("full", FULL),
    ],
)
def test_budgets_are_read(text, budget):
    assert parse_budget(text) == budget


@given(st.sampled_from(sorted(LIMITS)), st.integers(min_value=1, max_value=100_000))
def test_a_budget_prints_as_it_is_read(unit, amount):
    budget = Budget(amount, unit)
    assert parse_budget(str(budget)) == budget


@given(st.integers(min_value=1, max_value=10**24))
def test_no_digit_of_flops_is_lost(amount):
    budget = Budget(amount, "flops")
    if len(str(amount).rstrip("0")) <= 12:
        assert parse_budget(str(budget)) == budget


@pytest.mark.parametrize(
    "text",
    [
        *("", "epochs", "5", "0epochs", "0s", "-1epochs", "1.5s", "5minutes", "1e9epochs", "999999999epochs"),
        *("999999999s", "٣epochs", "5epochs60s", "9" * 5000 + "s"),
        *("0flops", "1.5flops", "1e25flops", "1e99flops", "e5flops", "flops", "-2e3flops", "infflops", "1e400flops"),
        *("fullepochs", "2full", "0.5epochs", "1.05e1s"),
    ],
)
def test_other_budgets_are_refused_by_name(text):
    with pytest.raises(UserError, match="--budget") as caught:
        parse_budget(text)
    assert len(str(caught.value)) < 300


@given(st.integers(2, 500), st.integers(2, 600), st.integers(1, 10**6), st.integers(1, 50))
def test_flops_buy_as_many_whole_steps_as_they_pay_for(images, batch, macs, steps):
    """The oracle counts batch by batch."""
    price, done, spent = 2 * macs, 0, 0
    epoch = [min(batch, images - start) for start in range(0, images, batch)]
    epoch = epoch[:-1] if len(epoch) > 1 and epoch[-1] == 1 else epoch
    assert steps_per_epoch(images, batch) == len(epoch)
    while done < steps:
        spent += epoch[done % len(epoch)] * price
        done += 1
    assert Budget(spent, "flops").steps(images, batch, macs) == steps
    if steps > 1:
        assert Budget(spent - 1, "flops").steps(images, batch, macs) == steps - 1


def test_equal_flops_train_a_costlier_network_for_fewer_steps():
    budget = parse_budget("2e12flops")
    steps = {}
    for name in ("resnet20", "resnet56"):
        macs = training_macs(explorer.expand(name)).total
        steps[name] = budget.steps(45_000, 128, macs)
        assert 0.9 < 2 * macs * 128 * steps[name] / 2e12 <= 1
    assert steps["resnet20"] > 2.5 * steps["resnet56"]


def test_flops_for_less_than_a_step_are_refused_with_the_price_of_one():
    macs = training_macs(explorer.expand("resnet20")).total
    with pytest.raises(UserError, match="--budget: 1e9flops is less than one step") as caught:
        Budget(10**9, "flops").steps(300, 64, macs)
    needed = str(caught.value).rsplit(" ", 1)[1]
    assert parse_budget(needed).steps(300, 64, macs) == 1


def test_seconds_buy_what_time_tells_and_full_is_the_papers_epochs():
    assert Budget(60, "s").steps(300, 64, 1000) is None
    recipe = recipe_for("resnet56", "cifar")
    assert FULL.of(epochs_of(recipe)) == Budget(160, "epochs")
    assert parse_budget("5epochs").of(160) == Budget(5, "epochs")


# -- what the papers print ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "data", "epochs", "batch", "lr", "drops", "nesterov"),
    [
        ("resnet56 + mssar(1, 2, 4)", "cifar", 160, 128, 0.1, (80, 120), True),  # MS-SAR 4.1
        ("densenet-bc-100-12", "cifar", 300, 64, 0.1, (150, 225), True),  # MS-SAR 4.1
        ("resnext50-32x4d", "imagenet", 100, 1024, 0.6, (30, 60, 90), True),  # MS-SAR 4.3
        ("seqresnet(k=8, r=4, N=1)", "cifar", 300, 64, 0.1, (150, 225), True),  # SeqConv 4.2
        ("seqresnet-b22", "imagenet", 100, 256, 0.1, (30, 60, 90), True),  # SeqConv 4.2
        ("gunn15", "cifar", 300, 64, 0.1, (150, 225), False),  # GUNN 6.2
        ("wide-gunn18", "imagenet", 90, 256, 0.1, (30, 60), False),  # GUNN 6.2
    ],
)
def test_each_papers_settings(network, data, epochs, batch, lr, drops, nesterov):
    recipe = recipe_for(network, data)
    assert (epochs_of(recipe), recipe.batch, recipe.nesterov) == (epochs, batch, nesterov)
    assert (recipe.weight_decay, recipe.momentum, recipe.dampening) == (1e-4, 0.9, 0)
    for epoch in range(epochs):
        assert recipe.lr_at(epoch / epochs) == pytest.approx(lr / 10 ** sum(epoch >= drop for drop in drops))


@pytest.mark.parametrize(
    ("network", "epochs", "batch", "lr", "drops", "decay", "weight_decay", "nesterov"),
    [
        ("wrn-28-10", 200, 128, 0.1, (60, 120, 160), 0.2, 5e-4, True),
        ("resnext29-8x64d", 300, 128, 0.1, (150, 225), 0.1, 5e-4, True),
        ("preact-resnet164", 164, 128, 0.1, (82, 123), 0.1, 1e-4, False),
        ("resnet110-sd", 500, 128, 0.1, (250, 375), 0.1, 1e-4, True),
        ("resnet1202-sd", 300, 128, 0.1, (150, 225), 0.1, 1e-4, True),
        ("pyramidnet-164-a270", 300, 128, 0.1, (150, 225), 0.1, 1e-4, True),
        ("sparsenet-40-24", 300, 64, 0.1, (150, 225), 0.1, 1e-4, True),
    ],
)
def test_the_settings_of_what_was_trained_otherwise(network, epochs, batch, lr, drops, decay, weight_decay, nesterov):
    recipe = recipe_for(network, "cifar")
    assert (epochs_of(recipe), recipe.batch, recipe.nesterov) == (epochs, batch, nesterov)
    assert (recipe.weight_decay, recipe.momentum, recipe.dampening) == (weight_decay, 0.9, 0)
    for epoch in range(epochs):
        assert recipe.lr_at(epoch / epochs) == pytest.approx(lr * decay ** sum(epoch >= drop for drop in drops))


def test_shake_shake_differs_between_the_two_cifars():
    """Half a cosine from a rate that is in proportion to the batch."""
    for network, batch, lr, weight_decay in (
        ("shakeshake-26-2x96d", 128, 0.2, 1e-4),
        ("shakeshake-29-2x4x64d", 32, 0.025, 5e-4),
    ):
        recipe = recipe_for(network, "cifar")
        assert (epochs_of(recipe), recipe.batch, recipe.weight_decay) == (1800, batch, weight_decay)
        assert [recipe.lr_at(part) for part in (0, 0.5)] == pytest.approx([lr, lr / 2])
        assert recipe.lr_at(1 - 1e-6) < 1e-6


def test_which_error_each_paper_reports():
    assert recipe_for("seqresnet-b22", "imagenet").reports == "best"
    assert recipe_for("seqresnet-b22", "imagenet").within == pytest.approx(0.9)
    for depth in (110, 1202):
        recipe = recipe_for(f"resnet{depth}-sd", "cifar")
        assert (recipe.reports, recipe.within) == ("best", 1)
    runs = {"resnet32": 3, "wrn-28-10": 5, "resnext29-8x64d": 10, "densenet100": 1}
    assert {network: SETTINGS[recipe_for(network, "cifar").name].runs for network in runs} == runs
    others = ("ms-sar-cifar-resnet", "ms-sar-cifar-densenet", "seqconv-cifar", "gunn-cifar", "gunn-imagenet")
    assert {RECIPES[name].reports for name in others} == {"final"}


@pytest.mark.parametrize(
    ("network", "dropouts", "zeros"),
    [
        ("seqresnet(k=8, r=2, N=1)", 3 * 2 + 2 + 1, r"stage\d\.layer2\.group\d+\.conv"),  # blocks, extensions, last 1x1
        ("seqresnet-b22", 0, r"stage\d(\.seq_block\d)?\.layer2\.group\d+\.conv2"),  # the last of a group's two
        ("gunn15", 0, None),
    ],
)
def test_dropout_and_zeros_to_begin_with_are_the_networks(network, dropouts, zeros):
    """SeqConv 4.2: on CIFAR before the last 1x1 and each layer but the first; zero: a residual block's second layer."""
    model = explorer.build(network)
    assert sum(isinstance(layer, nn.Dropout) for layer in model.modules()) == dropouts
    empty = {name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d) and not layer.weight.any()}
    wanted = {name for name, _ in model.named_modules() if zeros and re.fullmatch(zeros, name)}
    assert empty == wanted and bool(empty) == bool(zeros)


def test_every_training_method_of_the_tables_has_a_recipe():
    for method in methods().values():
        kind = "mixup" if method.name == "mixup" else "snapshot"
        recipe = RECIPES[f"{kind}-cifar"]
        assert recipe.mixup == 1 if kind == "mixup" else recipe.cycles == method.copies


def test_the_schedule_of_our_own_data_divides_by_ten_at_half_and_three_quarters():
    recipe = RECIPES["nesterov"]
    rates = [recipe.lr_at(epoch / 300) for epoch in (0, 149, 150, 224, 225, 299)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_a_cosine_begins_anew_in_each_cycle():
    recipe = replace(RECIPES["snapshot-cifar"], cycles=3)
    steps = 3 * 7
    rates = [recipe.lr_at(step / steps) for step in range(steps)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[7:14] == pytest.approx(rates[:7])
    assert rates[14:] == pytest.approx(rates[:7])
    assert rates[:7] == sorted(rates[:7], reverse=True)
    assert [recipe.cycle_at(step / steps) for step in (0, 6, 7, 13, 14, 21)] == [0, 0, 1, 1, 2, 3]


@pytest.mark.parametrize("network", ["gunn15", "sunn24 + mssar(1)", "wide-gunn18", "gunn15-nores", "my.arch:gunn"])
def test_gunn_has_plain_momentum_without_dampening(network):
    recipe = recipe_for(network)
    assert (recipe.nesterov, recipe.momentum, recipe.dampening) == (False, 0.9, 0.0)


@pytest.mark.parametrize("network", ["resnet20", "resnet20 + gunn(parts=4)", "seqresnet(k=8, r=4, N=1)", "", "{gap}"])
def test_others_have_nesterov_momentum(network):
    assert recipe_for(network).nesterov


@given(st.text(max_size=60), st.sampled_from(["cifar", "imagenet", "other"]))
def test_every_text_has_a_recipe(network, data):
    assert SETTINGS[recipe_for(network, data).name].data == data


def test_the_kind_of_a_data_set():
    assert kind_of("cifar100", (3, 32, 32)) == "cifar"
    assert kind_of("photographs", (3, 224, 224)) == "imagenet"
    assert kind_of("digits", (3, 32, 32)) == kind_of("context", (3, 32, 32)) == "other"


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_survive_json(name):
    assert recipe_from(json.loads(json.dumps(asdict(RECIPES[name])))) == RECIPES[name]


def test_a_named_recipe_comes_before_the_papers():
    assert recipe_of("gunn15", "nesterov", "cifar").name == "nesterov"
    assert recipe_of("gunn15", None, "cifar").name == "gunn-cifar"


def test_an_unknown_recipe_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"--recipe.*did you mean 'nesterov'"):
        recipe_named("nestrov")
