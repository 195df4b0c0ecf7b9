"""Options that several commands share, and their checks."""

import re
from enum import StrEnum
from typing import Annotated

import typer

from explorer.errors import UserError

LARGEST_SIDE = 10**6
LARGEST_NUMBER = 10**12


class Format(StrEnum):
    """How a result is printed."""

    table = "table"
    json = "json"
    csv = "csv"


Net = Annotated[
    str,
    typer.Argument(metavar="NET", help="A network: 'resnet50 + mssar(1,2,4)', FILE.arch, FILE.arch:NAME."),
]
Nets = Annotated[
    list[str] | None, typer.Argument(metavar="NET", help="Networks: gunn18, 'resnet50 + se', FILE.arch:NAME.")
]
Input = Annotated[
    str | None, typer.Option("--input", metavar="CxHxW", help="Input size in place of the network's own.")
]
Classes = Annotated[int | None, typer.Option("--classes", help="Number of classes.")]
Workspace = Annotated[str, typer.Option("--workspace", help="Folder of the store and the report.")]
OutputFormat = Annotated[Format, typer.Option("--format", help="table, json or csv.")]


def input_size(text: str | None) -> tuple[int, int, int] | None:
    """3x224x224 to numbers. Raises UserError naming --input."""
    if text is None:
        return None
    parts = re.fullmatch(r"\s*(\d{1,7})\s*x\s*(\d{1,7})\s*x\s*(\d{1,7})\s*", text)
    if parts is None:
        raise UserError(f"--input: '{text[:60]}' is not channels x height x width, such as 3x224x224")
    size = (int(parts[1]), int(parts[2]), int(parts[3]))
    if not all(1 <= side <= LARGEST_SIDE for side in size):
        raise UserError(f"--input: every side of '{text[:60]}' must be from 1 to {LARGEST_SIDE:,}")
    return size


def at_least(value: int | None, lowest: int, option: str) -> int | None:
    """A checked number. Raises UserError naming the option."""
    if value is not None and not lowest <= value <= LARGEST_NUMBER:
        raise UserError(f"{option}: {value} is not from {lowest} to {LARGEST_NUMBER:,}")
    return value
