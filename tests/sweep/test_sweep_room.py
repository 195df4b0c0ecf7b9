"""Trials wait where those that run leave no room in memory."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import sweep_tasks

import explorer
from explorer.analysis.memory import memory
from explorer.sweep import run
from explorer.sweep.candidates import Candidate, costed
from explorer.sweep.placing import worker_environment
from explorer.sweep.plan import physical_memory_bytes, plan_trials
from explorer.sweep.room import KEPT, PROCESS, RETURNED, Room, free_memory
from explorer.sweep.run import sweep
from explorer.train.budget import parse_budget
from explorer.train.data import load
from explorer.train.execution import USUAL
from explorer.train.recipes import recipe_of

SHORT = "memory is short: fewer trials run at once than there are workers"
SMALL, LARGE = "cifar_resnet(n=1, widths=[2,2,2])", "cifar_resnet(n=1, widths=[64,64,64])"


def planned(*texts, seeds=1, **execution):
    """The trials of these networks on the digits."""
    data = load("digits", None)
    chosen = [costed(Candidate(text, text, None), data.shape, data.classes) for text in texts]
    recipes = [recipe_of(text, None, "other") for text in texts]
    return plan_trials(chosen, data, recipes, seeds, parse_budget("1epoch"), replace(USUAL, **execution))


@pytest.mark.parametrize("layers", ["balanced", "lean"])
def test_a_trial_needs_its_process_and_a_multiple_of_what_is_predicted(layers):
    (trial,) = planned("densenet-bc-100-12", layers=layers)
    graph = explorer.expand("densenet-bc-100-12", input=(3, 32, 32))
    peak = memory(graph, trial.recipe.batch, layers=layers).peak
    kept, returned = PROCESS + int(KEPT * peak), PROCESS + int(RETURNED * peak)
    assert Room(None).need(trial) == Room(2 * kept + 2, 2).need(trial) == kept
    assert Room(2 * kept - 2, 2).need(trial) == Room(1).need(trial) == returned
    assert Room(2 * kept - 2, 2).large(trial) and not Room(2 * kept + 2, 2).large(trial)


@pytest.mark.slow
@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("network", ["gunn15", "densenet-bc-100-12", "preact-resnet164"])
def test_a_process_takes_no_more_than_its_trial_is_said_to_need(network, keeps, tmp_path):
    (trial,) = planned(network)
    payload = trial.payload("cpu") | {"time_limit": 12, "keeps_memory": keeps}
    program = (
        "import json, resource, sys; from explorer.sweep.task import run_trial;"
        "run_trial(json.loads(sys.argv[1])); print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    command = [sys.executable, "-c", program, json.dumps(payload)]
    taken = int(subprocess.run(command, env=os.environ | worker_environment("cpu"), capture_output=True).stdout)
    assert PROCESS / 4 < taken <= Room(None if keeps else 1).need(trial)


def test_alone_a_trial_always_fits_and_beside_others_while_there_is_room():
    small, large = planned(SMALL, LARGE)
    both = Room(0).need(small) + Room(0).need(large)
    assert Room(0).fits(large, [])
    assert Room(both, 9).fits(large, [small]) and not Room(both - 1, 9).fits(large, [small])
    assert Room(None).fits(large, [large] * 1000)


def test_a_trial_that_may_be_killed_is_announced():
    (large,) = planned(LARGE)
    need = Room(0).need(large)
    assert Room(need).warning(large) is None and Room(None).warning(large) is None
    text = Room(need // 2).warning(large)
    assert text.startswith(f"{LARGE} may need {need / 1e9:.1f} GB") and text.endswith("; --lean may take less")
    assert "--lean" not in Room(1).warning(*planned(LARGE, layers="lean"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_free_memory_is_less_than_there_is():
    total = physical_memory_bytes()
    assert 0 < free_memory() < total


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    """Sweeps of six trials by three workers that only pretend: how many ran at once, and what was told."""
    sweep_tasks.install_blank_data()
    monkeypatch.setattr(run, "TASK", "sweep_tasks:pretend")
    monkeypatch.setenv("PRETEND_LOG", str(tmp_path / "log"))

    def pretend(free):
        monkeypatch.setattr(run, "free_memory", lambda: free)
        events = []
        sweep([SMALL, LARGE], None, seeds=3, data="blank", workers=3, workspace=tmp_path / "w", progress=events.append)
        return max(event.running for event in events), [event.notice for event in events if event.notice]

    return pretend


def test_where_memory_is_short_trials_run_one_after_another_and_each_network_is_named_once(pretended):
    running, notices = pretended(1)
    assert running == 1
    named = [notice.partition(" may need")[0] for notice in notices if " may need" in notice]
    assert sorted(named) == sorted([SMALL, LARGE])
    assert [notice for notice in notices if " may need" not in notice] == [SHORT]


def test_where_it_is_not_they_run_at_once(pretended):
    assert pretended(10**12) == (3, [])
