"""How records lie in the store's tables: columns in the order of a record's fields, JSON in some cells."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeVar

Record = TypeVar("Record")


def columns(record: type, table: str | None = None, count: int | None = None) -> str:
    """A record's fields (the first `count` of them) as columns of a table, in the order its constructor takes."""
    prefix = f"{table}." if table else ""
    return ", ".join(prefix + field.name for field in fields(record)[:count])


def made(record: type[Record], rows: Iterable[Sequence[Any]], names: Sequence[str]) -> list[Record]:
    """A record of each row, whose cells are the fields `names`; others are None.

    A frozen dataclass's own constructor sets each field by a call, and takes twice as long.
    """
    unread = dict.fromkeys(field.name for field in fields(record) if field.name not in names)  # type: ignore[arg-type]
    found = []
    for row in rows:
        one = object.__new__(record)
        vars(one).update(zip(names, row, strict=True))
        vars(one).update(unread)
        found.append(one)
    return found


def trials_of(runs: Sequence[int] | None) -> str:
    """The table of the trials that belong to the given runs."""
    members = f"(SELECT DISTINCT trial FROM members {among('run', runs)})"
    return "trials" if runs is None else f"{members} JOIN trials ON trials.id = trial"


def among(column: str, runs: Sequence[int] | None) -> str:
    """A WHERE clause for the given runs; integers only, so nothing can be smuggled in."""
    return "" if runs is None else f"WHERE {column} IN ({', '.join(str(int(run)) for run in runs)})"


def members(column: str, runs: Sequence[int] | None) -> str:
    """A WHERE clause for the trials that belong to the given runs."""
    return "" if runs is None else f"WHERE {column} IN (SELECT trial FROM members {among('run', runs)})"


def encoded(column: str, value: Any) -> Any:
    """A record's value as it is stored: JSON with sorted keys, so that equal values are equal texts."""
    return json.dumps(value, sort_keys=True) if column in DECODERS and value is not None else value


@lru_cache(maxsize=4096)
def _object(text: str) -> Any:
    """Stored JSON as its record holds it. Most rows repeat a few texts; what they share is not to be changed."""
    return json.loads(text)


@lru_cache(maxsize=4096)
def _tuple(text: str) -> tuple[Any, ...]:
    """A stored JSON list as its record holds it."""
    return tuple(json.loads(text))


JSON = ("recipe", "config", "content", "setting", "numbers", "value")  # columns that hold it
DECODERS = dict.fromkeys(JSON, _object)
DECODERS |= dict.fromkeys(("input", "shape", "scales"), _tuple)


def with_decoded(row: tuple[Any, ...], decoders: Sequence[tuple[int, Callable[[str], Any]]]) -> tuple[Any, ...]:
    """A row with its JSON decoded."""
    cells = list(row)
    for at, decode in decoders:
        if cells[at] is not None:
            cells[at] = decode(cells[at])
    return tuple(cells)
