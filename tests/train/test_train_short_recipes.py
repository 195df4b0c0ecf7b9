"""Every recipe at the shortest budgets, on a network with all that training can be asked for, as far as it is small."""

import pytest
from stripes import striped
from typer.testing import CliRunner

import explorer
from explorer.analysis.training import training_macs
from explorer.cli.app import app
from explorer.nn.fast import allocator
from explorer.train.budget import parse_budget, steps_per_epoch
from explorer.train.execution import USUAL
from explorer.train.loop import Host, train
from explorer.train.recipes import RECIPES

IMAGES = 300  # as of the digits
NETWORK = """network small(classes = 2) {
  input 3x8x8
  conv(3x3, 4), bn, relu, auxiliary(0.3) { gap, linear(classes) }
  add { conv(3x3, 4), bn, droppath(0.5) | it }
  shake { conv(3x3, 4), bn | conv(3x3, 4), bn }
  relu, dropout(0.1), gap, linear(classes)
}
"""


@pytest.fixture(scope="module")
def data():
    return striped(train=IMAGES, size=8)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    text = tmp_path_factory.mktemp("network") / "small.arch"
    text.write_text(NETWORK)
    return str(text)


@pytest.mark.parametrize("name", sorted(RECIPES))
@pytest.mark.parametrize("budget", ["1epochs", "flops of a step"])
def test_every_recipe_trains_at_the_shortest_budgets(network, data, name, budget):
    recipe = RECIPES[name]
    if budget == "flops of a step":
        macs = training_macs(explorer.expand(network, input=data.shape, classes=2)).total
        budget = f"{2 * macs * min(recipe.batch, IMAGES) + 1}flops"
        wanted = 1
    else:
        wanted = steps_per_epoch(IMAGES, recipe.batch)
    outcome = train(network, data, parse_budget(budget), recipe, 0)
    assert (outcome.status, outcome.steps, len(outcome.history)) == ("done", wanted, 1)
    assert all(0 <= error <= 1 for error in (outcome.train_error, outcome.validation_error, outcome.test_error))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["nesterov", "seqconv-imagenet", "stochastic-depth-cifar", "snapshot-cifar", "mixup-cifar"]
)
def test_a_second_is_a_budget_too(network, data, name):
    """Each kind of recipe: the last weights, the best of 90 epochs, of all, votes, mixtures."""
    told = []
    outcome = train(network, data, parse_budget("1s"), RECIPES[name], 0, USUAL, Host(progress=told.append))
    assert (outcome.status, told[-1].fraction, told[-1].epoch) == ("done", 1, len(outcome.history))
    assert outcome.steps >= 1 and outcome.seconds >= 1


def test_the_command_keeps_freed_memory_on_the_cpu(tmp_path, monkeypatch):
    """As the workers of a sweep do: a tenth of the time of a small network."""
    kept = []
    monkeypatch.setattr(allocator, "keep_freed_memory", lambda: kept.append(True))
    command = ["train", "cifar_resnet(n=1, widths=[2,2,2])", "--budget", "1epochs", "--workspace", str(tmp_path)]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    assert kept == [True]
