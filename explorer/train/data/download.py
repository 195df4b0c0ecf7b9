"""Fetching an archive on request: beside its place under another name, checked, then renamed; stopped, it goes on."""

import hashlib
import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from explorer.errors import UserError
from explorer.train.data.archives import Archive

PIECE = 1 << 20  # bytes
TIMEOUT = 30.0  # seconds without a byte

Progress = Callable[[int, int], None]  # bytes that are here, bytes there will be


def fetch(archive: Archive, folder: Path, progress: Progress | None = None) -> Path:
    """The archive in the folder, fetched unless it is there; UserError where that fails, naming what to do."""
    path = folder / archive.file
    if path.exists():
        return path  # whoever reads it checks it
    aside = path.with_name(path.name + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _receive(archive, aside, progress or (lambda here, whole: None))
        _check(archive, aside)
        aside.replace(path)
    except (urllib.error.URLError, ssl.SSLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(
            f"cannot fetch {archive.url}: {reason}; the same command goes on where it stopped, or put the file "
            f"at {path} yourself"
        ) from error
    except OSError as error:
        raise UserError(
            f"cannot write {error.filename or aside}: {error.strerror}; make room or choose another folder with "
            "--data-dir (the same command goes on where it stopped)"
        ) from error
    return path


def _receive(archive: Archive, aside: Path, progress: Progress) -> None:
    """Write what is still missing of the archive; a server that cannot continue starts anew."""
    here = aside.stat().st_size if aside.exists() else 0
    if here >= archive.size:
        return  # complete, or for the checksum to refuse
    request = urllib.request.Request(archive.url, headers={"Range": f"bytes={here}-"} if here else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        continued = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        here = here if continued else 0
        with aside.open("ab" if continued else "wb") as file:
            while here < archive.size and (piece := answer.read(min(PIECE, archive.size - here))):
                file.write(piece)
                here += len(piece)
                progress(here, archive.size)
    if here < archive.size:
        raise ConnectionError(f"the connection ended after {here:,} of {archive.size:,} bytes")


def _check(archive: Archive, aside: Path) -> None:
    """UserError, and the file is gone, unless it is the published archive."""
    with aside.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != archive.sha256:
        aside.unlink()
        raise UserError(
            f"what {archive.url} gives is not the published archive: its SHA-256 is {found}, not {archive.sha256}; "
            "it was deleted"
        )
