"""A fresh process: `explorer cost gunn18` beside `import torch` alone, in CPU time (user + system), in turns."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

COMMANDS = {
    "explorer cost gunn18": [sys.executable, "-m", "explorer", "cost", "gunn18"],
    "explorer cost gunn18 --format json": [sys.executable, "-m", "explorer", "cost", "gunn18", "--format", "json"],
    "import torch": [sys.executable, "-c", "import torch"],
    "python alone": [sys.executable, "-c", "pass"],
}


def cpu_seconds(command: list[str]) -> float:
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(arguments.rounds + 1):  # the first round warms the file cache and is dropped
        for name, command in COMMANDS.items():
            times[name].append(cpu_seconds(command))
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    for name, seconds in medians.items():
        print(f"{name:40}{seconds:8.3f} s   {seconds / medians['import torch']:6.2f} of import torch")
    if arguments.save:
        machine = {"processor": platform.machine(), "python": platform.python_version(), "rounds": arguments.rounds}
        arguments.save.write_text(json.dumps({"cpu_s": medians, **machine}, indent=2) + "\n")


if __name__ == "__main__":
    main()
