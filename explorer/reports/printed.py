"""What the papers print, from `catalog/reported.csv`: the points beside ours, never mixed with ours."""

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e\d+)?)([KMG]?)")
_METRICS = {"macs": "flops", "params": "params", "test_error": "error"}  # our columns, the papers' words


@dataclass(frozen=True)
class Printed:
    """One network of MS-SAR's Table 2 on CIFAR-10: two printed numbers. An error is a fraction."""

    name: str  # in the paper; an asterisk says that MS-SAR is added
    x: float
    y: float

    @property
    def family(self) -> str:
        """RN or DN, with the asterisk."""
        return self.name.split("-")[0] + ("*" if self.name.endswith("*") else "")


def printed_points(x: str, y: str) -> list[Printed]:
    """Table 2's networks for two of our columns; none where the paper prints no such number."""
    if x not in _METRICS or y not in _METRICS:
        return []
    found = _table()
    metrics = _METRICS[x], _METRICS[y]
    return [
        Printed(name, _value(printed[metrics[0]], x), _value(printed[metrics[1]], y))
        for name, printed in found.items()
        if all(metric in printed for metric in metrics)
    ]


@cache
def _table() -> dict[str, dict[str, str]]:
    """Table 2 on CIFAR-10: printed text by metric, by the paper's name of the network."""
    text = files("explorer.catalog").joinpath("reported.csv").read_text(encoding="utf-8")
    found: dict[str, dict[str, str]] = {}
    for row in csv.DictReader(text.splitlines()):
        if (row["paper"], row["table"], row["dataset"]) == ("ms-sar", "2", "cifar10"):
            found.setdefault(row["name_in_paper"], {})[row["metric"]] = row["printed"]
    return found


def _value(printed: str, column: str) -> float:
    """A printed number: 40.8M as a count, 8.61 (percent) as a fraction."""
    match = _NUMBER.fullmatch(printed)
    if match is None:
        raise ValueError(f"reported.csv: {printed!r} is not a number")
    value = float(match[1]) * _UNITS[match[2]]
    return value / 100 if column == "test_error" else value
