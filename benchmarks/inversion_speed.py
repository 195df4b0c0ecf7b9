"""A million candidates against limits on their cost, beside walking them one by one; on one core.

Prints, for each family, candidates a second from text to the nearest hundred: CPU time with numpy on one thread. The
walk of single networks is timed on a sample. --save writes the results as JSON too.
"""

import argparse
import json
import os
import platform
import random
import statistics
import time
from contextlib import suppress
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import explorer
from explorer.errors import UserError
from explorer.sweep.listing import Listing, list_fits
from explorer.sweep.ranges import families

SAMPLE = 200
FAMILIES = {
    "seqresnet(k=8..32, r=2..16, N=1..3)": "params<=25e6 and macs<=4e9",
    "seqresnet(k=1..100, r=1..100, N=1..100)": "params<=25e6 and macs<=4e9",
    "wrn(10..1000..6, k=1..6000)": "params<=25e6 and macs<=4e9",
    "densenet_bc(depth=10..604..6, k=1..100, classes=2..101)": "params<=25e6 and macs<=4e9 and depth<=200",
    "cifar_resnet(n=1..150, widths=[8..64..4, 16..128..8, 32..256..8]) + mssar(1, 2, 4)": "macs<=1e9 and params<=2e6",
    "imagenet_gunn(widths=[240..640..40, 480..1280..80, 1600, 2000], parts=[5..20, 10..40..2, 20..60..4, 50])":
        "params<=30e6 and macs<=10e9",
}  # fmt: skip


def cpu_seconds(text: str, where: str, rounds: int) -> tuple[float, Listing]:
    times = []
    for _ in range(rounds):
        start = time.process_time()
        listing = list_fits([text], where=where)
        times.append(time.process_time() - start)
    return statistics.median(times), listing


def one_by_one(text: str) -> float:
    """CPU seconds of one candidate in its own walk, those that cannot exist included."""
    (family,) = families(text)
    choose = random.Random(0)
    chosen = [{name: choose.choice(values) for name, values in family.axes.items()} for _ in range(SAMPLE)]
    start = time.process_time()
    for values in chosen:
        with suppress(UserError):
            explorer.cost(family.candidate(values))
    return (time.process_time() - start) / SAMPLE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    list_fits(["wrn(16, k=2..3)"], where="macs <= 1e12")  # first calls import lazily
    results = {}
    print(f"{'candidates':>12}{'can exist':>12}{'fit':>10}{'CPU s':>8}{'a second':>12}{'one by one':>12}{'ratio':>9}")
    for text, where in FAMILIES.items():
        seconds, listing = cpu_seconds(text, where, arguments.rounds)
        alone = one_by_one(text)
        possible = listing.total - sum(count for count, _ in listing.impossible)
        rate = listing.total / seconds
        results[text] = {
            "where": where,
            "candidates": listing.total,
            "can_exist": possible,
            "fit": listing.fitting,
            "cpu_s": seconds,
            "candidates_per_s": rate,
            "one_by_one_per_s": 1 / alone,
            "ratio": rate * alone,
        }
        print(
            f"{listing.total:12,}{possible:12,}{listing.fitting:10,}{seconds:8.2f}{rate:12,.0f}{1 / alone:12,.0f}"
            f"{rate * alone:9,.0f}  {text}"
        )
    machine = {
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "rounds": arguments.rounds,
        "sample": SAMPLE,
    }
    print(json.dumps(machine))
    if arguments.save:
        arguments.save.write_text(json.dumps({"families": results, **machine}, indent=2) + "\n")


if __name__ == "__main__":
    main()
