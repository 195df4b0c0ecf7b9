"""Budgets and recipes: what is read, what is refused, and the schedule of the papers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import UserError
from explorer.train.budget import LIMITS, Budget, parse_budget
from explorer.train.recipes import RECIPES, recipe_for, recipe_named


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("5epochs", Budget(5, "epochs")),
        ("1epoch", Budget(1, "epochs")),
        (" 20 epochs ", Budget(20, "epochs")),
        ("60s", Budget(60, "s")),
        ("90 s", Budget(90, "s")),
    ],
)
def test_budgets_are_read(text, budget):
    assert parse_budget(text) == budget


@given(st.sampled_from(sorted(LIMITS)), st.integers(min_value=1, max_value=100_000))
def test_a_budget_prints_as_it_is_read(unit, amount):
    budget = Budget(amount, unit)
    assert parse_budget(str(budget)) == budget


@pytest.mark.parametrize(
    "text",
    [
        *("", "epochs", "5", "0epochs", "0s", "-1epochs", "1.5s", "5minutes", "1e9epochs", "999999999epochs"),
        *("999999999s", "٣epochs", "5epochs60s", "9" * 5000 + "s"),
    ],
)
def test_other_budgets_are_refused_by_name(text):
    with pytest.raises(UserError, match="--budget") as caught:
        parse_budget(text)
    assert len(str(caught.value)) < 300


def test_the_schedule_divides_by_ten_at_half_and_three_quarters():
    recipe = RECIPES["nesterov"]
    rates = [recipe.lr_at(epoch / 300) for epoch in (0, 149, 150, 224, 225, 299)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


@pytest.mark.parametrize("network", ["gunn15", "sunn24 + mssar(1)", "wide-gunn18", "gunn15-nores"])
def test_gunn_has_plain_momentum_without_dampening(network):
    recipe = recipe_for(network)
    assert (recipe.nesterov, recipe.momentum, recipe.dampening) == (False, 0.9, 0.0)


@pytest.mark.parametrize("network", ["resnet20", "resnet20 + gunn(parts=4)", "seqresnet(k=8, r=4, N=1)"])
def test_others_have_nesterov_momentum(network):
    assert recipe_for(network).nesterov


def test_an_unknown_recipe_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"--recipe.*did you mean 'nesterov'"):
        recipe_named("nestrov")
