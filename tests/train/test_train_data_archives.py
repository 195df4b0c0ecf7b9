"""CIFAR's binary archives: what is read out of them, what is refused, and how they are fetched."""

import gzip
import resource
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_archives import PIXELS, pack, published, records, serving, small

from explorer.errors import UserError
from explorer.train.data import SOURCES, Part, archives, load
from explorer.train.data.archives import CIFAR10, CIFAR100, parts
from explorer.train.data.download import fetch


@pytest.fixture(params=[CIFAR10, CIFAR100], ids=["cifar10", "cifar100"])
def archive(request, tmp_path):
    packed, described = small(request.param)
    (tmp_path / described.file).write_bytes(packed)
    return described, tmp_path


def test_the_published_archives_hold_what_the_sets_are_known_to_hold():
    assert CIFAR10.records * len(CIFAR10.train) == CIFAR100.records * len(CIFAR100.train) == 50_000
    assert CIFAR10.test_records == CIFAR100.test_records == 10_000
    for archive in (CIFAR10, CIFAR100):
        assert archive.url == f"https://www.cs.toronto.edu/~kriz/{archive.file}"
        assert len(archive.sha256) == 64


def test_the_test_part_is_the_test_member_in_its_order(archive):
    described, folder = archive
    test = parts(described, folder)[2]
    _, labels, images = records(5 * described.classes, described.labels, described.classes, 99)
    assert np.array_equal(test.labels, labels)
    assert np.array_equal(test.images, images.reshape(-1, 3, 32, 32))
    assert test.images.dtype == np.uint8


def test_validation_and_training_share_the_training_members_evenly(archive):
    described, folder = archive
    train, validation, _ = parts(described, folder)
    assert np.bincount(train.labels).tolist() == [18] * described.classes
    assert np.bincount(validation.labels).tolist() == [2] * described.classes
    count = 20 * described.classes // len(described.train)
    wanted = np.concatenate(
        [records(count, described.labels, described.classes, seed)[2] for seed in range(len(described.train))]
    )
    found = np.concatenate([train.images, validation.images]).reshape(-1, PIXELS)
    assert np.array_equal(np.unique(found, axis=0), np.unique(wanted, axis=0))
    assert len(found) == len(wanted)


def test_the_split_is_the_same_every_time(archive):
    one, two = parts(*archive), parts(*archive)
    assert all(np.array_equal(a.images, b.images) for a, b in zip(one, two, strict=True))


def test_five_thousand_of_fifty_thousand_validate():
    labels = np.arange(50_000) % 10
    counted = replace(CIFAR10, train=("train",), records=50_000)
    pixels = np.zeros((50_000, 32, 32, 3), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archives, "checked", lambda *_: b"")
        patch.setattr(archives, "_members", lambda *_: {"train": b"", counted.test: b""})
        patch.setattr(archives, "_records", lambda *_: (pixels, labels))
        train, validation, _ = parts(counted, Path())
    assert (len(train), len(validation)) == (45_000, 5_000)
    assert np.bincount(validation.labels).tolist() == [500] * 10


def test_a_data_set_of_it_is_normalised_by_its_training_part(archive, monkeypatch):
    described, folder = archive
    name = "cifar10" if described.classes == 10 else "cifar100"
    monkeypatch.setitem(SOURCES, name, replace(SOURCES[name], parts=lambda at: parts(described, at)))
    data = load.__wrapped__(name, folder)
    assert isinstance(data.train, Part) and data.classes == described.classes
    np.testing.assert_allclose(data.statistics.mean, data.train.images.mean((0, 2, 3)))
    assert data.origin == (name, str(folder))
    assert data.augmentation.pad == 4 and data.augmentation.mirror


def test_a_missing_archive_says_how_to_get_it(tmp_path):
    with pytest.raises(UserError, match=rf"{tmp_path}.*--download.*170 MB.*{CIFAR10.url}.*--data-dir"):
        load("cifar10", tmp_path)


def test_what_is_cut_short_or_altered_is_refused_by_name(archive):
    described, folder = archive
    path = folder / described.file
    whole = path.read_bytes()
    for altered, reason in [
        (whole[:-1], "cut short"),
        (b"", "cut short"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "SHA-256 differs"),
        (whole + b"x", "size differs"),
    ]:
        path.write_bytes(altered)
        with pytest.raises(UserError, match=f"{described.file}.*{reason}.*--download"):
            parts(described, folder)


def test_a_folder_in_its_place_is_refused(tmp_path):
    (tmp_path / CIFAR10.file).mkdir()
    with pytest.raises(UserError, match=rf"cannot read .*{CIFAR10.file}"):
        parts(CIFAR10, tmp_path)


def refused(packed, like, tmp_path, match, **more):
    """Reading an archive that was published like this fails."""
    (tmp_path / like.file).write_bytes(packed)
    with pytest.raises(UserError, match=match):
        parts(published(like, packed, **more), tmp_path)


def test_members_that_are_not_as_described_are_refused(tmp_path):
    one = replace(CIFAR10, train=("a.bin",), test="b.bin", records=20, test_records=10)
    good = [("a.bin", records(20, 1, 10, 0)[0]), ("b.bin", records(10, 1, 10, 1)[0])]
    refused(pack(good[:1]), one, tmp_path, r"lacks b\.bin")
    refused(pack([good[0], ("b.bin", good[1][1][:-1])]), one, tmp_path, r"b\.bin has 30,729 bytes, not 30,730")
    wrong = bytearray(good[1][1])
    wrong[0] = 10
    refused(pack([good[0], ("b.bin", bytes(wrong))]), one, tmp_path, r"b\.bin has the label 10 in 10 classes")
    refused(b"no archive at all", one, tmp_path, "cannot be unpacked")
    refused(gzip.compress(gzip.decompress(pack(good))[:40_000]), one, tmp_path, "cannot be unpacked")
    refused(pack(good)[:-20_000], one, tmp_path, "cannot be unpacked")


def test_links_and_paths_that_lead_out_are_never_followed(tmp_path):
    link = tarfile.TarInfo(CIFAR10.test)
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    outside = tarfile.TarInfo("../../outside")
    packed, described = small(CIFAR10, extra=[(link, b""), (outside, b"x" * 10)])
    folder = tmp_path / "inner" / "folder"
    folder.mkdir(parents=True)
    (folder / described.file).write_bytes(packed)
    assert len(parts(described, folder)[2]) == 50
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [described.file]


# -- fetching ----------------------------------------------------------------------------------------

CONTENT = np.random.default_rng(3).bytes(3_000_000)


@pytest.fixture
def server(monkeypatch):
    """A handler class of its own, its server's archive."""
    monkeypatch.setenv("no_proxy", "*")
    with serving(CONTENT) as (handler, url):
        yield handler, published(replace(CIFAR10, url=url), CONTENT)


def test_an_archive_is_fetched_with_progress(server, tmp_path):
    handler, archive = server
    told = []
    path = fetch(archive, tmp_path / "new" / "folder", lambda here, whole: told.append((here, whole)))
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT)) and len(told) > 2 and told == sorted(told)
    assert [file.name for file in path.parent.iterdir()] == [archive.file]
    fetch(archive, path.parent)
    assert handler.asked == [None]  # what is there is not fetched again


def test_a_broken_connection_goes_on_where_it_stopped(server, tmp_path):
    handler, archive = server
    handler.limit = 2_000_000
    with pytest.raises(UserError, match="goes on where it stopped"):
        fetch(archive, tmp_path)
    assert not (tmp_path / archive.file).exists()
    assert fetch(archive, tmp_path).read_bytes() == CONTENT
    assert handler.asked == [None, "bytes=2000000-"]


def test_a_server_that_cannot_go_on_starts_anew(server, tmp_path):
    handler, archive = server
    (tmp_path / f"{archive.file}.part").write_bytes(b"x" * 1000)
    handler.whole = True
    assert fetch(archive, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("altered", [CONTENT[:-1] + b"?", CONTENT + b"more"])
def test_what_arrives_altered_is_refused_and_gone(server, tmp_path, altered):
    handler, archive = server
    handler.content = altered
    archive = archive if len(altered) == len(CONTENT) else replace(archive, sha256="0" * 64)
    with pytest.raises(UserError, match=r"127\.0\.0\.1.*not the published archive: its SHA-256"):
        fetch(archive, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_was_complete_is_only_checked(server, tmp_path):
    handler, archive = server
    (tmp_path / f"{archive.file}.part").write_bytes(CONTENT)
    assert fetch(archive, tmp_path).read_bytes() == CONTENT
    assert handler.asked == []


def test_an_address_that_does_not_answer_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    archive = replace(CIFAR10, url="http://127.0.0.1:1/archive")
    with pytest.raises(UserError, match=rf"cannot fetch {archive.url}.*refused.*{tmp_path / archive.file}"):
        fetch(archive, tmp_path)


def test_a_full_disk_is_said_and_what_is_there_is_kept(server, tmp_path):
    _, archive = server
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, limits[1]))  # as good as a full disk, without one
    try:
        with pytest.raises(UserError, match=r"cannot write .*\.part: File too large; make room .*--data-dir"):
            fetch(archive, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / f"{archive.file}.part").stat().st_size == 1_500_000
    assert fetch(archive, tmp_path).read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*file.*--data-dir"):
        fetch(CIFAR10, tmp_path / "file" / "data")
