"""What a sweep costs beside its trials: overhead of a trial, and W workers against one.

    python benchmarks/sweep_scaling.py [--ray] [--real]

Overhead: empty trials through engine, claims and store, in wall and in the driver's CPU milliseconds.
Efficiency: trials that sleep need no core, so that the engine's own share shows on a busy machine too. --real:
trials that train (1 epoch on digits) on W workers, beside the same trials in W plain processes that know of no
engine and no store: what the cores allow.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from explorer.measure.environment import processor
from explorer.sweep import run
from explorer.sweep.engine import usable_cores
from explorer.sweep.placing import worker_environment
from explorer.sweep.plan import Trial

TESTS = str(Path(__file__).parent.parent / "tests" / "sweep")
sys.path.insert(0, TESTS)
NETWORK = "cifar_resnet(n=1, widths=[2,2,2])"
RESULTS = Path(__file__).parent / "results" / "sweep_scaling-cpu.json"


def seconds_of(trials, sleep, workers, engine="local"):
    """Wall and CPU seconds of the driver for a sweep of trials that only sleep, its workers warm."""
    import sweep_tasks

    sweep_tasks.install_blank_data()
    os.environ["PRETEND_SECONDS"] = str(sleep)
    run.TASK = "sweep_tasks:asleep"
    marks = []

    def progress(now):
        if now.ended:
            marks.append((time.monotonic(), time.process_time()))

    with tempfile.TemporaryDirectory() as folder:
        settings = {"seeds": trials, "data": "blank", "workspace": folder, "progress": progress, "engine": engine}
        run.sweep([NETWORK], None, workers=workers, **settings)
    warm = 2 * (workers or 2) - 1  # the first trials wait for the start of their workers
    (wall, cpu), (last_wall, last_cpu) = marks[warm], marks[-1]
    count = len(marks) - 1 - warm
    return {"wall_ms": 1000 * (last_wall - wall) / count, "driver_cpu_ms": 1000 * (last_cpu - cpu) / count}


def efficiency(sleep, workers):
    """How much of W workers is used: the time of a trial over what a place spends on each."""
    per_trial = seconds_of(20 * workers, sleep, workers)["wall_ms"] * workers
    return 1000 * sleep / per_trial


PLAIN = """
import json, sys, time
from explorer.sweep.task import run_trial
payloads = json.loads(sys.stdin.read())
run_trial(payloads[0])
before = time.monotonic()
for payload in payloads[1:]:
    assert run_trial(payload)["outcome"]["status"] == "done"
print((len(payloads) - 1) / (time.monotonic() - before))
"""


def trained(trials, workers):
    """Trials a second of a sweep that trains, without the start of its workers; and the payloads it ran."""
    marks, payloads = [], []
    given = Trial.payload
    Trial.payload = lambda trial, device: payloads.append(given(trial, device)) or payloads[-1]
    run.TASK = "explorer.sweep.task:run_trial"

    def progress(now):
        if now.ended:
            marks.append(time.monotonic())

    with tempfile.TemporaryDirectory() as folder:
        run.sweep([NETWORK], None, seeds=trials, budget="1epoch", workers=workers, workspace=folder, progress=progress)
    Trial.payload = given
    return (len(marks) - workers) / (marks[-1] - marks[workers - 1]), payloads


def real(workers, trials=40):
    """Throughput of W workers, and of W plain processes with the same trials."""
    ours, payloads = trained(trials * workers, workers)
    environment = os.environ | worker_environment("cpu")
    command = [sys.executable, "-c", PLAIN]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    others = [subprocess.Popen(command, **pipes) for _ in range(workers)]
    for number, other in enumerate(others):
        other.stdin.write(json.dumps(payloads[number::workers]))
        other.stdin.close()
    allowed = sum(float(other.stdout.read()) for other in others)
    return {"trials_per_s": ours, "plain_processes_per_s": allowed, "efficiency": ours / allowed}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ray", action="store_true", help="the overhead on a Ray started here, too")
    parser.add_argument("--real", action="store_true", help="with trials that train, too")
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = TESTS  # for the workers: where sweep_tasks is
    found = {
        "overhead, local, 1 worker": seconds_of(300, 0, 1),
        "overhead, local, 2 workers": seconds_of(300, 0, 2),
        "overhead, local, 16 workers": seconds_of(600, 0, 16),
    }
    if arguments.ray:
        found["overhead, ray"] = seconds_of(300, 0, None, "ray")
    if arguments.real:
        found |= {f"training, {count} workers": real(count) for count in (1, usable_cores())}
    found |= {f"efficiency, {count} workers, trials of 1 s": efficiency(1.0, count) for count in (1, 2, 8, 32)}
    for name, value in found.items():
        shown = value if isinstance(value, float) else ", ".join(f"{k} {v:.2f}" for k, v in value.items())
        print(f"{name:40} {shown}")
    machine = {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()}
    RESULTS.write_text(json.dumps(found | {"machine": machine, "load": os.getloadavg()[0]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
