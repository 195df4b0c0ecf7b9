"""Copying what another store holds into this one: what is here stays, what is missing comes.

A finished trial here is never replaced; a failed one is, by a finished one. The same command in both stores is
one run, with the trials of both. Importing the same file again changes nothing.
"""

import sqlite3
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import UserError
from explorer.sweep.opening import connect, explained, snapshot, transaction
from explorer.sweep.schema import FILE
from explorer.sweep.store import Store

_BETTER = """
  SELECT theirs.id FROM other.trials AS theirs LEFT JOIN main.trials AS ours ON ours.id = theirs.id
  WHERE ours.id IS NULL OR (ours.status = 'failed' AND theirs.status <> 'failed')"""
_RUN = "(SELECT ours.id FROM main.runs AS ours WHERE ours.command = theirs.command AND ours.config = theirs.config)"
_STEPS = (
    *(f"INSERT OR IGNORE INTO main.{table} SELECT * FROM other.{table}"
      for table in ("networks", "data", "environments", "measurements")),
    f"CREATE TEMP TABLE better AS {_BETTER}",
    "DELETE FROM main.trials WHERE id IN (SELECT id FROM better)",
    "INSERT INTO main.trials SELECT * FROM other.trials WHERE id IN (SELECT id FROM better)",
    *(f"INSERT INTO main.{table} SELECT * FROM other.{table} WHERE trial IN (SELECT id FROM better)"
      for table in ("history", "observations")),
    f"""INSERT OR IGNORE INTO main.runs (created, command, config)
        SELECT created, command, config FROM other.runs AS theirs WHERE {_RUN} IS NULL ORDER BY id""",
    f"""INSERT OR IGNORE INTO main.candidates
        SELECT {_RUN}, position, text, base, scales, network
        FROM other.candidates JOIN other.runs AS theirs ON theirs.id = run""",
    f"""INSERT OR IGNORE INTO main.members
        SELECT {_RUN}, trial FROM other.members JOIN other.runs AS theirs ON theirs.id = run""",
)  # fmt: skip


@dataclass(frozen=True)
class Imported:
    """How many of each came in that were not here, or had failed here."""

    trials: int
    measurements: int


def import_stores(workspace: str | Path, others: Sequence[str | Path]) -> list[Imported]:
    """Copy from other stores (files, or the folders they lie in) into the workspace's, one after the other.

    UserError where one of them is no store this explorer reads; the ones before it are in then. Others are only
    read, also while a sweep writes them.
    """
    paths = [_file(Path(other)) for other in others]
    with Store.open(workspace) as store:
        return [_import(store, path) for path in paths]


def _file(other: Path) -> Path:
    """The store that a path means; UserError where there is none."""
    path = other / FILE if other.is_dir() else other
    if not path.is_file():
        raise UserError(f"--import: there is no store {path}; give the file {FILE} of a workspace, or its folder")
    return path


def _import(store: Store, path: Path) -> Imported:
    """Copy from a snapshot, which is brought to this version where `path` is older."""
    if path.resolve() == store.path.resolve():
        raise UserError(f"--import: {path} is this workspace's own store")
    with tempfile.TemporaryDirectory(prefix="explorer-import-", dir=store.path.parent) as folder:
        copy = Path(folder) / FILE
        snapshot(path, copy)
        connect(copy).close()
        with explained(store.path):
            return _merge(store.database, copy)


def _merge(database: sqlite3.Connection, copy: Path) -> Imported:
    """Take over what is missing, all or nothing."""
    database.execute("ATTACH DATABASE ? AS other", (str(copy),))
    try:
        before = _count(database, "measurements")
        with transaction(database):
            for step in _STEPS:
                database.execute(step)
        trials = _count(database, "better")
        return Imported(trials, _count(database, "measurements") - before)
    finally:
        database.execute("DROP TABLE IF EXISTS temp.better")
        database.execute("DETACH DATABASE other")


def _count(database: sqlite3.Connection, table: str) -> int:
    return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
