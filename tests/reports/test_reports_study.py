"""What is read from a store: which trials are compared, which are missing, what is kept apart."""

from dataclasses import replace

import pytest
from reports_store import DATA, LARGE, OTHER, SMALL, noisy, trial, write_single, write_sweep

from explorer.errors import UserError
from explorer.reports.study import read
from explorer.sweep.candidates import Candidate, costed
from explorer.sweep.store import Store


def only(workspace, **choice):
    (study,) = read(workspace, **choice).studies
    return study


def test_a_sweep_becomes_one_group_for_each_base_with_plain_first(trouble):
    study = only(trouble)
    assert [group.base for group in study.groups] == [SMALL, LARGE]
    for group in study.groups:
        assert [row.scales for row in group.rows] == [(), (1,), (2,), (1, 2)]
        assert group.plain is group.rows[0] and group.scales == [1, 2]


def test_numbers_are_the_stores(trouble):
    study = only(trouble)
    with Store.read(trouble) as store:
        stored = {trial.id: trial for trial in store.trials()}
    row = study.groups[1].rows[2]
    own = [trial.test_error for trial in stored.values() if trial.network == row.network.digest]
    assert len(own) == 4
    assert row.sample("test_error").mean == pytest.approx(sum(own) / 4)
    assert row.sample("macs").mean == row.network.macs


def test_failed_diverged_and_missing_trials_are_told_apart(trouble):
    study = only(trouble)
    assert {status: study.count(status) for status in ("done", "failed", "diverged")} == {
        "done": 29,
        "failed": 1,
        "diverged": 1,
    }
    assert [(m.text, m.seed) for m in study.missing] == [(f"{SMALL} + mssar(1,2)", 2)]
    (planned,) = (run.planned for run in study.runs)
    assert planned == len(study.trials) + len(study.missing)


def test_what_failed_is_in_no_mean(trouble):
    row = only(trouble).groups[0].rows[1]
    assert sorted(row.by_seed("test_error")) == [0, 2, 3]
    assert row.sample("test_error").n == 3


def test_budgets_and_data_sets_are_never_mixed(tmp_path):
    write_sweep(tmp_path, noisy)
    write_sweep(tmp_path, noisy, budget="60s")
    write_sweep(tmp_path, noisy, data=OTHER)
    studies = read(tmp_path).studies
    assert [(s.data.name, s.budget) for s in studies] == [
        ("digits", "20epochs"),
        ("digits", "60s"),
        ("letters", "20epochs"),
    ]
    assert all(len(study.trials) == 12 for study in studies)


def test_recipes_are_never_mixed(tmp_path):
    write_sweep(tmp_path, noisy)
    write_sweep(tmp_path, noisy, recipe="momentum")
    groups = only(tmp_path).groups
    assert [(group.base, group.recipe) for group in groups] == [(SMALL, "nesterov"), (SMALL, "momentum")]
    assert all(len(row.trials) == 3 for group in groups for row in group.rows)
    assert [group.title for group in groups] == [f"{SMALL} (recipe {name})" for name in ("nesterov", "momentum")]
    labels = [row.label for group in groups for row in group.rows]
    assert len(set(labels)) == len(labels) and labels[0] == f"{SMALL} (recipe nesterov)"


def test_two_versions_of_a_recipe_are_told_apart_by_what_differs(tmp_path):
    write_sweep(tmp_path, noisy, scales=None)
    candidate = costed(Candidate(SMALL, SMALL, None), DATA.shape, DATA.classes)
    older = replace(trial(candidate, 0, 0.3), id="older", recipe={"name": "nesterov", "lr": 0.2})
    with Store.open(tmp_path) as store:
        store.begin_run("train", {"budget": "20epochs", "seed": 0, "data": DATA.name}, [candidate], DATA, ["older"])
        store.record(older, [])
    rows = only(tmp_path).rows
    assert {row.label: len(row.trials) for row in rows} == {
        f"{SMALL} (recipe nesterov, lr=0.1)": 3, f"{SMALL} (recipe nesterov, lr=0.2)": 1
    }  # fmt: skip


def test_a_network_trained_alone_adds_its_seed_to_the_sweep(tmp_path):
    write_sweep(tmp_path, noisy)
    write_single(tmp_path, SMALL, 0.31, seed=9)
    (group,) = only(tmp_path).groups
    assert sorted(group.plain.by_seed("test_error")) == [0, 1, 2, 9]


def test_networks_trained_alone_stand_in_a_group_without_base(tmp_path):
    write_single(tmp_path, SMALL, 0.3)
    write_single(tmp_path, f"{SMALL} + se", 0.3)
    (group,) = only(tmp_path).groups
    assert group.base is None and group.plain is None
    assert [row.text for row in group.rows] == [SMALL, f"{SMALL} + se"]


def test_runs_can_be_chosen(tmp_path):
    first = write_sweep(tmp_path, noisy)
    second = write_sweep(tmp_path, noisy, bases=(LARGE,))
    assert [group.base for group in only(tmp_path, runs=[first]).groups] == [SMALL]
    assert [group.base for group in only(tmp_path, runs=[second]).groups] == [LARGE]
    assert len(only(tmp_path, runs=[]).groups) == 2
    with pytest.raises(UserError, match=r"no run 17; the store has: 1, 2"):
        read(tmp_path, [17])


def test_no_store_and_no_trial_are_said_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match="there is no store"):
        read(tmp_path / "nowhere")
    write_sweep(tmp_path, lambda *_: None)
    with pytest.raises(UserError, match="no trial has ended"):
        read(tmp_path)


def test_networks_not_run_at_all_are_missing_but_in_the_table(tmp_path):
    write_sweep(tmp_path, lambda base, scales, seed: None if scales == (2,) else 0.3 + 0.01 * seed)
    study = only(tmp_path)
    (group,) = study.groups
    assert [row.scales for row in group.rows] == [(), (1,), (2,), (1, 2)]
    assert group.rows[2].sample("test_error").mean is None
    assert {m.text for m in study.missing} == {f"{SMALL} + mssar(2)"} and len(study.missing) == 3
