"""Stores and reports that several tests read."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from reports_store import LARGE, SMALL, noisy, troubled, write_sweep

from explorer.reports import style
from explorer.reports.report import write_report


@pytest.fixture(scope="session", autouse=True)
def coarse():
    """Figures at a quarter of their resolution: what is tested is what they show."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "DPI", 50)
        yield


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """A finished sweep of one base at scales 1 and 2 under three seeds."""
    workspace = tmp_path_factory.mktemp("sound")
    write_sweep(workspace, noisy)
    return workspace


@pytest.fixture(scope="session")
def trouble(tmp_path_factory):
    """A sweep of two bases under four seeds in which trials failed, diverged and are missing."""
    workspace = tmp_path_factory.mktemp("trouble")
    write_sweep(workspace, troubled, bases=(SMALL, LARGE), seeds=4)
    return workspace


@pytest.fixture(scope="session")
def written(trouble):
    """The report about `trouble`: its files and the text of its page."""
    files = write_report(trouble)
    return files, files.html.read_text(encoding="utf-8")
