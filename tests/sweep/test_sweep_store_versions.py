"""The store's file over time: older versions, other stores, places where nothing can be written."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from test_sweep_store import DATA, EPOCHS, NETWORK, PLAIN, SCALED, SEEN, begin, trial

from explorer.errors import UserError
from explorer.sweep.importing import Imported, import_stores
from explorer.sweep.opening import RESERVE, DiskFull, digest
from explorer.sweep.records import MeasurementRecord
from explorer.sweep.schema import APPLICATION_ID, FILE, STEPS, VERSION
from explorer.sweep.store import Store

MEASUREMENT = MeasurementRecord("digest-a", {"device": "cpu", "batch": 8}, {"latency_ms": 1.5}, {"torch": "2"}, "2026")


def schema(path):
    with closing(sqlite3.connect(path)) as database:
        return sorted(database.execute("SELECT type, name, sql FROM sqlite_master").fetchall())


def version_1(folder):
    """A store as the first release wrote it: two trials, one environment in each."""
    folder.mkdir()
    with closing(sqlite3.connect(folder / FILE)) as database:
        database.executescript(STEPS[0])
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute("PRAGMA user_version = 1")
        database.execute("INSERT INTO networks VALUES ('digest-a', 'net a', 'net a', '[3, 32, 32]', 10, 20, 30, 4, 5)")
        database.execute("INSERT INTO data VALUES ('print', 'blank', '[3, 32, 32]', 10, 20, 10, 30, 'd', 'e')")
        for name in ("one", "two"):
            values = [name, "digest-a", "print", '{"lr": 0.1, "milestones": [0.5, 0.75]}', 0, "2epochs", "done", None]
            values += [2, 10, 0.25, 1.5, 0.5, 0.5, 1, 0.75, 2.5, 1.0, '{"torch": "2"}']
            values += ["2020-01-01T00:00:00", "2020-01-01T00:00:01"]
            database.execute(f"INSERT INTO trials VALUES ({', '.join('?' * len(values))})", values)
            database.execute("INSERT INTO history VALUES (?, 1, 0.5, 0.1, 2.0, 0.9, 2.1, 0.8)", [name])
        database.commit()
    return folder


def version_2(folder):
    """A store as the second release left it: what the first wrote, environments apart."""
    version_1(folder)
    with closing(sqlite3.connect(folder / FILE)) as database:
        database.create_function("sha256", 1, digest)
        database.executescript(STEPS[1])
        database.execute("PRAGMA user_version = 2")
        database.commit()
    return folder


OLDER = {1: version_1, 2: version_2}


@pytest.mark.parametrize("version", OLDER)
@pytest.mark.parametrize("action", [Store.open, Store.read])
def test_an_older_store_is_copied_and_brought_up_to_date(tmp_path, action, version):
    folder = OLDER[version](tmp_path / "old")
    before = schema(folder / FILE)
    with action(folder) as store:
        assert store.trials() == [trial("one"), trial("two")]
        assert store.history() == {name: [EPOCHS[0]] for name in ("one", "two")}
        assert (store.measurements(), store.observations()) == ([], {})
    backup = folder / f"explorer.version-{version}.sqlite"
    assert schema(backup) == before
    with closing(sqlite3.connect(backup)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (version,)
        assert database.execute("SELECT count(*) FROM history").fetchone() == (2,)


@pytest.mark.parametrize("version", OLDER)
def test_an_older_store_becomes_the_same_as_a_new_one(tmp_path, version):
    old = OLDER[version](tmp_path / "old")
    Store.open(old).close()
    Store.open(tmp_path / "new").close()
    assert schema(old / FILE) == schema(tmp_path / "new" / FILE)
    with closing(sqlite3.connect(old / FILE)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.parametrize(("version", "table"), [(1, "measurements"), (1, "observations"), (2, "observations")])
def test_a_step_that_fails_leaves_the_older_store_as_it_was(tmp_path, version, table):
    folder = OLDER[version](tmp_path / "old")
    with closing(sqlite3.connect(folder / FILE)) as database:
        database.execute(f"CREATE TABLE {table} (in_the_way)")
        database.commit()
    before = schema(folder / FILE)
    with pytest.raises(UserError, match=table):
        Store.open(folder)
    assert schema(folder / FILE) == before
    with closing(sqlite3.connect(folder / FILE)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (version,)
        assert database.execute("SELECT count(*) FROM trials").fetchone() == (2,)


def test_measurements_are_kept_beside_each_other(tmp_path):
    again = replace(MEASUREMENT, numbers={"latency_ms": 1.6}, measured="2027")
    with Store.open(tmp_path) as store:
        for measured in (again, MEASUREMENT, MEASUREMENT):
            store.record_measurement(NETWORK, measured)
        assert store.measurements() == [MEASUREMENT, again]


# -- other stores --------------------------------------------------------------------------------------------


def filled(folder, *trials, history=EPOCHS, **config):
    with Store.open(folder) as store:
        begin(store, [found.id for found in trials], **config)
        for found in trials:
            store.record(found, history, SEEN if history else ())
    return folder


def contents(folder):
    with Store.read(folder) as store:
        runs = [replace(run, id=0, created="") for run in store.runs()]
        return store.trials(), store.history(), store.observations(), store.candidates(), store.measurements(), runs


def test_what_another_store_has_comes_in_once(tmp_path):
    here = filled(tmp_path / "here", trial("a"), n=1)
    there = filled(tmp_path / "there", trial("a", test_error=0.0), trial("b", seed=1), n=2)
    with Store.open(there) as store:
        store.record_measurement(NETWORK, MEASUREMENT)
    assert import_stores(here, [there / FILE]) == [Imported(1, 1)]
    with Store.read(here) as store:
        assert store.trials() == [trial("a"), trial("b", seed=1)]
        assert store.history() == {"a": list(EPOCHS), "b": list(EPOCHS)}
        assert store.observations() == {"a": list(SEEN), "b": list(SEEN)}
        assert [(run.config, run.planned, run.finished) for run in store.runs()] == [({"n": 1}, 1, 1), ({"n": 2}, 2, 2)]
        assert store.candidates([2]) == [PLAIN, SCALED]
        assert store.measurements() == [MEASUREMENT]
    before = contents(here)
    assert import_stores(here, [there, there / FILE]) == [Imported(0, 0)] * 2
    assert contents(here) == before
    assert sorted(path.name for path in here.iterdir() if path.is_dir()) == []


def test_of_a_trial_in_both_a_finished_one_wins_and_of_two_ours(tmp_path):
    failed = {"status": "failed", "message": "died"}
    ours = [trial("a", **failed), trial("b"), trial("c", **failed)]
    theirs = [trial("a"), trial("b", **failed), trial("c", status="failed", message="otherwise")]
    here, there = filled(tmp_path / "here", *ours, history=()), filled(tmp_path / "there", *theirs)
    import_stores(here, [there])
    with Store.read(here) as store:
        assert {found.id: (found.status, found.message) for found in store.trials()} == {
            "a": ("done", None),
            "b": ("done", None),
            "c": ("failed", "died"),
        }
        assert (store.history(), store.observations()) == ({"a": list(EPOCHS)}, {"a": list(SEEN)})


def test_the_same_command_in_both_is_one_run(tmp_path):
    here = filled(tmp_path / "here", trial("a"), seeds=2)
    there = filled(tmp_path / "there", trial("b", seed=1), seeds=2)
    import_stores(here, [there])
    with Store.read(here) as store:
        assert [(run.id, run.planned, run.finished) for run in store.runs()] == [(1, 2, 2)]


def test_halves_put_together_in_either_order_are_the_whole(tmp_path):
    halves = [filled(tmp_path / name, trial(name, seed=seed), n=1) for seed, name in enumerate("ab")]
    whole = filled(tmp_path / "whole", trial("a"), trial("b", seed=1), n=1)
    for name, order in (("forth", halves), ("back", halves[::-1])):
        import_stores(tmp_path / name, order)
        assert contents(tmp_path / name) == contents(whole)


@pytest.mark.parametrize("version", OLDER)
def test_an_older_store_comes_in_and_stays_as_it_was(tmp_path, version):
    old = OLDER[version](tmp_path / "old")
    before = (old / FILE).read_bytes()
    assert import_stores(tmp_path / "here", [old]) == [Imported(2, 0)]
    assert (old / FILE).read_bytes() == before
    assert [path.name for path in old.iterdir()] == [FILE]


def test_what_is_no_store_is_refused_and_nothing_comes_in(tmp_path):
    here = filled(tmp_path / "here", trial("a"))
    newer, junk = filled(tmp_path / "newer", trial("b")), tmp_path / "junk"
    with closing(sqlite3.connect(newer / FILE)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    junk.write_bytes(b"no database" * 1000)
    before = contents(here)
    for other, message in (
        (tmp_path / "absent", "--import: there is no store"),
        (here, "own store"),
        (junk, "damaged"),
        (newer, f"version {VERSION + 1}.*update explorer"),
    ):
        with pytest.raises(UserError, match=message):
            import_stores(here, [other])
        assert contents(here) == before


# -- where nothing can be written ------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own, of 4 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]).returncode:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_on_a_full_disk_what_ended_is_kept_and_the_message_says_what_to_do(small_disk):
    with Store.open(small_disk / "work") as store:
        begin(store, ["a", "b", "c"])
        store.record(trial("a"), EPOCHS)
        fill(small_disk / "others")
        assert (small_disk / "work" / RESERVE).exists()
        with pytest.raises(DiskFull, match=r"the disk is full.*free some space"):
            store.record(trial("b", seed=1), EPOCHS)
        assert store.trials() == [trial("a"), trial("b", seed=1)]
        assert store.history() == {"a": list(EPOCHS), "b": list(EPOCHS)}
        (small_disk / "others").unlink()
        store.record(trial("c", seed=2), EPOCHS)
    with Store.open(small_disk / "work") as store:
        assert len(store.trials()) == 3
        assert (small_disk / "work" / RESERVE).exists()


def fill(path):
    """Take all the room that is left on a disk."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass


def test_a_disk_without_any_room_loses_only_what_is_not_stored(small_disk):
    with Store.open(small_disk / "work") as store:
        begin(store, ["a", "b"])
        store.record(trial("a"), EPOCHS)
        (small_disk / "work" / RESERVE).unlink()
        fill(small_disk / "others")
        with pytest.raises(DiskFull):
            store.record(trial("b"), [replace(EPOCHS[0], epoch=number) for number in range(1000)])
        assert store.trials() == [trial("a")]


def test_a_store_that_cannot_be_written_is_still_read(small_disk):
    folder = filled(small_disk / "work", trial("a"))
    before = contents(folder)
    assert subprocess.run(["mount", "-o", "remount,ro", str(small_disk)]).returncode == 0
    assert contents(folder) == before
    with pytest.raises(UserError, match="cannot write to the store"):
        Store.open(folder)


def test_an_older_store_that_cannot_be_written_says_what_to_do(small_disk):
    folder = version_1(small_disk / "work")
    assert subprocess.run(["mount", "-o", "remount,ro", str(small_disk)]).returncode == 0
    with pytest.raises(UserError, match=r"has version 1.*copy it to a folder where"):
        Store.read(folder)


def test_what_a_killed_process_had_stored_is_read(tmp_path):
    program = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from test_sweep_store import *;"
        "store = Store.open(sys.argv[2]); begin(store); store.record(trial(), EPOCHS); os.kill(os.getpid(), 9)"
    )
    arguments = [str(Path(__file__).parent), str(tmp_path / "work")]
    assert subprocess.run([sys.executable, "-c", program, *arguments]).returncode == -9
    assert (tmp_path / "work" / f"{FILE}-wal").stat().st_size > 0
    with Store.read(tmp_path / "work") as store:
        assert (store.trials(), store.history(), store.data()) == ([trial()], {"trial": list(EPOCHS)}, {"print": DATA})
