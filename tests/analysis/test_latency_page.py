"""docs/latency.md shows what was measured and predicted; UPDATE_DOCS=1 writes its numbers anew."""

import json
import re
from pathlib import Path
from statistics import median

import pytest
from pages import assert_up_to_date

import explorer
from explorer.analysis.roofline import latency

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "latency.md"
SAVED = json.loads((ROOT / "benchmarks" / "results" / "latency_prediction-cpu.json").read_text())
ROWS = SAVED["networks"]
MODES = ("train", "infer")

MEASURED = """On one thread of an {processor}, torch {torch}, CPU time, the least of several steps, each network in a
process of its own (`benchmarks/latency_prediction.py`), against the file `{device}`
({source}).

* {count} networks of {families} families, none of which was used to calibrate. Training step: median error
  **{train:.0%}**, {train_within} within 20%; inference: **{infer:.0%}**, {infer_within} within 20%.
* Largest errors: {worst}.
* Time of a prediction: at most {slowest:.0f} ms.

{table}"""

WRONG = """Milliseconds of a training step by kind of call, measured by torch's profiler (which itself takes time, and
is in wall time, so shares are to be compared) and predicted:

{table}
"""

TORCH = """* `torch.utils.benchmark` (`blocked_autorange`, wall time, one thread) on the same modules in the same
  process, beside our CPU time. On an idle machine they agree; on a shared one wall time also has what others take:

{table}

* torch's `RuntimeEstimator` (its roofline, `operator-level-cost-model`) on ResNet-18 on this machine without an
  accelerator: `{estimate}`. It predicts only for the accelerator that is there, and halves the time of FLOPs
  (2 FLOPs a multiply-add divided by 2, over a peak that counts 2)."""


def error(row, mode):
    return row["predicted"][mode]["seconds"] / row["measured"][mode]["least"] - 1


def table(head, rows):
    line = "|".join(["---", *["---:"] * (len(head) - 1)])
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, *rows]).replace("|\n", f"|\n|{line}|\n", 1)


def measured():
    errors = {mode: {name: error(row, mode) for name, row in ROWS.items()} for mode in MODES}
    every = [(abs(off), f"`{name}` {mode} {off:+.0%}") for mode in MODES for name, off in errors[mode].items()]
    rows = []
    for name, row in ROWS.items():
        cells = [f"`{name}`", row["family"], str(row["batch"]), "x".join(map(str, row["input"]))]
        for mode in MODES:
            cells += [f"{row['measured'][mode]['least']:.3f}", f"{row['predicted'][mode]['seconds']:.3f}"]
            cells.append(f"{errors[mode][name]:+.0%}")
        rows.append(cells)
    head = [
        "network",
        "family",
        "images",
        "input",
        "step, s",
        "predicted",
        "error",
        "inference, s",
        "predicted",
        "error",
    ]
    return MEASURED.format(
        count=len(ROWS),
        families=len({row["family"] for row in ROWS.values()}),
        worst=", ".join(text for _, text in sorted(every, reverse=True)[:5]),
        slowest=max(row["predicted"][mode]["ms_to_predict"] for row in ROWS.values() for mode in MODES),
        table=table(head, rows),
        **{mode: median(map(abs, errors[mode].values())) for mode in MODES},
        **{f"{mode}_within": sum(abs(off) <= 0.2 for off in errors[mode].values()) for mode in MODES},
        **{key: SAVED[key] for key in ("processor", "torch", "device", "source")},
    )


def wrong():
    kinds = ("convolutions", "batch norm", "copies", "linear", "other")
    rows = []
    for name, row in ROWS.items():
        if "by_kind" in row["predicted"]["train"]:
            real, guess = row["measured"]["train"]["by_kind"], row["predicted"]["train"]["by_kind"]
            cells = [f"{real.get(kind, 0):.0f} / {guess.get(kind, 0):.0f}" for kind in kinds]
            rows.append([f"`{name}`", *cells])
    return WRONG.format(table=table(["network, measured / predicted", *kinds], rows))


def torch():
    rows = []
    for name, row in ROWS.items():
        for mode in MODES:
            found = row["measured"][mode]
            if "torch_timer" in found:
                theirs = found["torch_timer"]
                rows.append([f"`{name}` {mode}", f"{theirs['median']:.4f}", f"{theirs['least']:.4f}",
                             f"{found['median']:.4f}", f"{found['least']:.4f}"])  # fmt: skip
    head = ["seconds", "torch: median", "least", "ours: median", "least"]
    return TORCH.format(table=table(head, rows), estimate=SAVED["runtime_estimator"])


@pytest.mark.parametrize("section", [measured, wrong, torch])
def test_the_page_is_up_to_date(section):
    assert_up_to_date(PAGE, section)


def test_the_saved_predictions_are_still_made():
    """Else the errors on the page are of another predictor: latency_prediction.py --predict JSON --save JSON."""
    for name, row in ROWS.items():
        graph = explorer.expand(name, input=tuple(row["input"]))
        for mode in MODES:
            now = latency(graph, SAVED["device"], row["batch"], mode).total
            assert now == pytest.approx(row["predicted"][mode]["seconds"], rel=1e-9), (name, mode)


def test_targets():
    """The median error within 20% on at least 25 networks of all families, predictions within 50 ms."""
    assert len(ROWS) >= 25
    for mode in MODES:
        assert median(abs(error(row, mode)) for row in ROWS.values()) <= 0.2
        assert max(row["predicted"][mode]["ms_to_predict"] for row in ROWS.values()) < 50


def test_the_page_runs():
    found = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    for text in found:
        exec(compile(text, "latency.md", "exec"), {})
