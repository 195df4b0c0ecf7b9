"""Candidates, their costs, and which trials are the same."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import explorer
from explorer.errors import UserError
from explorer.sweep import plan
from explorer.sweep.candidates import (
    DEFAULT_BASES,
    MAX_SCALES,
    Candidate,
    check_scales,
    costed,
    parse_scales,
    scale_candidates,
)
from explorer.sweep.plan import Trial, check_memory, check_seed, check_seeds, no_answer, plan_trials
from explorer.sweep.progress import Forecast
from explorer.sweep.records import CandidateRecord, NetworkRecord
from explorer.train.budget import Budget
from explorer.train.data import Dataset, Part
from explorer.train.execution import Execution
from explorer.train.recipes import RECIPES

SHAPE = (3, 32, 32)
PART = Part(np.zeros((20, *SHAPE), np.float32), np.zeros(20, np.int64))
DATA = Dataset("blank", PART, PART, PART, 10, SHAPE, "", "")
RECIPE = RECIPES["nesterov"]
TWENTY = Budget(20, "epochs")


def test_each_base_plain_then_every_subset_of_the_scales():
    found = scale_candidates(["a", "b"], [4, 1, 2])
    assert [candidate.text for candidate in found[:8]] == [
        "a",
        *("a + mssar(1)", "a + mssar(2)", "a + mssar(4)"),
        *("a + mssar(1,2)", "a + mssar(1,4)", "a + mssar(2,4)", "a + mssar(1,2,4)"),
    ]
    assert found[0] == Candidate("a", "a", ())
    assert found[7] == Candidate("a + mssar(1,2,4)", "a", (1, 2, 4))
    assert [candidate.base for candidate in found] == ["a"] * 8 + ["b"] * 8


def test_without_scales_the_bases_alone_and_once():
    assert scale_candidates(["a", " b", "a"], None) == [Candidate("a", "a", None), Candidate("b", "b", None)]


@given(st.lists(st.integers(1, 1024), min_size=1, max_size=MAX_SCALES, unique=True))
def test_scales_are_read_as_written(scales):
    assert parse_scales(",".join(map(str, scales))) == tuple(scales)


@given(st.text(alphabet="0123456789,-+. ax", max_size=12))
def test_any_text_is_scales_or_a_clear_refusal(text):
    try:
        scales = parse_scales(text)
    except UserError as error:
        assert str(error).startswith("--scales: ")
    else:
        assert scales and len(set(scales)) == len(scales) and min(scales) >= 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "list of integers"),
        ("1,,2", "list of integers"),
        ("1.5", "list of integers"),
        ("1;2", "list of integers"),
        ("٤", "list of integers"),
        ("9" * 5000, "list of integers"),
        ("0,1", "0 is not a scale"),
        ("-1", "-1 is not a scale"),
        ("1,1025", "1025 is not a scale"),
        ("1,2,1", "1 is given twice"),
        ("1,2,3,4,5,6,7,8,9", "9 scales"),
    ],
)
def test_other_scales_are_refused_by_name(text, what):
    with pytest.raises(UserError, match=f"--scales: .*{what}") as caught:
        parse_scales(text)
    assert len(str(caught.value)) < 300


def test_no_scales_at_all_is_refused():
    with pytest.raises(UserError, match="--scales"):
        check_scales([])


def test_a_candidate_has_its_exact_cost_at_the_datas_size():
    record = costed(Candidate("resnet18", "resnet18", None), SHAPE, 10)  # an ImageNet network
    module = explorer.build("resnet18", input=SHAPE, classes=10)
    assert record.network.params == sum(weight.numel() for weight in module.parameters())
    assert record.network.input == SHAPE
    assert record.network.digest == explorer.expand("resnet18", input=SHAPE, classes=10).digest


def test_a_scale_larger_than_the_map_is_refused_before_anything_runs():
    with pytest.raises(UserError):
        costed(scale_candidates([DEFAULT_BASES[0]], [64])[1], SHAPE, 10)


@pytest.fixture(scope="module")
def candidates():
    return [costed(candidate, SHAPE, 10) for candidate in scale_candidates([DEFAULT_BASES[0]], [1, 2])]


def planned(candidates, seeds=2, recipe=RECIPE, budget=TWENTY, data=DATA):
    return plan_trials(candidates, data, [recipe] * len(candidates), seeds, budget)


def test_all_candidates_of_a_seed_come_before_the_next_seed(candidates):
    trials = planned(candidates, seeds=3)
    assert [trial.seed for trial in trials] == [0] * 4 + [1] * 4 + [2] * 4
    assert [trial.candidate for trial in trials[:4]] == candidates


def test_two_names_of_one_graph_are_one_trial():
    names = ["resnet20", "cifar_resnet(n=3)", "cifar_resnet(n = 3, widths = [16, 32, 64])"]
    same = [costed(candidate, SHAPE, 10) for candidate in scale_candidates(names, None)]
    assert len(planned(same, seeds=1)) == 1


def test_whatever_can_change_the_result_changes_the_identity(candidates):
    other_data = replace(DATA, test=Part(PART.images + 1, PART.labels))
    groups = [
        planned(candidates),
        planned(candidates, recipe=replace(RECIPE, lr=0.05)),
        planned(candidates, recipe=replace(RECIPE, milestones=(0.5,))),
        planned(candidates, budget=Budget(20, "s")),
        planned(candidates, budget=Budget(21, "epochs")),
        planned(candidates, data=other_data),
        planned(candidates, data=replace(DATA, name="other")),
    ]
    identities = [trial.id for group in groups for trial in group]
    assert len(set(identities)) == len(identities) == 7 * 8


@pytest.mark.parametrize(
    ("execution", "id_before"),
    [
        (Execution(), "b9ebdd8ca12e0fcba4b7d876f27f15e2189bb379a0c8c4b7a0ff1c8d4b5f66d4"),
        (
            Execution("reference", "bf16", True, True, 2),
            "9464696c2eb7741cd5d3028701e87b61b2b8d420058e50adb72fef429614d8f6",
        ),
    ],
)
def test_what_observes_nothing_is_the_trial_that_it_was_before_anything_could_be_observed(execution, id_before):
    network = NetworkRecord("digest", "net", "net", (3, 32, 32), 1, 2, 3, 4, 5)
    trial = Trial(CandidateRecord("net", "net", None, network), "digits", "print", RECIPE, 7, Budget(2, "epochs"))
    assert replace(trial, execution=execution).id == id_before
    assert "observe" not in replace(trial, execution=execution).payload("cpu")["execution"]
    observing = replace(trial, execution=replace(execution, observe=("channel-pairs",)))
    assert observing.id != id_before
    assert Execution(**json.loads(json.dumps(observing.payload("cpu")))["execution"]) == observing.execution


def test_the_identity_is_the_same_in_another_process(candidates):
    """Hashes of sets and strings differ between processes; this one must not."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_sweep_plan as t; import json;"
        "c = [t.costed(x, t.SHAPE, 10) for x in t.scale_candidates([t.DEFAULT_BASES[0]], [1, 2])];"
        "print(json.dumps([trial.id for trial in t.planned(c)]))"
    )
    folder = __file__.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [trial.id for trial in planned(candidates)]


def test_the_forecast_goes_by_multiply_adds_and_workers(candidates):
    now = [0.0]
    small, large = planned(candidates[:1], seeds=1)[0], planned(candidates[3:], seeds=1)[0]
    forecast = Forecast([small, large], workers=2, clock=lambda: now[0])
    forecast.started(small)
    assert forecast.seconds_left() is None
    now[0] = 10.0
    forecast.ended(small)
    ratio = large.candidate.network.macs / small.candidate.network.macs
    assert forecast.seconds_left() == pytest.approx(10 * ratio / 2)
    forecast.started(large)
    now[0] = 14.0
    assert forecast.seconds_left() == pytest.approx((10 * ratio - 4) / 2)
    forecast.ended(large)
    assert forecast.seconds_left() == 0


@pytest.mark.parametrize(
    ("budgets", "which", "ratio"),
    [
        ((Budget(20, "s"), Budget(20, "s")), 3, 1),
        ((Budget(10**12, "flops"), Budget(10**12, "flops")), 3, 1),
        ((Budget(20, "epochs"), Budget(60, "epochs")), 0, 3),  # full, by two recipes
    ],
)
def test_the_forecast_goes_by_what_a_budget_makes_of_a_network(candidates, budgets, which, ratio):
    now = [0.0]
    first, other = (planned([candidates[at]], 1, budget=one)[0] for at, one in zip((0, which), budgets, strict=True))
    forecast = Forecast([first, other], workers=1, clock=lambda: now[0])
    forecast.started(first)
    now[0] = 10.0
    forecast.ended(first)
    assert forecast.seconds_left() == pytest.approx(10 * ratio)


def test_a_trial_without_an_answer_is_recorded_as_failed(candidates):
    trial = planned(candidates)[0]
    record, history, observations = trial.ended(no_answer("2020-01-01T00:00:00", "killed twice"))
    assert (record.id, record.status, record.message) == (trial.id, "failed", "killed twice")
    assert history == observations == ()
    assert record.test_error is record.seconds is record.best_epoch is None


@pytest.mark.parametrize("seeds", [0, -1, 1001, 10**30])
def test_seeds_out_of_range_are_refused_by_name(seeds):
    with pytest.raises(UserError, match="--seeds"):
        check_seeds(seeds)


@pytest.mark.parametrize("seed", [-1, 2**32, 10**30])
def test_a_seed_out_of_range_is_refused_by_name(seed):
    with pytest.raises(UserError, match="--seed"):
        check_seed(seed)


def test_a_network_larger_than_memory_is_refused_by_name(candidates, monkeypatch):
    need = 4 * (3 * candidates[0].network.params + 64 * candidates[0].network.activations)
    monkeypatch.setattr(plan, "physical_memory_bytes", lambda: need)
    check_memory(candidates[:1], 64)
    monkeypatch.setattr(plan, "physical_memory_bytes", lambda: need - 1)
    with pytest.raises(UserError, match=r"cifar_resnet.* needs at least 0 GiB"):
        check_memory(candidates[:1], 64)
