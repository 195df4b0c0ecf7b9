"""A sweep's driver killed, interrupted and started again: nothing finished is lost or run again."""

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
TOTAL = 8 * 3


class Driver:
    """Starts sweeps as a user would, in processes of their own, on one workspace."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "work"
        self.log = folder / "log"
        self.log.touch()

    def start(self) -> subprocess.Popen:
        environment = os.environ | {"PRETEND_LOG": str(self.log)}
        command = [sys.executable, str(HERE / "sweep_tasks.py"), str(self.workspace)]
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


def test_killed_at_random_moments_it_loses_nothing_and_repeats_nothing(driver):
    chance = random.Random(7)
    finished: Counter = Counter()
    for _ in range(3):
        process = driver.start()
        driver.wait_for_calls(len(driver.calls()) + chance.randrange(1, 6))
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        process.communicate()
        driver.assert_workers_are_gone()
        now = driver.stored()
        assert finished <= now
        finished = now
    assert 0 < len(finished) < TOTAL

    before = len(driver.calls())
    process = driver.start()
    assert process.wait(60) == 0, process.stderr.read()
    rerun = {(network, seed) for network, seed, _ in driver.calls()[before:]}
    assert rerun.isdisjoint(finished)
    assert len(rerun) == TOTAL - len(finished)
    assert set(driver.stored().values()) == {1}
    assert len(driver.stored()) == TOTAL


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


def test_two_drivers_at_once_store_every_trial_once(driver):
    both = [driver.start(), driver.start()]
    for process in both:
        assert process.wait(60) == 0, process.stderr.read()
    assert len(driver.stored()) == TOTAL
    assert set(driver.stored().values()) == {1}
