"""The store: what is written is read back, in one piece; what cannot be used is refused in one sentence."""

import sqlite3
from dataclasses import replace

import pytest

from explorer.errors import UserError
from explorer.sweep.records import CandidateRecord, DataRecord, EpochRecord, NetworkRecord, Observation, TrialRecord
from explorer.sweep.schema import FILE, VERSION
from explorer.sweep.store import Store, to_pandas

NETWORK = NetworkRecord("digest-a", "net a", "net a", (3, 32, 32), 10, 2**40, 30, 4, 5)
OTHER = replace(NETWORK, digest="digest-b", canonical="net b", text="net b")
PLAIN = CandidateRecord("net a", "net a", (), NETWORK)
SCALED = CandidateRecord("net a + mssar(1,2)", "net a", (1, 2), OTHER)
DATA = DataRecord("print", "blank", (3, 32, 32), 10, 20, 10, 30, "blank images", "of nothing")
EPOCHS = (EpochRecord(1, 0.5, 0.1, 2.0, 0.9, 2.1, 0.8), EpochRecord(2, 1.0, 0.01, None, 0.9, None, None))
SEEN = (Observation(0, "pairs", {"layers": [1, None]}), Observation(1, "a", 0.5), Observation(1, "pairs", []))


def trial(name="trial", network="digest-a", seed=0, **more):
    fields = {"recipe": {"lr": 0.1, "milestones": [0.5, 0.75]}, "budget": "2epochs", "status": "done"}
    fields |= {"message": None, "epochs": 2, "steps": 10, "train_error": 0.25, "train_loss": 1.5}
    fields |= {"validation_error": 0.5, "best_validation_error": 0.5, "best_epoch": 1}
    fields |= {"test_error": 0.75, "test_loss": 2.5, "seconds": 1.0, "environment": {"torch": "2"}}
    fields |= {"started": "2020-01-01T00:00:00", "finished": "2020-01-01T00:00:01"}
    return TrialRecord(id=name, network=network, data="print", seed=seed, **fields | more)


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "work") as store:
        yield store


def begin(store, trials=("trial",), **config):
    return store.begin_run("sweep", config, [PLAIN, SCALED], DATA, trials)


def test_what_is_recorded_is_read_back_by_another_process_of_the_store(store, tmp_path):
    run = begin(store)
    store.record(trial(), EPOCHS, SEEN)
    with Store.read(tmp_path / "work") as other:
        assert other.observations([run]) == other.observations() == {"trial": list(SEEN)}
        assert other.trials([run]) == other.trials() == [trial()]
        assert other.history([run]) == other.history() == {"trial": list(EPOCHS)}
        assert other.candidates([run]) == [PLAIN, SCALED]
        assert other.data() == {"print": DATA}


def test_not_measured_is_null(store):
    begin(store)
    store.record(trial(status="failed", message="died", test_error=None, epochs=None))
    raw = sqlite3.connect(store.path).execute("SELECT test_error, epochs FROM trials").fetchone()
    assert raw == (None, None)
    assert store.trials()[0].test_error is None


def test_a_finished_trial_is_never_replaced(store):
    begin(store)
    store.record(trial(), EPOCHS)
    store.record(trial(test_error=0.0), EPOCHS[:1])
    store.record(trial(status="failed", message="died"))
    assert store.trials() == [trial()]
    assert store.history() == {"trial": list(EPOCHS)}


def test_a_failed_trial_is_replaced_with_its_history(store):
    begin(store)
    store.record(trial(status="failed", message="died"), EPOCHS, SEEN)
    assert store.finished(["trial"]) == set()
    store.record(trial(), EPOCHS[:1], SEEN[1:])
    assert store.trials() == [trial()]
    assert store.history() == {"trial": [EPOCHS[0]]}
    assert store.observations() == {"trial": list(SEEN[1:])}
    assert store.finished(["trial", "unknown"]) == {"trial"}


def test_a_trial_and_its_history_are_one_transaction(store):
    begin(store)
    with pytest.raises(sqlite3.IntegrityError):
        store.record(trial(), [EPOCHS[0], replace(EPOCHS[1], lr=None)])
    with pytest.raises(sqlite3.IntegrityError):
        store.record(trial(), EPOCHS, [replace(SEEN[0], value=None)])
    assert store.trials() == []
    assert store.history() == store.observations() == {}


def test_the_same_command_is_the_same_run(store):
    first = begin(store, ["trial", "later"], seeds=2, budget="2epochs")
    store.record(trial())
    assert begin(store, ["trial", "later"], budget="2epochs", seeds=2) == first
    second = begin(store, ["trial"], seeds=1, budget="2epochs")
    assert [(run.id, run.planned, run.finished, run.failed) for run in store.runs()] == [
        (first, 2, 1, 0),
        (second, 1, 1, 0),
    ]
    assert store.runs()[0].config == {"seeds": 2, "budget": "2epochs"}


def test_costs_follow_the_latest_ledger(store):
    begin(store)
    store.record(trial())
    recounted = replace(PLAIN, network=replace(NETWORK, depth=99))
    store.begin_run("sweep", {}, [recounted], DATA, ["trial"])
    assert store.candidates() == [recounted]
    assert store.trials() == [trial()]


def test_runs_show_their_own_trials_only(store):
    first, second = begin(store, ["a"], n=1), begin(store, ["b"], n=2)
    store.record(trial("a"))
    store.record(trial("b", seed=1), EPOCHS)
    assert [found.id for found in store.trials([second])] == ["b"]
    assert list(store.history([first])) == []
    assert [found.id for found in store.trials([first, second])] == ["a", "b"]
    assert store.trials([]) == []
    assert store.candidates() == [PLAIN, SCALED]


def test_rows_have_every_candidate_trained_or_not(store):
    begin(store, ["trial", "more"])
    store.record(trial())
    store.record(trial("more", seed=1, status="diverged", test_error=None))
    rows = store.rows()
    assert [(row["text"], row["scales"], row["macs"], row["seed"], row["test_error"]) for row in rows] == [
        ("net a", (), 2**40, 0, 0.75),
        ("net a", (), 2**40, 1, None),
        ("net a + mssar(1,2)", (1, 2), 2**40, None, None),
    ]
    assert [row["data"] for row in rows] == ["blank", "blank", None]
    frame = to_pandas(rows)
    assert len(frame) == 3
    assert frame["test_error"].count() == 1


# -- what cannot be used --------------------------------------------------------------------------------


def refused(workspace, action=Store.read):
    """The message with which a workspace is refused."""
    with pytest.raises(UserError) as caught, action(workspace) as store:
        store.rows()
        store.history()
    assert len(str(caught.value)) < 500
    return str(caught.value)


def test_no_store_says_what_to_run_first(tmp_path):
    message = refused(tmp_path / "nothing")
    assert "run `explorer sweep`" in message
    assert str(tmp_path / "nothing" / FILE) in message
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("action", [Store.open, Store.read])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path, action):
    (tmp_path / FILE).write_bytes(b"these are not the bytes of a database\n" * 500)
    before = (tmp_path / FILE).read_bytes()
    message = refused(tmp_path, action)
    assert f"{tmp_path / FILE} is damaged" in message
    assert "move it away" in message
    assert (tmp_path / FILE).read_bytes() == before


def filled(workspace):
    """A store of several pages, closed."""
    with Store.open(workspace) as store:
        begin(store, [str(number) for number in range(60)])
        for number in range(60):
            store.record(trial(str(number), seed=number), [replace(EPOCHS[0], epoch=n) for n in range(40)])
    return (workspace / FILE).read_bytes()


@pytest.mark.parametrize("damage", ["zeros", "noise", "cut", "header"])
def test_a_damaged_store_is_refused(tmp_path, damage):
    content = filled(tmp_path)
    assert len(content) > 20 * 4096
    third = len(content) // 3 // 4096 * 4096
    damaged = {
        "zeros": content[:third] + bytes(4 * 4096) + content[third + 4 * 4096 :],
        "noise": content[:third] + b"\x07\xf3garbage" * 2000 + content[third + 18000 :],
        "cut": content[:third],
        "header": content[:40] + b"\xff" * 60 + content[100:],
    }[damage]
    (tmp_path / FILE).write_bytes(damaged)
    assert "damaged" in refused(tmp_path) or "version" in refused(tmp_path)


def test_a_newer_version_asks_for_an_update(tmp_path):
    filled(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    message = refused(tmp_path)
    assert f"version {VERSION + 1}" in message
    assert "update explorer" in message


@pytest.mark.parametrize("version", [0, VERSION, 77])
def test_another_programs_database_is_refused_and_left_alone(tmp_path, version):
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("CREATE TABLE songs (name)")
        database.execute(f"PRAGMA user_version = {version}")
    before = (tmp_path / FILE).read_bytes()
    assert "another program's database" in refused(tmp_path, Store.open)
    assert (tmp_path / FILE).read_bytes() == before


def test_json_that_is_none_is_refused(tmp_path):
    filled(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("UPDATE trials SET recipe = '{'")
    assert "not what was stored" in refused(tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    message = refused(tmp_path / "file" / "work", Store.open)
    assert f"cannot create the workspace folder {tmp_path / 'file' / 'work'}" in message
    assert "--workspace" in message


def test_a_workspace_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    assert "cannot create the workspace folder" in refused(tmp_path / "file", Store.open)


def test_a_store_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / FILE).mkdir()  # as root, permissions stop nobody
    assert "cannot write to the store" in refused(tmp_path, Store.open)


def test_a_store_in_use_by_another_writer_waits_then_says_so(tmp_path, monkeypatch):
    filled(tmp_path)
    with Store.open(tmp_path) as store, sqlite3.connect(tmp_path / FILE, isolation_level=None) as other:
        store.database.execute("PRAGMA busy_timeout = 50")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UserError, match="locked by another process"):
            store.record(trial("new"))
        other.execute("ROLLBACK")
        store.record(trial("new"))
        assert store.finished(["new"]) == {"new"}
