"""explorer train: what it says of the network it builds, of its numbers, and of what it keeps."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from explorer.cli.app import app

SMALL = "network small(classes = 1000) {\n  input 3x64x64\n  conv(3x3, 4), gap, linear(classes)\n}\n"


def test_a_network_built_for_other_images_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.arch").write_text(SMALL)
    arguments = ["train", "small.arch", "--budget", "1epochs", "--dtype", "bf16", "--deterministic", "--download"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "built for digits: 3x32x32, 10 classes (its own: 3x64x64, 1,000 classes)" in result.stderr
    assert "digits needs no download" in result.stderr
    *_, summary, kept = result.stdout.splitlines()
    assert "seed 0, digits, bf16, deterministic; final weights" in summary
    assert Path(kept.removeprefix("weights: ")).is_file()
    assert "error while" in result.stdout and "train, at the end" in summary
    assert "test read once" in summary
    Path(kept.removeprefix("weights: ")).unlink()  # as after a sweep
    again = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "trained again for them" in again.stderr and "with the same errors" in again.stdout
    assert "test read twice" in again.stdout
