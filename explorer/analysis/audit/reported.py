"""What the papers print: `catalog/reported.csv`, every row as it stands there."""

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple

CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet": 1000}
PAPERS = ("ms-sar", "seqconv", "gunn")


METRICS = ("params", "flops")  # those that the ledger counts


class Reported(NamedTuple):
    """One printed number; all fields are strings as in the file."""

    paper: str
    table: str
    network: str
    name_in_paper: str
    dataset: str
    metric: str
    printed: str

    @property
    def id(self) -> str:
        """What `--why` takes: `ms-sar/3/resnet56+mssar(4)/flops`."""
        return f"{self.paper}/{self.table}/{self.network}/{self.metric}"

    @property
    def long_id(self) -> str:
        """The same with the data set, which some networks need: `gunn/text 5.2/gunn15/cifar100/params`."""
        return f"{self.paper}/{self.table}/{self.network}/{self.dataset}/{self.metric}"

    @property
    def classes(self) -> int:
        """Classes of the row's data set."""
        return CLASSES[self.dataset]


@cache
def reported() -> tuple[Reported, ...]:
    """All rows, in the file's order."""
    text = files("explorer.catalog").joinpath("reported.csv").read_text(encoding="utf-8")
    return tuple(Reported(**row) for row in csv.DictReader(text.splitlines()))


def cost_rows(paper: str | None = None) -> list[Reported]:
    """The rows that print parameters or FLOPs, of one paper or all."""
    return [row for row in reported() if row.metric in METRICS and paper in (None, row.paper)]
