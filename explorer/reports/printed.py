"""What the papers print, from `catalog/reported.csv`: the points beside ours, never mixed with ours."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from explorer.reports.names import is_recalibrated
from explorer.reports.study import Row

FIGURE = "ms-sar/fig5"  # the experiment
DATASETS = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}  # its panels and their titles
_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e\d+)?)([KMG]?)")
_METRICS = {"macs": "flops", "params": "params", "test_error": "error"}  # our columns, the papers' words


@dataclass(frozen=True)
class Printed:
    """One network of MS-SAR's Table 2 on CIFAR: two printed numbers. An error is a fraction."""

    name: str  # in the paper; an asterisk says that MS-SAR is added
    x: float
    y: float

    @property
    def family(self) -> str:
        """RN or DN, with the asterisk."""
        return self.name.split("-")[0] + ("*" if self.name.endswith("*") else "")


def panels(data: str, experiments: Sequence[str], x: str, y: str) -> dict[str, list[Printed]]:
    """The printed points beside a figure on this data, by data set; empty where the paper prints no such number.

    Both panels of Figure 5 for its own experiment, else the data's own, or that of CIFAR-10 for data of no paper.
    """
    own = [data] if data in DATASETS else ["cifar10"]
    found = {dataset: printed_points(x, y, dataset) for dataset in (DATASETS if FIGURE in experiments else own)}
    return {dataset: points for dataset, points in found.items() if points}


def concerns(rows: Iterable[Row], experiments: Sequence[str]) -> bool:
    """Whether the printed points belong beside these networks: one has MS-SAR, or they are those of the figure."""
    return FIGURE in experiments or any(row.scales or is_recalibrated(row.text) for row in rows)


def printed_points(x: str, y: str, dataset: str = "cifar10") -> list[Printed]:
    """Table 2's networks for two of our columns; none where the paper prints no such number.

    Costs are printed once, for both data sets: they differ only in the classifier (the table's caption).
    """
    if x not in _METRICS or y not in _METRICS:
        return []
    found = _table(dataset)
    metrics = _METRICS[x], _METRICS[y]
    return [
        Printed(name, _value(printed[metrics[0]], x), _value(printed[metrics[1]], y))
        for name, printed in found.items()
        if all(metric in printed for metric in metrics)
    ]


@cache
def _table(dataset: str) -> dict[str, dict[str, str]]:
    """Table 2 on a data set: printed text by metric, by the paper's name of the network."""
    found: dict[str, dict[str, str]] = {}
    for row in _rows():
        cost = row["dataset"] == "cifar10" and row["metric"] != "error"
        if cost or row["dataset"] == dataset:
            found.setdefault(row["name_in_paper"], {})[row["metric"]] = row["printed"]
    return found


@cache
def _rows() -> tuple[dict[str, str], ...]:
    """The rows of Table 2."""
    text = files("explorer.catalog").joinpath("reported.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return tuple(row for row in rows if (row["paper"], row["table"]) == ("ms-sar", "2"))


def _value(printed: str, column: str) -> float:
    """A printed number: 40.8M as a count, 8.61 (percent) as a fraction."""
    match = _NUMBER.fullmatch(printed)
    if match is None:
        raise ValueError(f"reported.csv: {printed!r} is not a number")
    value = float(match[1]) * _UNITS[match[2]]
    return value / 100 if column == "test_error" else value
