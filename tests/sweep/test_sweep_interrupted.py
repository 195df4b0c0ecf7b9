"""Drivers and workers killed, interrupted and started again: nothing finished is lost, nothing is run twice."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from explorer.sweep.store import Store

HERE = Path(__file__).parent
CANDIDATES = 8
TOTAL = CANDIDATES * 3


class Driver:
    """Starts sweeps as a user would, in processes of their own, on one workspace."""

    def __init__(self, folder: Path, seeds: int = 3) -> None:
        self.workspace = folder / "work"
        self.log = folder / "log"
        self.log.touch()
        self.seeds = seeds

    def start(self) -> subprocess.Popen:
        environment = os.environ | {"PRETEND_LOG": str(self.log)}
        command = [sys.executable, str(HERE / "sweep_tasks.py"), str(self.workspace), str(self.seeds)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=environment, start_new_session=True, **pipes)

    def calls(self) -> list:
        """(network, seed, process) of every trial that was ever started."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def wait_for_calls(self, count: int) -> None:
        end = time.monotonic() + 60
        while len(self.calls()) < count:
            assert time.monotonic() < end, "no trial was started"
            time.sleep(0.005)

    def stored(self) -> Counter:
        """How often each (network, seed) is in the store: reading it also proves the file sound."""
        with Store.read(self.workspace) as store:
            return Counter((row["text"], row["seed"]) for row in store.rows() if row["status"] == "done")

    def finish(self) -> None:
        process = self.start()
        assert process.wait(120) == 0, process.stderr.read()

    def outcome(self) -> tuple:
        """All that the store holds of trials."""
        with Store.read(self.workspace) as store:
            return {trial.id: trial for trial in store.trials()}, store.history(), store.observations()

    def assert_workers_are_gone(self) -> None:
        end = time.monotonic() + 10
        while any(runs(process) for _, _, process in self.calls()):
            assert time.monotonic() < end, "a worker outlived its driver"
            time.sleep(0.01)


def runs(process: int) -> bool:
    """Whether a process is there, and not merely waiting for its new parent to notice its end."""
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # ended in between, or a system without /proc
        return not Path("/proc/self").exists()


@pytest.fixture
def driver(tmp_path):
    return Driver(tmp_path)


KILLS = [10, pytest.param(50, marks=pytest.mark.slow)]


@pytest.mark.parametrize("kills", KILLS)
def test_a_driver_killed_at_random_moments_loses_nothing_and_repeats_nothing(tmp_path, kills):
    driver, chance = Driver(tmp_path, seeds=kills), random.Random(kills)
    finished: Counter = Counter()
    for _ in range(kills):
        before = len(driver.calls())
        process = driver.start()
        driver.wait_for_calls(before + chance.randrange(1, 10))
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        process.communicate()
        driver.assert_workers_are_gone()
        assert finished.keys().isdisjoint(map(tuple, (call[:2] for call in driver.calls()[before:])))
        now = driver.stored()
        assert finished <= now
        finished = now
    assert 0 < len(finished) < CANDIDATES * kills

    before = len(driver.calls())
    driver.finish()
    rerun = {(network, seed) for network, seed, _ in driver.calls()[before:]}
    assert rerun.isdisjoint(finished)
    assert len(rerun) == len(driver.calls()) - before == CANDIDATES * kills - len(finished)
    assert driver.outcome() == uninterrupted(tmp_path, kills)


@pytest.mark.parametrize("kills", KILLS)
def test_workers_killed_at_random_moments_are_replaced_and_nothing_finished_runs_again(tmp_path, kills):
    driver, chance = Driver(tmp_path, seeds=kills), random.Random(kills)
    process, killed = driver.start(), []
    while len(killed) < kills:
        time.sleep(chance.uniform(0.05, 0.3))
        assert process.poll() is None, "the sweep ended before all were killed"
        alive = sorted({worker for _, _, worker in driver.calls() if runs(worker)})
        if alive:
            killed.append(chance.choice(alive))
            os.kill(killed[-1], signal.SIGKILL)
    assert process.wait(120) == 0, process.stderr.read()
    driver.finish()  # a trial that was hit twice has failed, and is due again
    calls = Counter((network, seed) for network, seed, _ in driver.calls())
    assert len(calls) == CANDIDATES * kills
    assert calls.total() <= CANDIDATES * kills + len(killed)
    assert driver.outcome() == uninterrupted(tmp_path, kills)


def uninterrupted(folder: Path, seeds: int) -> tuple:
    """What a sweep that nobody disturbs leaves in its store."""
    (folder / "undisturbed").mkdir()
    driver = Driver(folder / "undisturbed", seeds)
    driver.finish()
    assert len(driver.calls()) == CANDIDATES * seeds
    return driver.outcome()


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(driver):
    process = driver.start()
    driver.wait_for_calls(4)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to everyone in the foreground
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "the same command again runs the rest" in output
    told = int(re.search(rf"(\d+) of {TOTAL} trials have ended", output)[1])
    assert len(driver.stored()) - told in (0, 1)  # it may be interrupted between storing and counting
    assert "Traceback" not in errors
    driver.assert_workers_are_gone()


def test_two_drivers_at_once_share_the_trials_and_run_none_twice(driver):
    both = [driver.start(), driver.start()]
    for process in both:
        assert process.wait(60) == 0, process.stderr.read()
    assert max(Counter((network, seed) for network, seed, _ in driver.calls()).values()) == 1
    assert len(driver.stored()) == TOTAL
    assert set(driver.stored().values()) == {1}


def test_a_driver_takes_over_what_another_left_when_it_was_killed(driver):
    doomed, survivor = driver.start(), driver.start()
    driver.wait_for_calls(6)
    doomed.kill()
    assert survivor.wait(60) == 0, survivor.stderr.read()
    doomed.communicate()
    calls = Counter((network, seed) for network, seed, _ in driver.calls())
    assert len(driver.stored()) == len(calls) == TOTAL
    assert calls.total() <= TOTAL + 3  # all that it had placed: two run, a third after an answer it had not stored yet
