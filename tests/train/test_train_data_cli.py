"""The commands on data of every kind: what is trained on and stored, what bad input says, exit code 2."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image
from small_archives import serving, small

from explorer.cli import main
from explorer.errors import UserError
from explorer.sweep.run import sweep, train_one
from explorer.sweep.store import Store
from explorer.train.data import SOURCES, archives, load, parts

TINY = "cifar_resnet(n=1, widths=[2,2,2])"
LARGE = "network large(classes = 2) { input 3x224x224\n conv(3x3, 16, /4), bn, relu, gap, linear(classes) }\n"


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """Run explorer: exit code, stdout, stderr. The workspace is a folder of its own."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["explorer", *arguments, "--workspace", str(tmp_path / "work")])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capfd.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture
def cifar(monkeypatch):
    """The bytes of a small archive in place of CIFAR-10's."""
    packed, described = small(archives.CIFAR10)
    publish(monkeypatch, described)
    return packed, described


def publish(monkeypatch, archive):
    known = replace(SOURCES["cifar10"], parts=partial(archives.parts, archive), archive=archive)
    monkeypatch.setitem(SOURCES, "cifar10", known)


@pytest.fixture
def folder(tmp_path):
    """Two classes of ten small images."""
    chance = np.random.default_rng(0)
    for part, count in (("train", 10), ("val", 2)):
        for name in ("apple", "pear"):
            (tmp_path / "fruit" / part / name).mkdir(parents=True)
            for number in range(count):
                image = Image.fromarray(chance.integers(0, 256, (20, 20, 3), np.uint8))
                image.save(tmp_path / "fruit" / part / name / f"{number}.jpg")
    return tmp_path / "fruit"


@pytest.fixture
def large(tmp_path):
    """A network for 224x224 images that costs next to nothing."""
    (tmp_path / "large.arch").write_text(LARGE)
    return str(tmp_path / "large.arch")


def stored(tmp_path):
    with Store.read(tmp_path / "work") as store:
        (data,) = store.data().values()
        return data, store.trials()


def test_training_on_an_archive_in_a_folder(command, tmp_path, cifar):
    packed, described = cifar
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / described.file).write_bytes(packed)
    code, out, _ = command(
        "train", TINY, "--data", "cifar10", "--data-dir", str(tmp_path / "data"), "--budget", "1epoch"
    )
    assert code == 0 and "cifar10; final weights, test read once" in out
    data, (trial,) = stored(tmp_path)
    assert (data.name, data.train, data.validation, data.test) == ("cifar10", 180, 20, 50)
    assert trial.status == "done" and trial.test_error is not None


def test_an_archive_is_fetched_only_on_request(command, tmp_path, cifar, monkeypatch):
    packed, described = cifar
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("EXPLORER_DATA", str(tmp_path / "data"))
    with serving(packed) as (handler, url):
        publish(monkeypatch, replace(described, url=url))
        train = ("train", TINY, "--data", "cifar10", "--budget", "1epoch")
        code, _, err = command(*train)
        assert code == 2 and "add --download" in err and handler.asked == []
        assert command(*train, "--download")[0] == 0
        assert (tmp_path / "data" / described.file).read_bytes() == packed
        assert command(*train, "--seed", "1")[0] == 0
        assert handler.asked == [None]


def test_an_altered_archive_is_refused(command, tmp_path, cifar):
    packed, described = cifar
    (tmp_path / described.file).write_bytes(packed[:-10])
    code, _, err = command("sweep", TINY, "--data", "cifar10", "--data-dir", str(tmp_path))
    assert code == 2 and f"{described.file} is cut short" in err
    assert not (tmp_path / "work").exists()


def test_training_on_a_folder_of_images(command, tmp_path, folder, large):
    code, out, _ = command("train", large, "--data", str(folder), "--budget", "1epoch")
    assert code == 0 and "fruit; final weights, test read once" in out
    data, (trial,) = stored(tmp_path)
    assert (data.name, data.shape, data.classes) == ("fruit", (3, 224, 224), 2)
    assert (data.train, data.validation, data.test) == (18, 2, 4)
    assert str(tmp_path) not in data.description + json.dumps(trial.environment)


@pytest.mark.parametrize("subcommand", ["train", "sweep"])
def test_an_image_that_does_not_decode_is_named_before_anything_is_trained(
    command, tmp_path, folder, large, subcommand
):
    for path in (folder / "val").rglob("*.jpg"):  # the test part, which would be read at the very end
        path.write_bytes(path.read_bytes()[:400])
    code, _, err = command(subcommand, large, "--data", str(folder), "--budget", "1epoch")
    assert code == 2
    assert "cannot be decoded: " in err and f"{folder}/val/" in err
    assert not (tmp_path / "work").exists()


def test_an_image_that_does_not_decode_in_training_fails_the_trial(command, tmp_path, folder, large, monkeypatch):
    monkeypatch.setattr(parts, "READ", 0)  # a large folder, of which only headers are read before
    for path in (folder / "val").rglob("*.jpg"):
        path.write_bytes(path.read_bytes()[:-200])
    code, _, err = command("train", large, "--data", str(folder), "--budget", "1epoch")
    assert code == 2 and "cannot be decoded: " in err
    _, (trial,) = stored(tmp_path)
    assert trial.status == "failed" and "cannot be decoded" in trial.message


def test_workers_find_a_folder_of_images_too(tmp_path, folder, large):
    result = sweep([large], None, data=str(folder), budget="1epoch", seeds=1, workers=1, workspace=tmp_path / "work")
    assert [(trial.status, trial.message) for trial in result.trials] == [("done", None)]


def test_data_that_changes_between_command_and_trial_is_noticed(tmp_path, folder, large, monkeypatch):
    from explorer.sweep import task

    def load_changed(name, where):
        (folder / "train" / "apple" / "0.jpg").write_bytes(b"another size")
        return load.__wrapped__(name, where)

    monkeypatch.setattr(task, "load", load_changed)
    with pytest.raises(UserError, match=f"--data: {folder} has changed"):
        train_one(large, data=str(folder), budget="1epoch", workspace=tmp_path / "work")


def test_a_folder_by_another_name_is_the_same_data_and_its_trials_are_found(tmp_path, folder, large):
    first = train_one(large, data=str(folder), budget="1epoch", workspace=tmp_path / "work")
    second = train_one(large, data=str(folder.rename(tmp_path / "moved")), budget="1epoch", workspace=tmp_path / "work")
    assert second.found and second.again is None and second.trial == first.trial
    with Store.read(tmp_path / "work") as store:
        assert [data.name for data in store.data().values()] == ["fruit"]


def test_a_folder_that_has_changed_is_another_run_and_the_trials_before_stay_reported(tmp_path, folder, large):
    settings = {"data": str(folder), "budget": "1epoch", "workspace": tmp_path / "work"}
    first = train_one(large, **settings)
    (folder / "train" / "apple" / "0.jpg").unlink()
    load.cache_clear()
    second = train_one(large, **settings)
    assert (first.run, second.run) == (1, 2)
    with Store.read(tmp_path / "work") as store:
        assert [trial.id for run in (1, 2) for trial in store.trials([run])] == [first.trial.id, second.trial.id]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("digit", "--data: there is no data set 'digit' and no such folder; did you mean 'digits'?"),
        ("./nowhere", "cannot read the folder nowhere: No such file or directory"),
        ("/", "holds bin"),
    ],
)
@pytest.mark.parametrize("subcommand", ["train", "sweep"])
def test_what_is_no_data_is_said_with_exit_code_2(command, subcommand, data, message):
    code, _, err = command(subcommand, TINY, "--data", data)
    assert code == 2 and message in err and "Traceback" not in err


def test_every_data_set_is_listed(command, capfd, monkeypatch):
    monkeypatch.setattr("sys.argv", ["explorer", "list", "cifar1"])
    with pytest.raises(SystemExit):
        main()
    assert capfd.readouterr().out.splitlines()[-3:] == ["data:", "  cifar10", "  cifar100"]
