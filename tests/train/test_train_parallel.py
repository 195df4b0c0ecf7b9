"""Several processes learn what one learns from the same batches."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import together
import torch

from explorer.errors import UserError
from explorer.train.checkpoint import load
from explorer.train.launcher import rank
from explorer.train.parallel import Crew, joined

HERE = Path(__file__).parent


def launched(folder, budget, processes=2):
    """The launcher's result; its processes find the tests' helpers."""
    paths = [str(HERE), *filter(None, sys.path)]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run(
        [*command, str(HERE / "together.py"), str(folder), budget],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without it")
def test_two_processes_learn_what_one_learns(tmp_path):
    (tmp_path / "alone").mkdir()
    for folder in (tmp_path, tmp_path / "alone"):
        (folder / "smooth.arch").write_text(together.NETWORK)
    wanted = together.main(tmp_path / "alone", "3epochs")
    done = launched(tmp_path, "3epochs")
    assert done.returncode == 0, done.stderr
    losses = [epoch.train_loss for epoch in wanted.history]
    for number in range(2):
        assert ast.literal_eval((tmp_path / f"outcome{number}").read_text()) == pytest.approx(losses, rel=1e-4)
    assert not (tmp_path / "weights1.safetensors").exists()  # the first process writes
    found, _ = load(tmp_path / "weights0.safetensors")
    alone, _ = load(tmp_path / "alone" / "weights0.safetensors")
    for name, weight in alone.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-3, atol=1e-5)


def test_shares_cover_a_batch_and_weigh_what_they_hold():
    images = torch.arange(7)
    crews = [Crew(number, 3) for number in range(3)]
    shares = [crew.share(images) for crew in crews]
    assert sorted(torch.cat(shares).tolist()) == images.tolist()
    weights = [crew.weight(len(share), 7) for crew, share in zip(crews, shares, strict=True)]
    mean = sum(weight * share.double().mean().item() for weight, share in zip(weights, shares, strict=True)) / 3
    assert mean == pytest.approx(images.double().mean().item())


def test_a_last_batch_too_small_to_share_is_left_out():
    assert [Crew(0, 4).usable(images, 16) for images in (64, 71, 72, 7)] == [64, 64, 72, 7]
    assert Crew().usable(65, 16) == 65


def test_what_cannot_be_shared_is_refused():
    with pytest.raises(UserError, match="--budget: processes that train together have no common clock"):
        Crew(1, 2).check(2, 64, "s")
    with pytest.raises(UserError, match="40 processes cannot share a batch of 64"):
        Crew(0, 40).check(40, 64, "epochs")
    with pytest.raises(UserError, match="2 processes train together, and the trial is one of 1"):
        Crew(0, 2).check(1, 64, "epochs")
    Crew().check(1, 2, "s")


def test_without_the_launcher_a_process_is_alone(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")  # other tools set it too
    monkeypatch.setenv("RANK", "3")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert rank() == 0
    with joined("cpu") as (crew, device):
        assert (crew, device) == (Crew(), "cpu")
