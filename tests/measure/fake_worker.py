"""A worker without torch, whose networks do what FAKE says: {network: {question: how it ends, or numbers}}.

Every question is written to the file FAKE_LOG, with the process's number.
"""

import json
import os
import signal
import sys
import time
from collections import Counter

from explorer.measure.process import FAILED, OUT_OF_MEMORY
from explorer.measure.worker import serve

MB = 10**6
PARTS = dict.fromkeys(("parameters", "buffers", "optimizer", "image", "gradients", "activations", "temporaries"), 0)
asked = Counter()
network = {"name": "", "batch": 1, "keep": True}


def memory(peak):
    rest = dict.fromkeys(("workspace", "tensors_bytes", "saved_bytes", "inference_peak_bytes", "reserved_bytes"))
    return {"peak_bytes": peak, **PARTS, **rest}


def ended(how):
    if how == "out of memory":
        raise MemoryError("it asked for too much")
    if how == "failed":
        raise ValueError("boom")
    if how == "aborted":
        print("terminate called after throwing an instance of 'std::bad_alloc'", file=sys.stderr, flush=True)
        os.abort()
    if how == "hangs":
        time.sleep(1000)
    os.kill(os.getpid(), getattr(signal, how))


def answer(ask, **arguments):
    setting = arguments.get("setting") or {}
    network.update({"name": arguments.get("text", network["name"]), "batch": setting.get("batch", network["batch"])})
    network["keep"] = arguments.get("keep", network["keep"])
    its = json.loads(os.environ.get("FAKE", "{}")).get(network["name"], {})
    with open(os.environ["FAKE_LOG"], "a") as log:
        log.write(json.dumps([ask, network["name"], os.getpid(), arguments.get("keep")]) + "\n")
    asked[ask] += 1
    if ask in its:
        ended(its[ask])
    if ask == "prepare" and its.get("needs all memory") and network["keep"]:
        raise MemoryError("others are in the way")
    if ask == "fits" and network["batch"] > its["largest"]:
        raise MemoryError(f"{network['batch']} images")
    return answers(ask, its, arguments)


def answers(ask, its, arguments):
    slower = 1 + asked["turn"] % 3  # all networks alike: something else is running
    steps = [its.get("ms", 10.0) * slower * (1 + i / 1000) for i in range(arguments.get("count", 0))]
    return {
        "begin": {"refused": os.environ.get("FAKE_REFUSAL"), "available_bytes": 100 * MB},
        "environment": {"device": "fake"},
        "memory": memory(its.get("peak", MB)),
        "prepare": {"steps": 7, "seconds": 0.1, "stable": its.get("stable", True), "turn": its.get("steps", 5)},
        "turn": {"wall_ms": steps, "cpu_ms": None},
        "parts": {"tree": {}, "depth": arguments.get("depth")},
        "fits": None,
    }[ask]


def explain(error):
    return (OUT_OF_MEMORY if isinstance(error, MemoryError) else FAILED), str(error)


serve(answer, explain)
