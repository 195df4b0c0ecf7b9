"""Sweeps from end to end, with workers that really train; nothing but what is missing is run."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest
import sweep_tasks
from safetensors.torch import load_file

from explorer.errors import UserError
from explorer.reports.study import read
from explorer.sweep import run
from explorer.sweep.claims import Claims
from explorer.sweep.engine import usable_cores
from explorer.sweep.placing import worker_environment
from explorer.sweep.progress import Progress
from explorer.sweep.run import sweep, train_one
from explorer.sweep.store import Store
from explorer.train.files import checkpoint_of
from explorer.train.outcome import FAILED, Outcome
from explorer.train.recipes import recipe_of

TINY = "cifar_resnet(n=1, widths=[2,2,2])"
SHORT = {"budget": "1epoch", "workers": 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished sweep over the digits, really trained: its workspace, result and events."""
    workspace = tmp_path_factory.mktemp("finished")
    events: list[Progress] = []
    result = sweep([TINY], [1, 2], seeds=2, workspace=workspace, progress=events.append, **SHORT)
    return workspace, result, events


def test_every_candidate_is_trained_under_every_seed(finished):
    _, result, events = finished
    assert [candidate.scales for candidate in result.candidates] == [(), (1,), (2,), (1, 2)]
    trained = sorted((trial.network, trial.seed) for trial in result.trials)
    assert trained == sorted((c.network.digest, seed) for c in result.candidates for seed in (0, 1))
    assert {trial.status for trial in result.trials} == {"done"}
    assert all(0 < trial.test_error < 1 and trial.steps == 5 for trial in result.trials)
    ended = [event for event in events if event.ended]
    assert [event.done for event in ended] == list(range(1, 9))
    assert {event.total for event in events} == {8}
    assert ended[-1].eta_seconds == 0


def test_the_same_again_runs_nothing(finished, monkeypatch):
    workspace, result, _ = finished
    monkeypatch.setattr(run, "TASK", "no_such_module:task")
    again = sweep([TINY], [1, 2], seeds=2, workspace=workspace, **SHORT)
    assert again.found == 8
    assert (again.run, again.trials) == (result.run, result.trials)


def test_training_in_this_process_gives_a_workers_bits(finished, tmp_path):
    _, result, _ = finished
    fraction = []
    single = train_one(
        TINY, budget="1epoch", seed=1, workspace=tmp_path, progress=lambda status: fraction.append(status.fraction)
    )
    (from_worker,) = [trial for trial in result.trials if trial.id == single.trial.id]
    for measured in ("train_loss", "train_error", "validation_error", "test_error", "test_loss"):
        assert getattr(single.trial, measured) == getattr(from_worker, measured)
    assert not single.found
    assert fraction[-1] == 1
    again = train_one(TINY, budget="1epoch", seed=1, workspace=tmp_path)
    assert again.found
    assert (again.trial, again.history) == (single.trial, single.history)


def test_sweep_and_train_share_their_trials_but_weights_are_trains(finished, tmp_path):
    workspace, result, _ = finished
    again = train_one(TINY, budget="1epoch", seed=0, workspace=workspace)
    assert again.found and again.trial in result.trials
    errors = "test_loss", "test_error", "train_loss", "validation_error"
    assert [getattr(again.again, name) for name in errors] == [getattr(again.trial, name) for name in errors]
    first = train_one(TINY, budget="1epoch", seed=0, workspace=tmp_path)
    ours, theirs = load_file(first.weights), load_file(again.weights)
    assert first.again is None and all(ours[name].equal(theirs[name]) for name in ours | theirs)
    with Store.read(workspace) as store:
        assert store.trial(again.trial.id) == again.trial  # nothing is stored twice
        assert store.epochs([again.trial.id])[again.trial.id] == list(again.history)
    known = train_one(TINY, budget="1epoch", seed=0, workspace=workspace)
    assert (known.found, known.again, known.weights) == (True, None, again.weights)


def test_what_another_process_ends_before_the_claim_is_not_trained_again(monkeypatch, tmp_path):
    from explorer.sweep import task

    short = {"budget": "1epoch", "workspace": tmp_path}
    take, trained, train = Claims.take, [], task.run_trial

    def late(self, trial):
        monkeypatch.setattr(Claims, "take", take)
        train_one(TINY, **short)
        return take(self, trial)

    monkeypatch.setattr(Claims, "take", late)
    monkeypatch.setattr(task, "run_trial", lambda *given: trained.append(given) or train(*given))
    assert train_one(TINY, **short).trial.status == "done" and len(trained) == 1


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    """Sweeps whose workers only pretend; gives the (network, seed) of the trials run so far."""
    sweep_tasks.install_blank_data()
    monkeypatch.setattr(run, "TASK", "sweep_tasks:pretend")
    monkeypatch.setenv("PRETEND_LOG", str(tmp_path / "log"))
    (tmp_path / "log").touch()

    def pretend(*scales, **more):
        before = len((tmp_path / "log").read_text().splitlines())
        result = sweep([TINY], scales, data="blank", workspace=tmp_path / "work", **{"seeds": 1} | more)
        return result, len((tmp_path / "log").read_text().splitlines()) - before

    return pretend


def test_widening_runs_only_what_is_new(pretended):
    narrow, ran = pretended(1, 2)
    assert (ran, narrow.found) == (4, 0)
    wide, ran = pretended(1, 2, 4)
    assert (ran, wide.found, len(wide.trials)) == (4, 4, 8)
    more_seeds, ran = pretended(1, 2, 4, seeds=2)
    assert (ran, more_seeds.found, len(more_seeds.trials)) == (8, 8, 16)
    back, ran = pretended(2, 1)
    assert (ran, back.found, len(back.trials)) == (0, 4, 4)
    assert back.run == narrow.run != wide.run


def test_another_budget_or_recipe_is_another_trial(pretended):
    assert pretended(1)[1] == 2
    assert pretended(1, budget="19epochs")[1] == 2
    assert pretended(1, recipe="momentum")[1] == 2
    assert pretended(1, recipe="nesterov")[1] == 0  # the paper's own, named


def test_a_failed_trial_is_kept_and_tried_again(pretended, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(run, "TASK", "sweep_tasks:broken")
        broken, _ = pretended(1)
    assert [(trial.status, trial.message[-12:]) for trial in broken.trials] == [("failed", "no such luck")] * 2
    with Store.read(tmp_path / "work") as store:
        assert [(found.planned, found.finished, found.failed) for found in store.runs()] == [(2, 0, 2)]
    mended, ran = pretended(1)
    assert ran == 2
    assert [trial.status for trial in mended.trials] == ["done"] * 2


def test_whatever_happens_to_a_trial_stands_in_the_report_by_name(pretended, monkeypatch, tmp_path):
    from explorer.reports.export import export_table
    from explorer.reports.report import write_report

    monkeypatch.setattr(run, "TASK", "sweep_tasks:eventful")
    swept, _ = pretended(1, seeds=4)
    assert Counter(trial.status for trial in swept.trials) == {"done": 2, "diverged": 2, "failed": 4}
    rows = json.loads(export_table(tmp_path / "work", None, "json"))
    assert [(row["done"], row["diverged"], row["failed"], row["missing"]) for row in rows] == [(1, 1, 2, 0)] * 2
    page = write_report(tmp_path / "work").html.read_text()
    for reason in ("the loss was not finite", "out of memory", "worker process died 2 times: killed by SIGKILL"):
        assert reason in page
    assert page.count(f"{TINY} + mssar(1)") >= 3


def test_a_trial_beyond_the_memory_limit_fails_alone_and_by_that_name(tmp_path):
    large = "cifar_resnet(n=1, widths=[128,128,128])"
    swept = sweep([large, TINY], None, seeds=1, budget="1epoch", workers=1, memory_limit=0.6, workspace=tmp_path)
    assert {trial.status: (trial.message or "").partition(":")[0] for trial in swept.trials} == {
        "failed": "out of memory (--memory-limit 0.6)",
        "done": "",
    }


def test_what_libraries_say_under_a_limit_is_out_of_memory(monkeypatch):
    from explorer.sweep import task

    said = [ImportError("x.so: failed to map segment"), RuntimeError("could not create a primitive"), MemoryError()]
    reasons = [task._reason(error) for error in said]
    assert reasons == [f"ImportError: {said[0]}", f"RuntimeError: {said[1]}", "out of memory: MemoryError"]
    monkeypatch.setattr(task, "memory_limit", lambda: 2**30)
    assert [task._reason(error)[:15] for error in said] == ["out of memory: "] * 3
    limited = task._by_limit(Outcome(FAILED, "out of memory: 9 GB"))
    assert limited.message == "out of memory (--memory-limit 1): 9 GB"


def test_a_trial_that_another_process_trains_is_left_to_it(tmp_path):
    trial = train_one(TINY, budget="1epoch", workspace=tmp_path / "known").trial.id
    (tmp_path / "work").mkdir()
    program = (
        "import sys; from pathlib import Path; from explorer.sweep.claims import Claims;"
        "claims = Claims(Path(sys.argv[1])); print(claims.take(sys.argv[2]), flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "work"), trial]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "True\n"
        with pytest.raises(UserError, match="another process is training"):
            train_one(TINY, budget="1epoch", workspace=tmp_path / "work")
        other.kill()
    assert not train_one(TINY, budget="1epoch", workspace=tmp_path / "work").found


def test_progress_counts_every_trial_once(pretended):
    events = []
    pretended(1, 2, seeds=4, progress=events.append)
    for event in events:
        assert min(event.done, event.running, event.waiting, event.elsewhere) >= 0
        assert event.done + event.running + event.waiting + event.elsewhere == event.total == 16
    assert max(event.running for event in events) == usable_cores()
    assert (events[-1].done, events[-1].running, events[-1].failed) == (16, 0, 0)
    assert 0 < events[-1].per_minute < 60 * 16 / 0.05


def test_what_torch_refuses_is_a_failed_trial_with_its_reason(finished, monkeypatch, tmp_path):
    import explorer

    def no_memory(*_, **__):
        raise RuntimeError("not enough memory")

    monkeypatch.setattr(explorer, "build", no_memory, raising=False)
    result = train_one(TINY, budget="1epoch", workspace=tmp_path)
    assert (result.trial.status, result.trial.message) == ("failed", "RuntimeError: not enough memory")
    assert result.history == ()


def test_a_text_that_changes_under_way_is_not_stored_as_what_it_was(tmp_path, monkeypatch):
    import explorer

    given = explorer.cost
    monkeypatch.setattr(explorer, "cost", lambda text, **more: given("vgg16", **more), raising=False)
    with pytest.raises(UserError, match="has changed"):
        train_one(TINY, budget="1epoch", workspace=tmp_path)
    with Store.read(tmp_path) as store:
        assert [(trial.status, trial.test_error) for trial in store.trials()] == [("failed", None)]


def test_costs_alone_leave_no_trace(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "TASK", "no_such_module:task")
    result = sweep(workspace=tmp_path / "work", train=False)
    assert len(result.candidates) == 16
    assert (result.run, result.trials) == (None, ())
    plain, scaled = result.candidates[0].network, result.candidates[7].network
    assert scaled.params > plain.params and scaled.macs > plain.macs
    assert not (tmp_path / "work").exists()


def test_out_of_time_a_trial_says_how_far_it_came_and_goes_on_from_there(tmp_path):
    short = {"budget": "500epochs", "seeds": 1, "workspace": tmp_path, "workers": 1, "time_limit": 1.0}
    steps = [sweep([TINY], None, **short).trials[0] for _ in range(2)]
    assert [trial.status for trial in steps] == ["failed"] * 2
    assert all(trial.message.startswith("out of time: the limit is 1 s (in epoch ") for trial in steps)
    assert 0 < steps[0].steps < steps[1].steps


def test_costs_alone_need_no_torch_pandas_or_scikit_learn():
    program = (
        "import sys; from explorer.sweep.run import sweep; from explorer.sweep.store import Store;"
        "assert len(sweep(train=False).candidates) == 16;"
        "print(sorted({'torch', 'pandas', 'sklearn', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bases": ["resnet2O"]}, "resnet2O"),
        ({"scales": [1, 64]}, "64"),
        ({"scales": []}, "--scales"),
        ({"budget": "soon"}, "--budget"),
        ({"seeds": 0}, "--seeds"),
        ({"data": "cifar"}, "--data"),
        ({"recipe": "adam"}, "--recipe"),
        ({"device": "tpu9"}, "--device"),
        ({"workers": -1}, "--workers"),
        ({"workers": 0}, "--workers"),
        ({"engine": "slurm"}, "--engine"),
        ({"time_limit": -1}, "--time-limit"),
        ({"memory_limit": 0}, "--memory-limit"),
        ({"memory_limit": 0.3}, "--memory-limit: 0.3 is below the 0.6 GiB"),
        ({"bases": []}, "no network"),
        ({"bases": ["cifar_resnet(n=1, widths=[100000,100000,100000])"]}, "GiB to train"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(tmp_path, wrong, message):
    arguments = {"bases": [TINY], "scales": [1], "workspace": tmp_path / "work", **SHORT} | wrong
    with pytest.raises(UserError, match=message):
        sweep(**arguments)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("wrong", [{"budget": "0s"}, {"seeds": 0}, {"recipe": "adam"}, {"workers": 0}])
def test_bad_input_is_refused_for_costs_alone_too(wrong):
    with pytest.raises(UserError, match="--" + next(iter(wrong))):
        sweep([TINY], [1], train=False, **wrong)


def test_workers_on_a_processor_have_one_thread():
    assert worker_environment("cpu")["OMP_NUM_THREADS"] == "1"
    assert worker_environment("cuda") == {}


# -- what does not fit any more -----------------------------------------------------------------------------


def test_a_damaged_checkpoint_is_set_aside_in_a_sweep_and_refused_in_a_training(finished, tmp_path):
    wanted = next(
        trial
        for trial in finished[1].trials
        if trial.seed == 0 and trial.network == finished[1].candidates[0].network.digest
    )
    checkpoint = checkpoint_of(tmp_path, wanted.id)
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"cut short")
    with pytest.raises(UserError, match=r"is damaged or no checkpoint .*; delete it to begin anew"):
        train_one(TINY, budget="1epoch", workspace=tmp_path)
    events: list[Progress] = []
    (trial,) = sweep([TINY], None, seeds=1, workspace=tmp_path, progress=events.append, **SHORT).trials
    assert (trial.id, trial.status, trial.test_error) == (wanted.id, "done", wanted.test_error)
    (notice,) = [event.notice for event in events if event.notice]
    assert "is damaged or no checkpoint" in notice and notice.endswith("and the trial has begun anew")
    assert [path.name for path in checkpoint.parent.iterdir()] == [f"{checkpoint.name}.damaged"]


def test_after_a_recipe_has_changed_a_run_is_of_the_new_trials_and_the_old_ones_stay(pretended, monkeypatch, tmp_path):
    before, _ = pretended(1)
    with monkeypatch.context() as patch:
        patch.setattr(run, "recipe_of", lambda *given: replace(recipe_of(*given), lr=0.07))
        after, ran = pretended(1)
        assert (after.run, ran, after.found) == (before.run, 2, 0)
        assert {trial.recipe["lr"] for trial in after.trials} == {0.07}
        (study,) = read(tmp_path / "work").studies
        assert {trial.id for trial in study.trials} == {trial.id for trial in after.trials} and not study.missing
    with Store.read(tmp_path / "work") as store:
        assert {trial.id for trial in store.trials()} == {trial.id for trial in (*before.trials, *after.trials)}
        assert len(store.frame()) == 4
    assert pretended(1)[0].trials == before.trials  # changed back: found again
