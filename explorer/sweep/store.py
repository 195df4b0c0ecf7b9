"""One SQLite file per workspace: every finished trial, kept in one transaction each, and never written twice.

Reading gives plain records (see `records`); `Store.rows` joins them, one flat dict per candidate and trial.
Only `frame` and `to_pandas` import pandas.
"""

import gc
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from explorer.sweep.cells import DECODERS, among, columns, encoded, made, members, trials_of, with_decoded
from explorer.sweep.opening import (
    DiskFull,
    check_pages,
    connect,
    connect_to_read,
    damaged,
    digest,
    explained,
    give_up_reserve,
    is_there,
    keep_reserve,
    make_folder,
    missing,
    transaction,
)
from explorer.sweep.records import (
    FAILED,
    FINISHED,
    CandidateRecord,
    DataRecord,
    EpochRecord,
    MeasurementRecord,
    NetworkRecord,
    Observation,
    RunRecord,
    TrialRecord,
    now,
)
from explorer.sweep.schema import FILE

if TYPE_CHECKING:
    import pandas

DEFAULT_WORKSPACE = Path("explorer-work")
TRIAL = tuple(field.name for field in fields(TrialRecord))
ERRORS = ("train_error", "validation_error", "test_error")
_R = TypeVar("_R", EpochRecord, Observation)
BRIEF = ("id", "network", "data", "recipe", "seed", "budget", "status", *ERRORS, "finished")


@contextmanager
def collector_paused() -> Iterator[None]:
    """While many rows are read: the garbage collector would look through all of them again and again."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


class Store:
    """The store of one workspace. A context manager; any number of processes read and write it at once."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self.path = path
        self.database = database
        self._known_environments: dict[str, dict[str, Any]] = {}

    @classmethod
    def open(cls, workspace: str | Path = DEFAULT_WORKSPACE) -> "Store":
        """Open the workspace's store for writing, creating it if need be; UserError where impossible."""
        make_folder(Path(workspace))
        path = Path(workspace) / FILE
        database = connect(path)
        keep_reserve(path.parent)
        return cls(path, database)

    @classmethod
    def read(cls, workspace: str | Path = DEFAULT_WORKSPACE) -> "Store":
        """Open a store that must be there; UserError (what to run first) where it is not."""
        path = Path(workspace) / FILE
        if not is_there(path):
            raise missing(path)
        return cls(path, connect_to_read(path))

    def close(self) -> None:
        """Close the file; what was recorded is safe already."""
        self.database.close()

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
        with explained(self.path), transaction(self.database):
            self._insert("runs", {"created": now(), "command": command, "config": config})
            query = "SELECT id FROM runs WHERE command = ? AND config = ?"
            run = int(self.database.execute(query, (command, encoded("config", config))).fetchone()[0])
            self._insert("data", asdict(data), update=True)
            self._place(run, candidates)
            for trial in trials:
                self._insert("members", {"run": run, "trial": trial})
        return run

    def _place(self, run: int, candidates: Sequence[CandidateRecord]) -> None:
        """Write the candidates of a run, replacing those of its earlier start."""
        self.database.execute("DELETE FROM candidates WHERE run = ?", (run,))
        self.database.execute("DELETE FROM members WHERE run = ?", (run,))
        for position, candidate in enumerate(candidates):
            self._insert("networks", asdict(candidate.network), update=True)
            row = {"run": run, "position": position, "text": candidate.text, "base": candidate.base}
            row |= {"scales": candidate.scales, "network": candidate.network.digest}
            self._insert("candidates", row)

    def record(
        self, trial: TrialRecord, history: Sequence[EpochRecord] = (), observations: Sequence[Observation] = ()
    ) -> None:
        """Keep one ended trial and what belongs to it, in one transaction. A finished trial is never replaced.

        DiskFull where there is no room: what has ended is kept even then, in a room reserved for that.
        """
        try:
            self._record(trial, history, observations)
        except DiskFull:
            if give_up_reserve(self.path.parent):
                self._record(trial, history, observations)
            raise

    def _record(self, trial: TrialRecord, history: Sequence[EpochRecord], observations: Sequence[Observation]) -> None:
        with explained(self.path), transaction(self.database):
            self.database.execute("DELETE FROM trials WHERE id = ? AND status = ?", (trial.id, FAILED))
            if self._insert("trials", asdict(trial) | {"environment": self._environment(trial.environment)}):
                for row in history:
                    self._insert("history", {"trial": trial.id} | asdict(row))
                for seen in observations:
                    self._insert("observations", {"trial": trial.id} | asdict(seen))

    def record_measurement(self, network: NetworkRecord, measurement: MeasurementRecord) -> None:
        """Keep what was measured of a network; measured again, it is kept beside the earlier."""
        row = asdict(measurement)
        identity = digest(json.dumps(row, sort_keys=True))
        with explained(self.path), transaction(self.database):
            self._insert("networks", asdict(network), update=True)
            row |= {"id": identity, "environment": self._environment(measurement.environment)}
            self._insert("measurements", row)

    def _environment(self, content: dict[str, Any]) -> str:
        """The key of an environment, which is kept once."""
        key = digest(encoded("content", content))
        self._insert("environments", {"digest": key, "content": content})
        return key

    def _insert(self, table: str, row: dict[str, Any], update: bool = False) -> bool:
        """Insert a row; where its key is there, update it or leave it as it was. Whether anything changed."""
        marks = ", ".join("?" * len(row))
        values = [encoded(k, v) for k, v in row.items()]
        known = f"UPDATE SET {', '.join(f'{k} = excluded.{k}' for k in row)}" if update else "NOTHING"
        statement = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks}) ON CONFLICT DO {known}"
        return self.database.execute(statement, values).rowcount > 0

    # -- reading --------------------------------------------------------------------------------

    def runs(self) -> list[RunRecord]:
        """All runs, oldest first."""
        query = f"""
          SELECT {columns(RunRecord, "runs", 4)}, count(members.trial),
            count(CASE WHEN trials.status IN ('done', 'diverged') THEN 1 END),
            count(CASE WHEN trials.status = 'failed' THEN 1 END)
          FROM runs LEFT JOIN members ON members.run = runs.id LEFT JOIN trials ON trials.id = members.trial
          GROUP BY runs.id ORDER BY runs.id"""
        return [RunRecord(*row) for row in self._query(query)]

    def candidates(self, runs: Sequence[int] | None = None) -> list[CandidateRecord]:
        """The distinct candidates of the given runs (None: of all), in the order of their runs."""
        query = f"""
          SELECT candidates.text, base, scales, {columns(NetworkRecord, "networks")} FROM candidates
          JOIN networks ON networks.digest = candidates.network {among("run", runs)}
          ORDER BY run, position"""
        found = dict.fromkeys(self._query(query))
        return [CandidateRecord(text, base, scales, NetworkRecord(*network)) for text, base, scales, *network in found]

    @collector_paused()
    def trials(self, runs: Sequence[int] | None = None, brief: bool = False) -> list[TrialRecord]:
        """The ended trials that belong to the given runs (None: all trials), ordered by seed, then by end.

        `brief`: only with the fields that tables of errors need, BRIEF; the others are None.
        """
        names = BRIEF if brief else TRIAL
        cells = ", ".join(f"trials.{name}" for name in names)
        found = made(TrialRecord, self._query(f"SELECT {cells} FROM {trials_of(runs)}"), names)
        return sorted(found, key=_BY_SEED)  # SQLite would carry whole rows around

    def trial(self, trial: str) -> TrialRecord | None:
        """An ended trial by its id; None: it has not ended."""
        found = self._query(f"SELECT {', '.join(TRIAL)} FROM trials WHERE id = ?", (trial,))
        return TrialRecord(*found[0]) if found else None

    def _environment_of(self, key: str) -> dict[str, Any]:
        """An environment by its key; each is read once."""
        if key not in self._known_environments:
            rows = self._query("SELECT digest, content FROM environments")
            self._known_environments = dict(rows)
        return self._known_environments[key]

    def epochs(self, trials: Iterable[str]) -> dict[str, list[EpochRecord]]:
        """The epochs of these trials, by trial id; no others are looked at."""
        query = f"SELECT {columns(EpochRecord)} FROM history WHERE trial = ? ORDER BY epoch"
        found = {trial: [EpochRecord(*epoch) for epoch in self._query(query, (trial,))] for trial in trials}
        return {trial: epochs for trial, epochs in found.items() if epochs}

    def history(self, runs: Sequence[int] | None = None) -> dict[str, list[EpochRecord]]:
        """The epochs of every trial of the given runs (None: of all), by trial id."""
        return self._by_trial("history", EpochRecord, runs)

    def observations(self, runs: Sequence[int] | None = None) -> dict[str, list[Observation]]:
        """What was observed in every trial of the given runs (None: of all), by trial id, first epochs first."""
        return self._by_trial("observations", Observation, runs)

    @collector_paused()
    def _by_trial(self, table: str, record: type[_R], runs: Sequence[int] | None) -> dict[str, list[_R]]:
        """These two tables are most of the file: their pages are checked here, not before they are wanted."""
        with explained(self.path):
            check_pages(self.database, self.path, (table,))
        query = f"SELECT trial, {columns(record)} FROM {table} {members('trial', runs)} ORDER BY trial, epoch"
        found: dict[str, list[_R]] = {}
        for trial, *values in self._query(query):
            found.setdefault(trial, []).append(record(*values))
        return found

    def data(self) -> dict[str, DataRecord]:
        """Every data set that was trained on, by fingerprint."""
        return {row[0]: DataRecord(*row) for row in self._query(f"SELECT {columns(DataRecord)} FROM data")}

    def measurements(self) -> list[MeasurementRecord]:
        """All that was measured on devices, oldest first."""
        query = f"SELECT {columns(MeasurementRecord)} FROM measurements ORDER BY measured, id"
        return [MeasurementRecord(*row) for row in self._query(query)]

    def measured(self) -> list[dict[str, Any]]:
        """The same, one flat dict each: network, setting, numbers and device side by side."""
        query = f"SELECT {columns(NetworkRecord)} FROM networks WHERE digest IN (SELECT network FROM measurements)"
        networks = {row[0]: asdict(NetworkRecord(*row)) for row in self._query(query)}
        found = []
        for one in self.measurements():
            network = networks[one.network]
            about = {name: one.environment.get(name) for name in ("device_name", "threads")}
            about |= {"input": network["input"], "measured": one.measured}  # a setting's input may be the network's own
            found.append(network | one.setting | one.numbers | about)
        return found

    def finished(self, trials: Iterable[str]) -> set[str]:
        """Which of these trial ids need not be run: they ended done or diverged."""
        query = "SELECT id FROM trials WHERE id = ? AND status IN (?, ?)"
        return {trial for trial in trials if self._query(query, (trial, *FINISHED))}

    @collector_paused()
    def rows(self, runs: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """One flat dict per candidate and trial, for exports; a trial's columns None: not run. No epochs."""
        return [dict(zip(ROW, row, strict=True)) for row in self._rows(runs)]

    @collector_paused()
    def frame(self, runs: Sequence[int] | None = None) -> "pandas.DataFrame":
        """The same as a data frame."""
        import pandas

        return pandas.DataFrame(self._rows(runs), columns=list(ROW))

    def _rows(self, runs: Sequence[int] | None) -> list[tuple[Any, ...]]:
        """The cells of ROW."""
        names = {fingerprint: data.name for fingerprint, data in self.data().items()}
        query = f"SELECT trials.network, data, {', '.join(_TRIAL_CELLS)} FROM {trials_of(runs)} ORDER BY seed, finished"
        trials: dict[str, list[tuple[Any, ...]]] = {}
        for network, data, *own in self._query(query):
            trials.setdefault(network, []).append((names[data], *own))
        nothing = [(None,) * (1 + len(_TRIAL_CELLS))]
        found = []
        for candidate in self.candidates(runs):
            fixed = (candidate.text, candidate.base, candidate.scales)
            fixed += tuple(getattr(candidate.network, name) for name in _NETWORK_CELLS)
            found += [fixed + own for own in trials.get(candidate.network.digest, nothing)]
        return found

    def _query(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query, JSON decoded."""
        with explained(self.path):
            cursor = self.database.execute(query, values)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        known = DECODERS | {"environment": self._environment_of}
        decoders = [(at, known[name]) for at, (name, *_) in enumerate(cursor.description) if name in known]
        try:
            return [with_decoded(row, decoders) for row in rows] if decoders else rows
        except (ValueError, TypeError, KeyError) as error:
            raise damaged(self.path, f"not what was stored: {error}") from error


def to_pandas(rows: Sequence[Any]) -> "pandas.DataFrame":
    """Records or dicts as a data frame, one row each."""
    import pandas

    return pandas.DataFrame([row if isinstance(row, dict) else asdict(row) for row in rows])


_BY_SEED = attrgetter("seed", "finished")
_TRIAL_CELLS = [f"trials.{name}" for name in TRIAL if name not in ("network", "data")]
_NETWORK_CELLS = [field.name for field in fields(NetworkRecord) if field.name != "text"]
ROW = (
    *("text", "base", "scales", *_NETWORK_CELLS, "data"),
    *(field.name for field in fields(TrialRecord) if field.name not in ("network", "data")),
)
