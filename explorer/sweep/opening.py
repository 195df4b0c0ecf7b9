"""Opening the store's file: sound, of this version, or refused with a sentence that says what to do."""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from explorer.errors import UserError
from explorer.sweep.schema import APPLICATION_ID, FILE, VERSION, statements

BUSY_SECONDS = 30.0  # how long one writer waits for another
READ_BY_ALL = ("runs", "members", "candidates", "networks", "trials", "environments")  # but the long ones
RESERVE = "explorer.reserve"
RESERVE_BYTES = 2**20  # room for what ends on a full disk: a few hundred trials with 20 epochs each


class DiskFull(UserError):
    """There is no room for what should be written; what was there before is untouched."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what sqlite raises about `path` into one sentence saying what to do."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):  # ours, not the file's
        raise
    except sqlite3.DatabaseError as error:
        raise _explanation(path, error) from error


def _explanation(path: Path, error: sqlite3.DatabaseError) -> UserError:
    """What went wrong with the file at `path`, in words."""
    reason = str(error) if not path.is_dir() else "unable to open it, as it is a folder"
    if "disk is full" in reason:
        return DiskFull(f"the disk is full: {path} cannot grow; free some space, and the same command goes on")
    if any(sign in reason for sign in ("readonly", "unable to open", "disk I/O")):
        return UserError(f"cannot write to the store {path}: {reason}; choose another folder with --workspace")
    if "locked" in reason:
        return UserError(f"the store {path} is locked by another process; try again when it has ended")
    return damaged(path, reason)


def damaged(path: Path, reason: str) -> UserError:
    """The error about a file that cannot be trusted."""
    return UserError(
        f"the store {path} is damaged or not explorer's ({reason}); move it away, then `explorer report --import` "
        "a copy of it if there is one, or choose another folder with --workspace"
    )


def make_folder(workspace: Path) -> None:
    """Create the workspace folder; UserError where that is impossible."""
    try:
        workspace.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"{workspace} is a file" if workspace.is_file() else error.strerror
        raise UserError(
            f"cannot create the workspace folder {workspace}: {reason}; choose another with --workspace"
        ) from error


def is_there(path: Path) -> bool:
    """Whether a store lies at `path`. UserError where that cannot be told: a closed folder, a name that is too long."""
    try:
        return path.is_file()
    except OSError as error:
        reason = f"cannot look for the store {path}: {error.strerror}"
        raise UserError(f"{reason}; choose another folder with --workspace") from error


def missing(path: Path) -> UserError:
    """The error about a store that should be there."""
    what = f"there is no store {path}"
    if path.is_dir() or path.parent.is_file():
        what += f": {path} is a folder" if path.is_dir() else f": {path.parent} is a file"
        return UserError(f"{what}; name the folder of a store with --workspace")
    return UserError(f"{what}: run `explorer sweep` or `explorer train` first, or name its folder with --workspace")


def check_usable(workspace: Path) -> None:
    """UserError for a workspace whose store `connect` would refuse, or that cannot be made; nothing is changed."""
    path = workspace / FILE
    if is_there(path):
        with closing(_reading(path)) as database, explained(path):
            check_pages(database, path)
    folder = next(place for place in (workspace, *workspace.absolute().parents) if place.exists())
    if not folder.is_dir():
        reason = f"cannot create the workspace folder {workspace}: {folder} is a file"
    elif path.is_dir():
        reason = f"cannot write to the store {path}: it is a folder"
    elif not os.access(folder, os.W_OK) or (path.is_file() and not os.access(path, os.W_OK)):
        reason = f"cannot write to the store {path}: it is readonly"
    else:
        return
    raise UserError(f"{reason}; choose another folder with --workspace")


def connect(path: Path) -> sqlite3.Connection:
    """Open the store at `path` for writing, new or brought to this version; UserError if it is not usable."""
    with explained(path):
        database = _connection(path)
        try:
            _bring_up_to_date(database, path)
            check_pages(database, path)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")  # a trial takes seconds, an fsync milliseconds
            database.execute("PRAGMA foreign_keys = ON")
            if not os.access(path, os.W_OK):  # better known now than when a trial has ended
                raise sqlite3.OperationalError("it is readonly")
        except BaseException:
            database.close()
            raise
        return database


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a store that is there and change nothing, but for bringing an older one up to date."""
    database = _reading(path)
    version = _version(database, path)
    if version < VERSION:
        database.close()
        try:
            connect(path).close()
        except UserError as error:
            raise UserError(
                f"the store {path} has version {version} and must be brought to {VERSION} to be read; "
                f"copy it to a folder where that is possible: {error}"
            ) from error
        database = _reading(path)
    with explained(path):
        check_pages(database, path, READ_BY_ALL)
    return database


def _reading(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing, to a store of this or an older version. UserError where there is none."""
    database = _connection(path, "?mode=ro")
    try:
        _version(database, path)
    except sqlite3.OperationalError as error:
        database.close()
        return _frozen(path, error)
    except sqlite3.DatabaseError as error:
        database.close()
        raise _explanation(path, error) from error
    return database


def _frozen(path: Path, error: sqlite3.OperationalError) -> sqlite3.Connection:
    """As `_reading`, where not even the files beside the store that its readers share can be written."""
    if not any(sign in str(error) for sign in ("readonly", "unable to open")) or not path.is_file():
        raise _explanation(path, error) from error
    log = path.with_name(f"{path.name}-wal")
    if log.is_file() and log.stat().st_size:
        raise UserError(
            f"the store {path} was not closed and cannot be read in place: copy {path.name}* to a folder "
            "that can be written, and name that with --workspace"
        ) from error
    with explained(path):
        database = _connection(path, "?immutable=1")
        _version(database, path)
        return database


def _connection(path: Path, how: str = "") -> sqlite3.Connection:
    """A connection in autocommit, with the function that steps of the schema use."""
    address = f"{path.resolve().as_uri()}{how}"
    database = sqlite3.connect(address, isolation_level=None, timeout=BUSY_SECONDS, uri=True)
    database.create_function("sha256", 1, digest, deterministic=True)
    return database


def digest(text: str) -> str:
    """sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _version(database: sqlite3.Connection, path: Path) -> int:
    """A store's version, 0 of an empty file; UserError for what is not ours, or newer than this program."""
    version = _pragma(database, "user_version")
    ours = _pragma(database, "application_id") == APPLICATION_ID
    if not ours and (version or database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]):
        raise damaged(path, "another program's database")
    if version > VERSION:
        raise UserError(
            f"the store {path} has version {version}, this explorer reads up to {VERSION}; "
            "update explorer or choose another folder with --workspace"
        )
    return version


def _bring_up_to_date(database: sqlite3.Connection, path: Path) -> None:
    """Take the steps that a store lacks, all or none; an older store is copied first."""
    version = _version(database, path)
    if version == VERSION:
        return
    if version:
        check_pages(database, path)
        _copy(database, path.with_name(f"{path.stem}.version-{version}{path.suffix}"))
    with transaction(database):
        for statement in statements(_version(database, path)):  # again: another process may have been faster
            database.execute(statement)
        if database.execute("PRAGMA foreign_key_check").fetchone():
            raise damaged(path, "rows refer to what is not there")
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {VERSION}")


def _copy(database: sqlite3.Connection, to: Path) -> None:
    """A copy of a store as it is, what its log holds included."""
    with closing(sqlite3.connect(to)) as copy:
        database.backup(copy)


def snapshot(path: Path, to: Path) -> None:
    """Copy the store at `path`, which others may be writing, to a new file; UserError if it is not a store."""
    with closing(_reading(path)) as database, explained(path):
        _copy(database, to)


def check_pages(database: sqlite3.Connection, path: Path, tables: tuple[str, ...] = ()) -> None:
    """Read the whole file once, or these tables alone; UserError at the first thing that is wrong."""
    for table in tables or ("1",):
        verdict = database.execute(f"PRAGMA quick_check({table})").fetchone()[0]
        if verdict != "ok":
            raise damaged(path, str(verdict).splitlines()[-1])


def _pragma(database: sqlite3.Connection, name: str) -> int:
    """An integer pragma's value."""
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All or nothing: what happens inside is kept together, or not at all."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # a full disk ends it by itself
            database.execute("ROLLBACK")
        raise


def keep_reserve(folder: Path) -> None:
    """Keep a little room on the disk, for what ends when it is full."""
    reserve = folder / RESERVE
    with suppress(OSError):
        if not reserve.exists() or reserve.stat().st_size < RESERVE_BYTES:
            reserve.write_bytes(bytes(RESERVE_BYTES))


def give_up_reserve(folder: Path) -> bool:
    """Make that room free; False: it was used up before."""
    try:
        (folder / RESERVE).unlink()
    except OSError:
        return False
    return True
