"""Ray's engine on a cluster of three nodes on this machine; what needs no cluster is tested by default."""

import os
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
import sweep_tasks

from explorer.errors import UserError
from explorer.sweep import run
from explorer.sweep.engine import Job
from explorer.sweep.placing import Placement
from explorer.sweep.run import sweep
from explorer.sweep.store import Store

HERE = str(Path(__file__).parent)
TINY = "cifar_resnet(n=1, widths=[2,2,2])"
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


def placement(**more):
    sound = {"engine": "ray", "device": "cpu", "workers": None, "per_device": 1}
    return Placement(**sound | {"time_limit": None, "memory_limit": None} | more)


def test_without_ray_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'explorer\[ray\]'"):
        placement().open("sweep_tasks:double")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:9", r"no Ray cluster answers at 127.0.0.1:9 .*refused"),
        ("ray://127.0.0.1:9", "no Ray cluster answers at ray://127.0.0.1:9"),
        ("nonsense", r"'nonsense' is no address; write ray:HOST:PORT"),
        ("127.0.0.1:99999999", "no Ray cluster answers"),
    ],
)
def test_an_unreachable_cluster_is_refused_at_once_and_nothing_is_written(tmp_path, address, message):
    pytest.importorskip("ray")
    sweep_tasks.install_blank_data()
    before = time.monotonic()
    with pytest.raises(UserError, match=message):
        sweep([TINY], None, data="blank", engine=f"ray:{address}", workspace=tmp_path / "work")
    assert time.monotonic() - before < 30
    assert not (tmp_path / "work").exists()


# -- with a cluster -------------------------------------------------------------------------------------------


class Nodes:
    """A cluster of a head that runs nothing and three nodes with one core each."""

    def __init__(self):
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args=NODE | {"num_cpus": 0, "include_dashboard": False})
        self.nodes = [self.cluster.add_node(**NODE) for _ in range(3)]

    @property
    def engine(self):
        return f"ray:{self.cluster.address}"

    def lose_one(self):
        self.cluster.remove_node(self.nodes.pop(), allow_graceful=False)


@pytest.fixture
def nodes(monkeypatch, tmp_path):
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", HERE)  # what the nodes' processes import tasks from
    monkeypatch.setenv("PRETEND_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    (tmp_path / "log").touch()
    found = Nodes()
    yield found
    found.cluster.shutdown()


def endings(engine, count):
    found = []
    while len(found) < count:
        if event := engine.wait(60):
            found.append(event)
    return found


@pytest.mark.slow
def test_jobs_are_answered_crash_alone_and_meet_their_limits(nodes, tmp_path):
    with closing(placement(engine=nodes.engine, time_limit=0.5).open("sweep_tasks:endless")) as engine:
        assert engine.places == 3
        for number, seconds in enumerate((0.01, 60, 0.02)):
            engine.start(Job(str(number), {"folder": str(tmp_path), "seconds": seconds}))
        ended = {event.key: event for event in endings(engine, 3)}
    assert [ended[key].answer for key in "012"] == [{"slept": 0.01}, None, {"slept": 0.02}]
    assert ended["1"].reason == "stopped after 0.5 s, its time limit"
    with closing(placement(engine=nodes.engine).open("sweep_tasks:fatal")) as engine:
        for number in range(4):
            engine.start(Job(str(number), {"value": number, "always": number == 1, "signal": 11}))
        ended = {event.key: event for event in endings(engine, 4)}
    assert [ended[key].answer for key in "0123"] == [{"value": 0}, None, {"value": 2}, {"value": 3}]
    assert ended["1"].reason == "its worker process died 2 times: killed by SIGSEGV"
    with pytest.raises(UserError, match=r"needs 1 core and 0.5 GPU, the cluster has 3 cores and 0 GPUs"):
        placement(engine=nodes.engine, device="cuda", per_device=2).open("sweep_tasks:double")
    with closing(placement(engine=nodes.engine).open("no_such_module:task")) as engine:
        engine.start(Job("0", {}))
        with pytest.raises(UserError, match=r"do not start.*no_such_module"):
            endings(engine, 1)


@pytest.mark.slow
def test_a_node_killed_under_way_costs_nothing_but_its_running_trials(nodes, monkeypatch, tmp_path):
    sweep_tasks.install_blank_data()
    monkeypatch.setattr(run, "TASK", "sweep_tasks:pretend")
    settings = {"seeds": 10, "data": "blank"}
    killer = []

    def progress(now):
        if now.done == 10 and not killer:
            killer.append(threading.Thread(target=nodes.lose_one))
            killer[0].start()

    swept = sweep([TINY], [1, 2, 4], engine=nodes.engine, workspace=tmp_path / "ray", progress=progress, **settings)
    killer[0].join()
    assert {trial.status for trial in swept.trials} == {"done"}
    calls = len((tmp_path / "log").read_text().splitlines())
    assert 80 <= calls <= 80 + 2  # one node has one core; a second trial may have been on its way to it
    local = sweep([TINY], [1, 2, 4], workers=2, workspace=tmp_path / "local", **settings)
    assert {trial.id: trial for trial in swept.trials} == {trial.id: trial for trial in local.trials}


MEASURED = ("status", "steps", "train_loss", "train_error", "validation_error", "test_error", "test_loss", "best_epoch")


@pytest.mark.slow
def test_equal_seeds_give_equal_results_on_both_engines(nodes, tmp_path):
    settings = {"seeds": 2, "budget": "1epoch"}
    ray = sweep([TINY], [1, 2], engine=nodes.engine, workspace=tmp_path / "ray", **settings)
    local = sweep([TINY], [1, 2], workers=1, workspace=tmp_path / "local", **settings)
    assert len(ray.trials) == 8

    def numbers(trials):
        return {trial.id: [getattr(trial, name) for name in MEASURED] for trial in trials}

    assert numbers(ray.trials) == numbers(local.trials)
    with Store.read(tmp_path / "ray") as one, Store.read(tmp_path / "local") as other:
        losses = [
            {key: [epoch.train_loss for epoch in epochs] for key, epochs in store.history().items()}
            for store in (one, other)
        ]
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_ray_alone_starts_one_for_this_machine_and_stops_it(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", HERE)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with closing(placement().open("sweep_tasks:double")) as engine:
        assert 1 <= engine.places <= os.cpu_count()
        engine.start(Job("a", {"value": 4}))
        assert endings(engine, 1)[0].answer["value"] == 8
    import ray

    assert not ray.is_initialized()
