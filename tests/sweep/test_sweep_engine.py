"""The local engine with real processes: answers, deaths, limits, and nobody left behind."""

import os
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from explorer.errors import UserError
from explorer.sweep.engine import Job, LocalEngine, usable_cores
from explorer.sweep.placing import Placement, environments
from explorer.sweep.seat import Limits, Lost, Seat

MiB = 2**20


def jobs(count, **payload):
    return [Job(f"job {index}", {"value": index} | payload) for index in range(count)]


def run(task, jobs, workers=1, environment=None, limits=Limits()):  # noqa: B008
    """How every job ended, by its key."""
    ended = {}
    with closing(LocalEngine(task, [environment or {}] * workers, limits)) as engine:
        for job in jobs:
            engine.start(job)
        while len(ended) < len(jobs):
            if event := engine.wait(20):
                assert event.key not in ended
                ended[event.key] = event
    return ended


def test_every_job_is_answered_once_by_workers_that_stay():
    ended = run("sweep_tasks:double", jobs(7), workers=2)
    answers = {key: event.answer for key, event in ended.items()}
    assert {key: answer["value"] for key, answer in answers.items()} == {f"job {i}": 2 * i for i in range(7)}
    assert len({answer["process"] for answer in answers.values()} - {os.getpid()}) <= 2


def test_an_engine_without_jobs_starts_nothing_and_waits_no_longer_than_told():
    with closing(LocalEngine("no_such_module:task", [{}] * 2, Limits())) as engine:
        assert engine.places == 2
        assert engine.wait(0.01) is None


def test_what_a_task_prints_does_not_disturb():
    done = run("sweep_tasks:talkative", jobs(3))
    assert [event.answer["value"] for event in done.values()] == [0, 1, 2]


def test_workers_get_their_environment():
    payload = {"names": ["OMP_NUM_THREADS", "HOME"]}
    done = run("sweep_tasks:environment", [Job("a", payload)], 1, {"OMP_NUM_THREADS": "1"})
    assert done["a"].answer == {"OMP_NUM_THREADS": "1", "HOME": os.environ.get("HOME")}


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV"])
def test_a_job_whose_worker_dies_is_tried_again(tmp_path, how):
    todo = jobs(4)
    todo[1].payload.update(marker=str(tmp_path / "died"), signal=getattr(signal, how))
    done = run("sweep_tasks:fatal", todo, workers=2)
    assert {key: event.answer for key, event in done.items()} == {
        f"job {index}": {"value": index} for index in range(4)
    }


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV", "SIGABRT"])
def test_a_job_that_always_kills_its_worker_is_given_up_and_the_others_are_done(how):
    todo = jobs(3)
    todo[0].payload.update(always=True, signal=getattr(signal, how))
    done = run("sweep_tasks:fatal", todo)
    assert done["job 0"].answer is None
    hint = ", as the system does when memory runs out" if how == "SIGKILL" else ""
    assert done["job 0"].reason == f"its worker process died 2 times: killed by {how}{hint}"
    assert [done[f"job {index}"].answer["value"] for index in (1, 2)] == [1, 2]


def test_an_exception_of_the_task_itself_is_named():
    done = run("sweep_tasks:broken", jobs(1))
    assert "exit code 1: ValueError: no such luck" in done["job 0"].reason


def test_workers_that_cannot_start_are_an_error_not_a_loop():
    with pytest.raises(UserError, match=r"do not start.*No module named 'no_such_module'"):
        run("no_such_module:task", jobs(5), workers=2)


def test_a_worker_that_dies_between_two_jobs_is_no_jobs_fault():
    seat = Seat("sweep_tasks:double", {}, Limits())
    first = seat.run({"value": 1})
    os.kill(first["process"], signal.SIGKILL)
    wait_until(lambda: not alive(first["process"]) or seat._child.process.poll() is not None)
    second = seat.run({"value": 2})
    assert (second["value"], second["process"] != first["process"]) == (4, True)
    seat.leave()
    assert not alive(second["process"])


def test_a_process_that_its_task_calls_spoilt_is_replaced():
    seat = Seat("sweep_tasks:spoilt", {}, Limits())
    processes = [seat.run({"value": value})["process"] for value in range(3)]
    seat.leave()
    assert processes[0] != processes[1] == processes[2]


# -- limits ---------------------------------------------------------------------------------------------------


def test_a_job_beyond_its_time_is_stopped_once_and_the_next_has_all_of_its_own(tmp_path):
    todo = [Job("long", {"folder": str(tmp_path), "seconds": 60}), *jobs(2, folder=str(tmp_path), seconds=0.01)]
    done = run("sweep_tasks:endless", todo, limits=Limits(seconds=0.3))
    assert (done["long"].answer, done["long"].reason) == (None, "stopped after 0.3 s, its time limit")
    assert [done[f"job {index}"].answer["slept"] for index in range(2)] == [0.01, 0.01]
    assert len(list(tmp_path.iterdir())) == 2  # the process of the long one was not given a second try


def test_a_job_that_heeds_its_time_limit_itself_is_given_the_grace_to_say_so(tmp_path):
    limits = Limits(seconds=0.05, grace=60)
    done = run("sweep_tasks:endless", [Job("late", {"folder": str(tmp_path), "seconds": 0.2})], limits=limits)
    assert done["late"].answer == {"slept": 0.2}


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No usable temporary directory"), BlockingIOError(11, "fork")])
def test_a_system_that_starts_no_process_is_an_error_not_an_endless_wait(monkeypatch, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(UserError, match=f"do not start: .*{error.strerror}"):
        run("sweep_tasks:double", jobs(2))


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="only Linux limits memory")
def test_memory_beyond_the_limit_is_refused_to_the_job_alone():
    todo = [Job("small", {"mib": 10}), Job("large", {"mib": 2000}), Job("again", {"mib": 10})]
    done = run("sweep_tasks:hungry", todo, limits=Limits(memory_bytes=1000 * MiB))
    assert {key: event.answer["got"] for key, event in done.items()} == {"small": 10, "large": None, "again": 10}
    assert {event.answer["readiness_to_be_ended"] for event in done.values()} == {"500"}


# -- nobody is left behind ------------------------------------------------------------------------------------


def test_closing_ends_the_workers_in_the_middle_of_a_job(tmp_path):
    with closing(LocalEngine("sweep_tasks:endless", [{}] * 2, Limits())) as engine:
        for job in jobs(3, folder=str(tmp_path), seconds=600):
            engine.start(job)
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    assert not any(alive(int(path.name)) for path in tmp_path.iterdir())


def test_a_closed_seat_runs_nothing_more():
    seat = Seat("sweep_tasks:double", {}, Limits())
    seat.close()
    with pytest.raises(Lost, match="stopped"):
        seat.run({"value": 1})


# -- what runs where ------------------------------------------------------------------------------------------


def test_usable_cores_are_at_least_one_and_at_most_the_machines():
    assert 1 <= usable_cores() <= os.cpu_count()


def test_each_gpu_has_its_own_workers(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    seen = [environment["CUDA_VISIBLE_DEVICES"] for environment in environments("cuda", None, 2)]
    assert seen == ["3", "5", "3", "5"]
    assert [e["CUDA_VISIBLE_DEVICES"] for e in environments("cuda", 3, 1)] == ["3", "5", "3"]
    assert environments("cuda:1", None, 1) == [{}]
    assert len(environments("cpu", None, 1)) == usable_cores()
    assert {e["OMP_NUM_THREADS"] for e in environments("cpu", 3, 1)} == {"1"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"engine": "rya"}, r"--engine: 'rya' is no engine.*did you mean 'ray'"),
        ({"engine": "local:here"}, "--engine"),
        ({"engine": "ray", "device": "cuda:1"}, "--device: Ray chooses which"),
        ({"engine": "ray", "workers": 3}, "--workers"),
        ({"workers": 0}, "--workers"),
        ({"per_device": 0}, "--per-device"),
        ({"per_device": 2}, "--per-device: it is a GPU"),
        ({"time_limit": 0}, "--time-limit: 0 is not"),
        ({"time_limit": float("nan")}, "--time-limit"),
        ({"memory_limit": -1}, "--memory-limit: -1 is not"),
        ({"memory_limit": 1, "device": "cuda"}, "--memory-limit: it is the processor's"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(wrong, message):
    sound = {"engine": "local", "device": "cpu", "workers": None, "per_device": 1}
    sound |= {"time_limit": None, "memory_limit": None}
    Placement(**sound).check()
    with pytest.raises(UserError, match=message):
        Placement(**sound | wrong).check()


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
