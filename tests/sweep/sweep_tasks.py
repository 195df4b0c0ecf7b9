"""Tasks for worker processes that need no torch, and a driver to be killed. Not tests."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

SLOW_SECONDS = 0.05


def double(payload):
    return {"value": 2 * payload["value"], "process": os.getpid()}


def spoilt(payload):
    return {"process": os.getpid(), "last": payload["value"] == 0}


def talkative(payload):
    print("a library prints to stdout")
    os.write(1, b"and so does one in C\n")
    return {"value": payload["value"]}


def fatal(payload):
    """Dies by the payload's signal where that says so: always, or the first time only."""
    marker = Path(payload["marker"]) if payload.get("marker") else None
    if payload.get("always") or (marker and not marker.exists()):
        if marker:
            marker.touch()
        os.kill(os.getpid(), payload["signal"])
    return {"value": payload["value"]}


def broken(payload):
    raise ValueError("no such luck")


def endless(payload):
    Path(payload["folder"], str(os.getpid())).touch()
    time.sleep(payload["seconds"])
    return {"slept": payload["seconds"]}


def hungry(payload):
    """Asks for memory, and says how much it got."""
    readiness = Path("/proc/self/oom_score_adj").read_text().strip()
    try:
        got = len(bytearray(payload["mib"] * 2**20)) // 2**20
    except MemoryError:
        got = None
    return {"got": got, "readiness_to_be_ended": readiness}


def environment(payload):
    return {name: os.environ.get(name) for name in payload["names"]}


def pretend(payload):
    """Answers as `explorer.sweep.task.run_trial` does, at once; every call is logged with its process."""
    with Path(os.environ["PRETEND_LOG"]).open("a") as log:
        log.write(json.dumps([payload["network"], payload["seed"], os.getpid()]) + "\n")
    time.sleep(SLOW_SECONDS)
    return answer()


def answer():
    """What a trial that went well sends."""
    epoch = {"epoch": 1, "seconds": 0.1, "lr": 0.1, "train_loss": 1.0, "train_error": 0.5}
    epoch |= {"validation_loss": 1.0, "validation_error": 0.25}
    outcome = {"status": "done", "message": None, "steps": 5, "train_error": 0.5, "train_loss": 1.0}
    outcome |= {"validation_error": 0.25, "test_error": 0.125, "test_loss": 0.75, "seconds": 0.1}
    moments = {"started": "2020-01-01T00:00:00.000+00:00", "finished": "2020-01-01T00:00:01.000+00:00"}
    outcome |= {"history": [epoch], "observations": [{"epoch": 0, "name": "seen", "value": {"layers": [1, 2]}}]}
    return {"outcome": outcome, "environment": {"threads": 1}} | moments


def asleep(payload):
    """Answers as a trial does after PRETEND_SECONDS."""
    time.sleep(float(os.environ["PRETEND_SECONDS"]))
    return answer()


def eventful(payload):
    """Seed 0 is done, 1 diverges, 2 runs out of memory, 3 loses its process."""
    if payload["seed"] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    found = pretend(payload)
    if payload["seed"]:
        message = ["", "the loss was not finite in epoch 1", "out of memory: tried to get 9 GB"][payload["seed"]]
        outcome = {"status": ["", "diverged", "failed"][payload["seed"]], "message": message}
        found["outcome"] = dict.fromkeys(found["outcome"]) | outcome | {"history": [], "observations": []}
    return found


def blank_part(count):
    from explorer.train.data import Part

    return Part(np.zeros((count, 3, 32, 32), np.float32), np.arange(count) % 10)


def install_blank_data():
    """A data set called blank that loads at once."""
    from explorer.train.data import SOURCES, Source

    parts = (blank_part(20), blank_part(10), blank_part(10))
    SOURCES["blank"] = Source("blank", (3, 32, 32), 10, "blank images", "evidence of nothing", lambda _: parts)


def drive(workspace, seeds):
    """A whole sweep with pretended training: 8 candidates under each seed."""
    from explorer.sweep import run

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    install_blank_data()
    run.TASK = "sweep_tasks:pretend"
    try:
        settings = {"seeds": seeds, "data": "blank", "workspace": workspace, "workers": 2}
        run.sweep(["cifar_resnet(n=1, widths=[2,2,2])"], [1, 2, 4], **settings)
    except KeyboardInterrupt as error:
        print(error)
        sys.exit(130)


if __name__ == "__main__":
    drive(sys.argv[1], int(sys.argv[2]))
