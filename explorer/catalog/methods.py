"""Rows of the papers' tables that name a way of training and not a network: what is trained, and how many of it."""

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Method(NamedTuple):
    """A training method as the papers' tables list it; its parameters are those of all copies of the network."""

    name: str
    network: str  # of the catalog
    copies: int
    what: str
    source: str


@cache
def methods() -> dict[str, Method]:
    """Every such row's name and what stands behind it (methods.csv)."""
    with Path(__file__).with_name("methods.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return {r["name"]: Method(r["name"], r["network"], int(r["copies"]), r["what"], r["source"]) for r in rows}
