"""A store with 100,000 trials: how long listing, filtering and reporting take, in CPU seconds (best of three).

    python benchmarks/store_speed.py [TRIALS]

The trials are made up: networks by three seeds, 20 epochs each. The store is written with the schema's own SQL
(through `Store.record`, with its fsync for each trial, it would take minutes) and read as users read it.
"""

import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from explorer.measure.environment import processor
from explorer.sweep.opening import digest, transaction
from explorer.sweep.schema import FILE
from explorer.sweep.store import Store

SEEDS, EPOCHS = 3, 20
RESULTS = Path(__file__).parent / "results" / "store_speed-cpu.json"
RECIPE = {"name": "nesterov", "nesterov": True, "momentum": 0.9, "dampening": 0.0, "weight_decay": 1e-4, "batch": 64}
RECIPE |= {"lr": 0.1, "milestones": [0.5, 0.75], "decay": 0.1}
ENVIRONMENT = {"python": "3.11.7", "torch": "2.13.0", "explorer": "0.1.0", "revision": "a" * 40, "machine": "Linux"}
ENVIRONMENT |= {"numpy": "2.4.6", "device": "cpu", "device_name": "A Processor of Some Kind", "threads": 1}
BEGAN, ENDED = "2026-01-01T00:00:00.000+00:00", "2026-01-01T00:00:10.000+00:00"


def write(folder, trials):
    """A store with so many made-up trials."""
    chance = random.Random(1)
    recipe, environment = (json.dumps(found, sort_keys=True) for found in (RECIPE, ENVIRONMENT))
    with Store.open(folder) as store, transaction(store.database):
        insert = store.database.executemany
        config = {"bases": ["made up"], "scales": None, "budget": "20epochs", "seeds": SEEDS, "data": "blank"}
        insert("INSERT INTO data VALUES ('print', 'blank', '[3, 32, 32]', 10, 20, 10, 30, 'blank', 'nothing')", [()])
        insert("INSERT INTO runs VALUES (1, ?, 'sweep', ?)", [(BEGAN, json.dumps(config, sort_keys=True))])
        insert("INSERT INTO environments VALUES (?, ?)", [(digest(environment), environment)])
        for number in range(-(-trials // SEEDS)):
            network = sha256(f"network {number}".encode()).hexdigest()
            text = f"cifar_resnet(n={number % 9 + 1}, widths=[{number}, {2 * number}, {4 * number}])"
            costs = [number * 1000, number * 10**6, number * 100, 20, 20]
            insert(f"INSERT INTO networks VALUES ({marks(9)})", [(network, text, text, "[3, 32, 32]", *costs)])
            insert("INSERT INTO candidates VALUES (1, ?, ?, ?, NULL, ?)", [(number, text, text, network)])
            for seed in range(min(SEEDS, trials - number * SEEDS)):
                trial = sha256(f"{number}, {seed}".encode()).hexdigest()
                error = chance.random()
                row = [trial, network, "print", recipe, seed, "20epochs", "done", None, EPOCHS, 100]
                row += [error, error, error, error, 19, error, error, 4.2, digest(environment), BEGAN, ENDED]
                insert("INSERT INTO members VALUES (1, ?)", [(trial,)])
                insert(f"INSERT INTO trials VALUES ({marks(len(row))})", [row])
                epochs = [(trial, n, n, 0.1, *(chance.random() for _ in range(4))) for n in range(1, EPOCHS + 1)]
                insert(f"INSERT INTO history VALUES ({marks(8)})", epochs)


def marks(count):
    return ", ".join("?" * count)


def best(action):
    """The least CPU seconds of three goes."""
    found = []
    for _ in range(3):
        before = time.process_time()
        action()
        found.append(time.process_time() - before)
    return round(min(found), 3)


def command(*arguments):
    """A whole command: the CPU seconds of its process, interpreter and imports included."""
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "explorer", *arguments], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return round(min(found), 3)


def measure(folder):
    """CPU seconds by what was done."""
    with Store.read(folder) as store:
        found = {
            "open and check": best(lambda: Store.read(folder).close()),
            "runs": best(store.runs),
            "trials": best(store.trials),
            "rows": best(store.rows),
            "data frame, filtered": best(lambda: store.frame().query("macs < 1e9 and test_error < 0.1")),
            "history (all epochs)": best(store.history),
        }
    workspace = ["--workspace", str(folder)]
    found["explorer list --runs"] = command("list", "--runs", *workspace)
    for form in ("csv", "json", "latex", "html"):
        found[f"explorer report --format {form}"] = command("report", "--format", form, *workspace)
    return found


def main():
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), trials)
        size = (Path(name) / FILE).stat().st_size
        seconds = measure(Path(name))
    for what, spent in seconds.items():
        print(f"{what:30} {spent:8.3f} s CPU")
    print(f"{'the file':30} {size / 1e6:8.0f} MB")
    machine = {"processor": processor(), "python": platform.python_version(), "load": os.getloadavg()[0]}
    found = {"trials": trials, "epochs": EPOCHS, "megabytes": size / 1e6, "cpu_seconds": seconds, "machine": machine}
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
