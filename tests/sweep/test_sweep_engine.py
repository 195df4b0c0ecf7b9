"""The local engine with real processes: answers, deaths, and nobody left behind."""

import os
import time
from contextlib import closing

import pytest

from explorer.errors import UserError
from explorer.sweep.engine import Ended, Job, Started, run_jobs, usable_cores


def jobs(count, **payload):
    return [Job(f"job {index}", {"value": index} | payload) for index in range(count)]


def ended(events):
    return {event.key: event for event in events if isinstance(event, Ended)}


def test_every_job_is_answered_once_by_workers_that_stay():
    events = list(run_jobs("sweep_tasks:double", jobs(7), workers=2))
    assert sorted(event.key for event in events if isinstance(event, Started)) == sorted(ended(events))
    answers = {key: event.answer for key, event in ended(events).items()}
    assert {key: answer["value"] for key, answer in answers.items()} == {f"job {i}": 2 * i for i in range(7)}
    assert len({answer["process"] for answer in answers.values()} - {os.getpid()}) <= 2


def test_no_jobs_no_workers():
    assert list(run_jobs("no_such_module:task", [], workers=2)) == []


def test_what_a_task_prints_does_not_disturb():
    done = ended(run_jobs("sweep_tasks:talkative", jobs(3), workers=1))
    assert [event.answer["value"] for event in done.values()] == [0, 1, 2]


def test_workers_get_their_environment():
    payload = {"names": ["OMP_NUM_THREADS", "HOME"]}
    done = ended(run_jobs("sweep_tasks:environment", [Job("a", payload)], 1, {"OMP_NUM_THREADS": "1"}))
    assert done["a"].answer == {"OMP_NUM_THREADS": "1", "HOME": os.environ.get("HOME")}


def test_a_job_whose_worker_is_killed_is_tried_again(tmp_path):
    todo = jobs(4)
    todo[1].payload["marker"] = str(tmp_path / "died")
    events = list(run_jobs("sweep_tasks:fatal", todo, workers=2))
    assert {key: event.answer for key, event in ended(events).items()} == {
        f"job {index}": {"value": index} for index in range(4)
    }
    assert [event.key for event in events if isinstance(event, Started)].count("job 1") == 2


def test_a_job_that_always_kills_its_worker_is_given_up_and_the_others_are_done():
    todo = jobs(4)
    todo[0].payload["always"] = True
    done = ended(run_jobs("sweep_tasks:fatal", todo, workers=1))
    assert done["job 0"].answer is None
    assert done["job 0"].reason == "its worker process died 2 times: killed by SIGKILL"
    assert [done[f"job {index}"].answer["value"] for index in (1, 2, 3)] == [1, 2, 3]


def test_an_exception_of_the_task_itself_is_named():
    done = ended(run_jobs("sweep_tasks:broken", jobs(1), workers=1))
    assert "exit code 1: ValueError: no such luck" in done["job 0"].reason


def test_workers_that_cannot_start_are_an_error_not_a_loop():
    with pytest.raises(UserError, match=r"do not start.*No module named 'no_such_module'"):
        list(run_jobs("no_such_module:task", jobs(5), workers=2))


def test_closing_the_events_ends_the_workers(tmp_path):
    with closing(run_jobs("sweep_tasks:endless", jobs(2, folder=str(tmp_path)), workers=2)) as events:
        next(events), next(events)
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    assert not any(alive(int(path.name)) for path in tmp_path.iterdir())


def test_usable_cores_are_at_least_one_and_at_most_the_machines():
    assert 1 <= usable_cores() <= os.cpu_count()


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
