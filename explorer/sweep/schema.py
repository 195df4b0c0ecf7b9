"""The tables of the store, its version, and opening the file with errors meant for people."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from explorer.errors import UserError

FILE = "explorer.sqlite"
VERSION = 1
APPLICATION_ID = 0x4558504C  # "EXPL": tells our file from another program's database

TABLES = """
CREATE TABLE networks (
  digest TEXT PRIMARY KEY, canonical TEXT NOT NULL, text TEXT NOT NULL, input TEXT NOT NULL,
  params INTEGER NOT NULL, macs INTEGER NOT NULL, activations INTEGER NOT NULL,
  depth INTEGER NOT NULL, chain INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE data (
  fingerprint TEXT PRIMARY KEY, name TEXT NOT NULL, shape TEXT NOT NULL, classes INTEGER NOT NULL,
  train INTEGER NOT NULL, validation INTEGER NOT NULL, test INTEGER NOT NULL,
  description TEXT NOT NULL, evidence TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, created TEXT NOT NULL, command TEXT NOT NULL, config TEXT NOT NULL,
  UNIQUE (command, config)
);
CREATE TABLE candidates (
  run INTEGER NOT NULL REFERENCES runs, position INTEGER NOT NULL, text TEXT NOT NULL, base TEXT NOT NULL,
  scales TEXT, network TEXT NOT NULL REFERENCES networks,
  PRIMARY KEY (run, position)
) WITHOUT ROWID;
CREATE TABLE members (
  run INTEGER NOT NULL REFERENCES runs, trial TEXT NOT NULL, -- planned: the trial may not be there yet
  PRIMARY KEY (run, trial)
) WITHOUT ROWID;
CREATE TABLE trials (
  id TEXT PRIMARY KEY, network TEXT NOT NULL REFERENCES networks, data TEXT NOT NULL REFERENCES data,
  recipe TEXT NOT NULL, seed INTEGER NOT NULL, budget TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('done', 'diverged', 'failed')), message TEXT,
  epochs INTEGER, steps INTEGER, train_error REAL, train_loss REAL,
  validation_error REAL, best_validation_error REAL, best_epoch INTEGER, test_error REAL, test_loss REAL,
  seconds REAL, environment TEXT NOT NULL, started TEXT NOT NULL, finished TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE history (
  trial TEXT NOT NULL REFERENCES trials ON DELETE CASCADE, epoch INTEGER NOT NULL, seconds REAL NOT NULL,
  lr REAL NOT NULL, train_loss REAL, train_error REAL, validation_loss REAL, validation_error REAL,
  PRIMARY KEY (trial, epoch)
) WITHOUT ROWID;
"""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what sqlite raises about `path` into one sentence saying what to do."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):  # ours, not the file's
        raise
    except sqlite3.DatabaseError as error:
        raise UserError(_explanation(path, error)) from error


def _explanation(path: Path, error: sqlite3.DatabaseError) -> str:
    """What went wrong with the file at `path`, in words."""
    reason = str(error)
    if any(sign in reason for sign in ("readonly", "unable to open", "disk I/O", "disk is full")):
        return f"cannot write to the store {path}: {reason}; choose another folder with --workspace"
    if "locked" in reason:
        return f"the store {path} is locked by another process; try again when it has ended"
    return damaged(path, reason)


def damaged(path: Path, reason: str) -> str:
    """The message about a file that cannot be trusted."""
    return (
        f"the store {path} is damaged or not explorer's ({reason}); "
        "move it away or choose another folder with --workspace"
    )


def make_folder(workspace: Path) -> None:
    """Create the workspace folder; UserError where that is impossible."""
    try:
        workspace.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot create the workspace folder {workspace}: {error.strerror}; choose another with --workspace"
        ) from error


def connect(path: Path) -> sqlite3.Connection:
    """Open the store at `path`, creating its tables where the file is new; UserError if it is not usable."""
    with explained(path):
        database = sqlite3.connect(path, isolation_level=None, timeout=30)
        try:
            database.execute("PRAGMA foreign_keys = ON")
            _check_or_create(database, path)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")  # a trial takes seconds, an fsync milliseconds
        except BaseException:
            database.close()
            raise
        return database


def _check_or_create(database: sqlite3.Connection, path: Path) -> None:
    """Leave a sound store of this version behind, or raise UserError."""
    version = _pragma(database, "user_version")
    if version == 0:
        with transaction(database):
            _create(database, path)
    elif _pragma(database, "application_id") != APPLICATION_ID:
        raise UserError(damaged(path, "another program's database"))
    elif version > VERSION:
        raise UserError(
            f"the store {path} has version {version}, this explorer reads up to {VERSION}; "
            "update explorer or choose another folder with --workspace"
        )
    _check_pages(database, path)


def _create(database: sqlite3.Connection, path: Path) -> None:
    """Write tables and version, unless another process has just done so."""
    if _pragma(database, "user_version") == VERSION:
        return
    if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise UserError(damaged(path, "another program's database"))
    for statement in TABLES.split(";\n"):
        database.execute(statement)
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {VERSION}")


def _check_pages(database: sqlite3.Connection, path: Path) -> None:
    """Read the whole file once; UserError at the first thing that is wrong with it."""
    verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise UserError(damaged(path, str(verdict).splitlines()[-1]))


def _pragma(database: sqlite3.Connection, name: str) -> int:
    """An integer pragma's value."""
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All or nothing: what happens inside is kept together, or not at all."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
