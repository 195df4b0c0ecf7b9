"""GUNN's table 1, memory at batch 64, measured on the CPU beside the prediction. --save writes it as JSON.

Each form runs in a process of its own, one after the other: a training step's peak by the allocator's own events, with
what is held all the time, and with the convolutions' workspace. The largest takes about 4 GB.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from explorer.analysis.memory_claim import BATCH, FORMS, gunn_table1
from explorer.measure.environment import environment, processor


def measured(network: str, layers: str) -> dict[str, Any]:
    """Bytes: of tensors, and with workspace."""
    import torch
    from allocations import Step, peak_of

    import explorer

    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = explorer.build(network, layers=layers)
    step = Step(module, torch.randn(BATCH, *module.graph.input))
    held, peak = step.constant(), peak_of(step, module)
    return {"tensors": held + peak.tensors, "with_workspace": held + peak.with_workspace}


def apart(network: str, layers: str) -> dict[str, Any]:
    """`measured` in a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, "--only", network, layers], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs=2, metavar=("NETWORK", "LAYERS"))
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measured(*arguments.only)))
        return
    rows = []
    for (network, layers, _), form in zip(FORMS, gunn_table1("cpu"), strict=True):
        found = apart(network, layers)
        rows.append({"network": network, "layers": layers, "predicted": form.predicted.peak, "measured": found})
        error = form.predicted.peak / found["tensors"] - 1
        print(f"{network:12}{layers:11}{found['tensors']:16,} measured, predicted {error:+.4%}", flush=True)
    machine = {"processor": processor(), **environment("cpu")}
    if arguments.save:
        arguments.save.write_text(json.dumps({"forms": rows, "batch": BATCH, **machine}, indent=1) + "\n")


if __name__ == "__main__":
    main()
