"""Checkpoints: whole or not there, read without executing anything, and refused where they are another's."""

import errno
import json
import os
import pickle
import random
import re
import resource

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from explorer.errors import UserError
from explorer.train import checkpoint
from explorer.train.chance import seed_all, set_chance, state_of_chance
from explorer.train.checkpoint import BadCheckpoint, check_identity, load, load_into, prefixed, save, under

FACTS = {"steps": 3, "history": [{"loss": 0.1 + 0.2}]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoints" / "trial.safetensors"


def test_what_is_loaded_is_what_was_saved_to_the_bit(path):
    tensors = {
        "weights": torch.randn(3, 4, 5, 5).to(memory_format=torch.channels_last),
        "bytes": torch.arange(7, dtype=torch.uint8),
        "count": torch.tensor(2**40),
        "empty": torch.empty(0, 3),
        "half": torch.tensor([1.5, float("inf"), float("nan")], dtype=torch.bfloat16),
    }
    save(path, tensors, FACTS)
    found, facts = load(path)
    assert facts == {"format": checkpoint.FORMAT, **FACTS}
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape
        assert torch.equal(found[name].nan_to_num(7), tensor.nan_to_num(7))


def test_others_can_read_it(path):
    """The format is safetensors' own, whatever writes or reads it."""
    save(path, {"a": torch.ones(2)}, FACTS)
    with safe_open(path, framework="numpy") as file:
        assert list(file.keys()) == ["a"]
        assert json.loads(file.metadata()["explorer"])["steps"] == 3


def test_no_file_is_no_checkpoint(path):
    assert load(path) is None


def test_saving_leaves_nothing_else_behind(path):
    for _ in range(2):
        save(path, {"a": torch.ones(2)}, FACTS)
    assert [found.name for found in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("moment", ["_write", "_synchronise"])
def test_a_full_disk_is_told_and_leaves_the_old_one(path, monkeypatch, moment):
    save(path, {"a": torch.ones(2)}, FACTS)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint, moment, full)
    with pytest.raises(UserError, match=rf"cannot write {re.escape(str(path))}: No space left on device"):
        save(path, {"a": torch.zeros(2)}, FACTS)
    monkeypatch.undo()
    assert load(path)[0]["a"].shape == (2,)
    assert len(list(path.parent.iterdir())) == 1


def test_a_disk_that_refuses_more_bytes(path):
    """No mock: the system refuses files of more than 100 kB."""
    save(path, {"a": torch.ones(2)}, FACTS)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write .*File too large"):
            save(path, {"a": torch.zeros(100_000)}, FACTS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert torch.equal(load(path)[0]["a"], torch.ones(2))
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        save(tmp_path / "file" / "trial.safetensors", {"a": torch.ones(2)}, FACTS)


def _bytes_of(path):
    save(path, {"a": torch.ones(64)}, FACTS)
    return path.read_bytes()


class Evil:
    """Whoever unpickles it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_damaged_files_are_refused(path):
    whole = _bytes_of(path)
    other = path.with_name("other.safetensors")
    save_file({"a": torch.ones(2)}, other)
    not_ours = other.read_bytes()
    save_file({"a": torch.ones(2)}, other, {"explorer": "[1, 2"})
    not_json = other.read_bytes()
    for content in (b"", b"x" * 100, whole[: len(whole) // 2], whole[:-1], whole + b"x", not_ours, not_json):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"damaged or no checkpoint.*delete it to begin anew"):
            load(path)


def test_a_flipped_bit_is_noticed_wherever_it_is(path):
    whole, generator = _bytes_of(path), random.Random(0)
    start = whole.index(b'"a"')  # what lies before is the header's text, of which three are chosen
    flips = [whole.index(b'"steps') + 10, whole.index(b"0.30000") + 5, len(whole) - 1]
    flips += [generator.randrange(start, len(whole)) for _ in range(50)]
    for place in flips:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(BadCheckpoint, match=rf"{re.escape(str(path))} (is damaged|has format)"):
            load(path)


def test_one_without_a_checksum_is_from_before_there_were_any(path):
    path.parent.mkdir()
    save_file({"a": torch.ones(2)}, path, {"explorer": json.dumps({"format": 1, **FACTS})})
    assert load(path)[1] == {"format": 1, **FACTS}


@pytest.mark.parametrize("header", ["[]", "3", '{"format": 99}', "{}"])
def test_a_header_from_elsewhere_is_refused(path, header):
    path.parent.mkdir()
    save_file({"a": torch.ones(2)}, path, {"explorer": header})
    with pytest.raises(UserError, match=r"has format .* this explorer reads 1"):
        load(path)


def test_nothing_in_a_checkpoint_is_executed(path, tmp_path):
    path.parent.mkdir()
    for content in (pickle.dumps(Evil(tmp_path / "executed")), torch_file(tmp_path)):
        path.write_bytes(content)
        with pytest.raises(UserError):
            load(path)
    assert not (tmp_path / "executed").exists()


def torch_file(folder):
    torch.save({"evil": Evil(folder / "executed")}, folder / "evil.pt")
    return (folder / "evil.pt").read_bytes()


def test_what_differs_is_named(path):
    wanted = {"network": "resnet20", "recipe": {"lr": 0.1, "milestones": (0.5, 0.75)}, "seed": 0}
    check_identity(path, wanted, json.loads(json.dumps(wanted)))
    found = {"network": "resnet32", "recipe": {"lr": 0.2, "milestones": [0.5, 0.75]}, "seed": 0}
    with pytest.raises(UserError, match=r"network is resnet32 there and resnet20 here; recipe lr is 0.2 there and 0.1"):
        check_identity(path, wanted, found)
    with pytest.raises(UserError, match="seed is None there"):
        check_identity(path, wanted, {key: value for key, value in wanted.items() if key != "seed"})


def test_weights_of_other_names_or_shapes_are_named_and_change_nothing(path):
    layer = torch.nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    with pytest.raises(UserError, match=r"lacks the weight bias.*has the weight scale.*weight is \[2, 4\].*\[2, 3\]"):
        load_into(path, "weight", layer.state_dict(), {"weight": torch.ones(2, 4), "scale": torch.ones(2)})
    assert torch.equal(layer.weight, before)
    load_into(path, "weight", layer.state_dict(), {"weight": torch.ones(2, 3), "bias": torch.zeros(2)})
    assert torch.equal(layer.weight, torch.ones(2, 3))


def test_a_long_list_of_differences_is_cut(path):
    with pytest.raises(UserError, match="and 96 more") as caught:
        load_into(path, "weight", {f"layer{number}": torch.ones(1) for number in range(100)}, {})
    assert len(str(caught.value)) < 1000


def test_prefixes_do_not_mix():
    both = prefixed("model", {"a.b": torch.ones(1)}) | prefixed("models", {"a.b": torch.zeros(1)})
    assert list(under("model", both)) == ["a.b"]
    assert torch.equal(under("model", both)["a.b"], torch.ones(1))


def test_chance_goes_on_where_it_stood(path):
    seed_all(5)
    draws()
    tensors, facts = state_of_chance("cpu")
    save(path, tensors, {"chance": facts})
    wanted = draws()
    seed_all(6)
    tensors, facts = load(path)
    set_chance("cpu", tensors, facts["chance"])
    assert draws() == wanted


def test_a_checkpoint_of_the_processor_can_go_on_elsewhere():
    tensors, facts = state_of_chance("cpu")
    wanted = draws()
    set_chance("cuda", tensors, facts)  # which has drawn nothing so far
    assert draws() == wanted


def draws():
    normal = torch.randn(3), np.random.normal(size=3), [random.gauss(0, 1) for _ in range(3)]
    return [list(map(float, numbers)) for numbers in normal]
