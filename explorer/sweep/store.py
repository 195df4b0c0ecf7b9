"""One SQLite file per workspace: every finished trial, kept in one transaction each, and never written twice.

Reading gives plain records (see `records`); `Store.rows` joins them, one flat dict per candidate and trial.
Only `to_pandas` imports pandas.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.errors import UserError
from explorer.sweep.records import (
    FAILED,
    FINISHED,
    CandidateRecord,
    DataRecord,
    EpochRecord,
    NetworkRecord,
    RunRecord,
    TrialRecord,
    now,
)
from explorer.sweep.schema import FILE, connect, damaged, explained, make_folder, transaction

if TYPE_CHECKING:
    import pandas

DEFAULT_WORKSPACE = Path("explorer-work")
_JSON = frozenset({"input", "shape", "scales", "recipe", "environment", "config"})  # columns that hold JSON
_TUPLES = frozenset({"input", "shape", "scales"})


class Store:
    """The store of one workspace. A context manager; one process writes, any number read."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self.path = path
        self._database = database
        self._database.row_factory = sqlite3.Row

    @classmethod
    def open(cls, workspace: str | Path = DEFAULT_WORKSPACE) -> "Store":
        """Open the workspace's store for writing, creating it if need be; UserError where impossible."""
        make_folder(Path(workspace))
        path = Path(workspace) / FILE
        return cls(path, connect(path))

    @classmethod
    def read(cls, workspace: str | Path = DEFAULT_WORKSPACE) -> "Store":
        """Open a store that must be there; UserError (what to run first) where it is not."""
        path = Path(workspace) / FILE
        if not path.is_file():
            raise UserError(
                f"there is no store {path}: run `explorer sweep` or `explorer train` first, "
                "or name its folder with --workspace"
            )
        return cls(path, connect(path))

    def close(self) -> None:
        """Close the file; what was recorded is safe already."""
        self._database.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- writing --------------------------------------------------------------------------------

    def begin_run(
        self,
        command: str,
        config: dict[str, Any],
        candidates: Sequence[CandidateRecord],
        data: DataRecord,
        trials: Iterable[str],
    ) -> int:
        """Record what a command is about to do; its run number, the same as before for the same command."""
        with explained(self.path), transaction(self._database):
            self._insert("runs", {"created": now(), "command": command, "config": config})
            query = "SELECT id FROM runs WHERE command = ? AND config = ?"
            run = int(self._database.execute(query, (command, _encoded("config", config))).fetchone()[0])
            self._insert("data", asdict(data), update=True)
            self._place(run, candidates)
            for trial in trials:
                self._insert("members", {"run": run, "trial": trial})
        return run

    def _place(self, run: int, candidates: Sequence[CandidateRecord]) -> None:
        """Write the candidates of a run, replacing those of its earlier start."""
        self._database.execute("DELETE FROM candidates WHERE run = ?", (run,))
        self._database.execute("DELETE FROM members WHERE run = ?", (run,))
        for position, candidate in enumerate(candidates):
            self._insert("networks", asdict(candidate.network), update=True)
            row = {"run": run, "position": position, "text": candidate.text, "base": candidate.base}
            row |= {"scales": candidate.scales, "network": candidate.network.digest}
            self._insert("candidates", row)

    def record(self, trial: TrialRecord, history: Sequence[EpochRecord] = ()) -> None:
        """Keep one ended trial with its history, in one transaction. A finished trial is never replaced."""
        with explained(self.path), transaction(self._database):
            self._database.execute("DELETE FROM trials WHERE id = ? AND status = ?", (trial.id, FAILED))
            if self._insert("trials", asdict(trial)):
                for row in history:
                    self._insert("history", {"trial": trial.id} | asdict(row))

    def _insert(self, table: str, row: dict[str, Any], update: bool = False) -> bool:
        """Insert a row; where its key is there, update it or leave it as it was. Whether anything changed."""
        marks = ", ".join("?" * len(row))
        values = [_encoded(k, v) for k, v in row.items()]
        known = f"UPDATE SET {', '.join(f'{k} = excluded.{k}' for k in row)}" if update else "NOTHING"
        statement = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks}) ON CONFLICT DO {known}"
        return self._database.execute(statement, values).rowcount > 0

    # -- reading --------------------------------------------------------------------------------

    def runs(self) -> list[RunRecord]:
        """All runs, oldest first."""
        query = """
          SELECT runs.*, count(members.trial) AS planned,
            count(CASE WHEN trials.status IN ('done', 'diverged') THEN 1 END) AS finished,
            count(CASE WHEN trials.status = 'failed' THEN 1 END) AS failed
          FROM runs LEFT JOIN members ON members.run = runs.id LEFT JOIN trials ON trials.id = members.trial
          GROUP BY runs.id ORDER BY runs.id"""
        return [RunRecord(**row) for row in self._query(query)]

    def candidates(self, runs: Sequence[int] | None = None) -> list[CandidateRecord]:
        """The distinct candidates of the given runs (None: of all), in the order of their runs."""
        query = f"""
          SELECT candidates.text AS label, base, scales, networks.* FROM candidates
          JOIN networks ON networks.digest = candidates.network {_among("run", runs)}
          ORDER BY run, position"""
        found = [_candidate(row) for row in self._query(query)]
        return list(dict.fromkeys(found))

    def trials(self, runs: Sequence[int] | None = None) -> list[TrialRecord]:
        """The ended trials that belong to the given runs (None: all trials), ordered by seed, then by end."""
        query = f"SELECT * FROM trials {_members('id', runs)} ORDER BY seed, finished"
        return [TrialRecord(**row) for row in self._query(query)]

    def history(self, runs: Sequence[int] | None = None) -> dict[str, list[EpochRecord]]:
        """The epochs of every trial of the given runs (None: of all), by trial id."""
        found: dict[str, list[EpochRecord]] = {}
        for row in self._query(f"SELECT * FROM history {_members('trial', runs)} ORDER BY trial, epoch"):
            found.setdefault(row.pop("trial"), []).append(EpochRecord(**row))
        return found

    def data(self) -> dict[str, DataRecord]:
        """Every data set that was trained on, by fingerprint."""
        return {row["fingerprint"]: DataRecord(**row) for row in self._query("SELECT * FROM data")}

    def finished(self, trials: Iterable[str]) -> set[str]:
        """Which of these trial ids need not be run: they ended done or diverged."""
        query = "SELECT id FROM trials WHERE id = ? AND status IN (?, ?)"
        return {trial for trial in trials if self._query(query, (trial, *FINISHED))}

    def rows(self, runs: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """One flat dict per candidate and trial, for tables and exports; a trial's columns None: not run."""
        trials = self.trials(runs)
        data = self.data()
        rows = []
        for candidate in self.candidates(runs):
            own = [t for t in trials if t.network == candidate.network.digest]
            rows += [_flat(candidate, trial, data[trial.data]) for trial in own]
            rows += [] if own else [_flat(candidate, None, None)]
        return rows

    def _query(self, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """The rows of a query as dicts, JSON decoded."""
        with explained(self.path):
            rows = self._database.execute(query, values).fetchall()
        try:
            return [{key: _decoded(key, row[key]) for key in row.keys()} for row in rows]  # noqa: SIM118
        except (ValueError, TypeError) as error:
            raise UserError(damaged(self.path, f"not JSON: {error}")) from error


def to_pandas(rows: Sequence[Any]) -> "pandas.DataFrame":
    """Records or dicts as a data frame, one row each."""
    import pandas

    return pandas.DataFrame([row if isinstance(row, dict) else asdict(row) for row in rows])


def _among(column: str, runs: Sequence[int] | None) -> str:
    """A WHERE clause for the given runs; integers only, so nothing can be smuggled in."""
    return "" if runs is None else f"WHERE {column} IN ({', '.join(str(int(run)) for run in runs)})"


def _members(column: str, runs: Sequence[int] | None) -> str:
    """A WHERE clause for the trials that belong to the given runs."""
    return "" if runs is None else f"WHERE {column} IN (SELECT trial FROM members {_among('run', runs)})"


def _encoded(column: str, value: Any) -> Any:
    """A record's value as it is stored: JSON with sorted keys, so that equal values are equal texts."""
    return json.dumps(value, sort_keys=True) if column in _JSON and value is not None else value


def _decoded(column: str, value: Any) -> Any:
    """A stored value as its record holds it."""
    if column not in _JSON or value is None:
        return value
    return tuple(json.loads(value)) if column in _TUPLES else json.loads(value)


def _candidate(row: dict[str, Any]) -> CandidateRecord:
    """A candidate from its joined row."""
    network = NetworkRecord(**{field.name: row[field.name] for field in fields(NetworkRecord)})
    return CandidateRecord(row["label"], row["base"], row["scales"], network)


_TRIAL_COLUMNS = [field.name for field in fields(TrialRecord) if field.name not in ("network", "data")]


def _flat(candidate: CandidateRecord, trial: TrialRecord | None, data: DataRecord | None) -> dict[str, Any]:
    """Candidate, cost, data and trial side by side."""
    network = {k: v for k, v in asdict(candidate.network).items() if k != "text"}
    row = {"text": candidate.text, "base": candidate.base, "scales": candidate.scales} | network
    row |= {"data": data.name if data else None}
    return row | {column: getattr(trial, column) if trial else None for column in _TRIAL_COLUMNS}
