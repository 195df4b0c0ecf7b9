"""Image folders: what is read from where, what is refused, and the customary transforms, beside torchvision's own."""

import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

from explorer.errors import UserError
from explorer.train.data import Augmentation, Files, load, source
from explorer.train.data import parts as parts_module
from explorer.train.data import streamed as streamed_module
from explorer.train.data.decode import centred, decoded, pixels, zoom, zoomed
from explorer.train.data.feeds import Feeds
from explorer.train.data.intact import check_images
from explorer.train.data.streamed import Streamed

COLOURS = {"apple": (200, 20, 20), "pear": (20, 200, 20), "plum": (60, 20, 200)}


def fill(folder, counts, size=(40, 30), suffix=".png"):
    """One colour a class, one shade an image."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            shade = tuple(value + number for value in COLOURS.get(name, (9, 9, 9)))
            Image.new("RGB", size, shade).save(folder / name / f"{number:03}{suffix}")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    root = tmp_path_factory.mktemp("images") / "fruit"
    fill(root / "train", {"apple": 25, "pear": 12, "plum": 9})
    fill(root / "val", {"apple": 3, "pear": 4, "plum": 2})
    return root


@pytest.fixture
def fruit(shared, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(shared, tmp_path / "fruit")


def read(root):
    return load.__wrapped__(str(root))


def names(part):
    return {path.decode() for path in part.paths}


def test_without_a_test_folder_val_is_the_test_part_and_a_tenth_validates(shared):
    data = read(shared)
    assert (data.name, data.classes, data.shape) == ("fruit", 3, (3, 224, 224))
    assert names(data.test) == {str(path.relative_to(shared)) for path in (shared / "val").rglob("*.png")}
    assert np.bincount(data.validation.labels).tolist() == [2, 1, 1]  # one at least
    assert np.bincount(data.train.labels).tolist() == [23, 11, 8]
    assert names(data.train) | names(data.validation) == {
        str(path.relative_to(shared)) for path in (shared / "train").rglob("*.png")
    }
    assert "the test part is its folder val" in data.description


def test_another_process_finds_it_whatever_its_working_folder(shared, monkeypatch):
    monkeypatch.chdir(shared.parent)
    assert load.__wrapped__("./fruit", "archives").origin == (str(shared), str(shared.parent / "archives"))


def test_at_most_fifty_of_a_class_validate(tmp_path):
    for name in ("apple", "pear"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "val" / name).mkdir(parents=True)
        (tmp_path / "val" / name / "1.jpg").touch()
        for number in range(600):
            (tmp_path / "train" / name / f"{number}.JPEG").touch()
    data = read(tmp_path)
    assert np.bincount(data.validation.labels).tolist() == [50, 50]
    assert len(data.train) == 1100


def test_three_folders_are_the_three_parts(fruit):
    fill(fruit / "test", dict.fromkeys(COLOURS, 5))
    data = read(fruit)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [46, 9, 15]
    assert all(name.startswith("val/") for name in names(data.validation))
    assert all(name.startswith("test/") for name in names(data.test))
    (fruit / "val").rename(fruit / "unused")
    assert [len(part) for part in (read(fruit).train, read(fruit).test)] == [42, 15]


def test_labels_are_classes_in_alphabetical_order(shared):
    part = read(shared).train
    assert {path.decode().split("/")[1]: label for path, label in zip(part.paths, part.labels, strict=True)} == {
        "apple": 0,
        "pear": 1,
        "plum": 2,
    }
    assert len(set(part.labels[:10].tolist())) > 1  # mixed


def test_other_files_are_left_out(fruit):
    (fruit / "train" / "apple" / "notes.txt").write_text("not an image")
    (fruit / "train" / "apple" / "._000.png").write_text("a leftover")
    (fruit / "train" / ".cache").mkdir()
    assert read(fruit).fingerprint == read(fruit).fingerprint
    assert len(read(fruit).train) == 42


def test_files_of_other_endings_are_counted(fruit):
    assert read(fruit).notice is None
    for path in ("train/apple/a.GIF", "train/plum/b.gif", "val/pear/c.tif", "val/pear/LICENSE", "val/pear/.hidden"):
        (fruit / path).touch()
    told = "files left out because they are not read as images: 1 without an ending, 2 .gif, 1 .tif"
    assert read(fruit).notice == told and read(fruit).description.endswith(f"; {told}")
    assert load("digits").notice is None


def test_the_fingerprint_sees_what_is_in_the_files_of_a_small_folder(fruit, shared, monkeypatch):
    image = fruit / "val" / "pear" / "000.png"
    before, content = read(fruit).fingerprint, image.read_bytes()
    image.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    changed = read(fruit).fingerprint
    assert before == read(shared).fingerprint != changed
    monkeypatch.setattr(parts_module, "READ", 0)
    assert read(shared).fingerprint == read(fruit).fingerprint not in (before, changed)


def test_a_file_that_cannot_be_read_is_named(fruit):
    data = read(fruit)
    (image := fruit / "val" / "pear" / "000.png").unlink()
    with pytest.raises(UserError, match=rf"--data: cannot read {re.escape(str(image))}: No such file"):
        _ = data.fingerprint


def test_the_fingerprint_sees_names_and_sizes(fruit, shared):
    before = read(fruit).fingerprint
    assert before == read(shared).fingerprint  # wherever the folder lies
    (fruit / "val" / "pear" / "000.png").rename(fruit / "val" / "pear" / "111.png")
    renamed = read(fruit).fingerprint
    Image.new("RGB", (41, 30)).save(fruit / "val" / "pear" / "111.png")
    assert len({before, renamed, read(fruit).fingerprint}) == 3


def test_a_wrong_layout_says_the_right_one(fruit, tmp_path):
    with pytest.raises(UserError, match=r"cannot read the folder .*nowhere: No such file"):
        source(str(tmp_path / "nowhere"))
    for missing in ("val", "train"):
        (fruit / missing).rename(fruit / "other")
        with pytest.raises(UserError, match=r"fruit holds other, (train|val); wanted: train/CLASS/IMAGE\.jpg"):
            source(str(fruit))
        (fruit / "other").rename(fruit / missing)
    with pytest.raises(UserError, match="pear holds no folders; wanted"):
        source(str(fruit / "train" / "pear"))
    shutil.rmtree(fruit / "train")
    fill(fruit / "train", {"apple": 2})
    with pytest.raises(UserError, match="train holds apple, not two classes; wanted"):
        source(str(fruit))


def test_classes_that_do_not_match_are_named(fruit):
    (fruit / "val" / "plum").rename(fruit / "val" / "plums")
    with pytest.raises(UserError, match=r"val does not have the classes of .*train: lacks plum and has plums"):
        read(fruit)
    shutil.rmtree(fruit / "val" / "plums")
    with pytest.raises(UserError, match=r"lacks plum$"):
        read(fruit)


def test_a_class_without_images_is_named(fruit):
    shutil.rmtree(fruit / "train" / "plum")
    (fruit / "train" / "plum").mkdir()
    with pytest.raises(UserError, match=r"train/plum holds no image"):
        read(fruit)


def test_every_class_is_held_out_or_the_folder_is_refused(tmp_path):
    fill(tmp_path / "train", {"apple": 11, "pear": 2, "plum": 1})
    fill(tmp_path / "val", {"apple": 1, "pear": 1, "plum": 1})
    with pytest.raises(UserError, match=r"train holds a single image of plum, and .* the folders val and test"):
        read(tmp_path)
    fill(tmp_path / "train", {"plum": 3})
    data = read(tmp_path)
    assert np.bincount(data.validation.labels).tolist() == [1, 1, 1]
    assert np.bincount(data.train.labels).tolist() == [10, 1, 2]


# -- before anything is trained ----------------------------------------------------------------------


def test_every_image_of_a_small_folder_is_decoded(fruit):
    check_images(read(fruit))
    check_images(load("digits"))
    for part in ("train", "val"):
        content = (spoilt := fruit / part / "pear" / "003.png").read_bytes()
        spoilt.write_bytes(content[:60])
        with pytest.raises(UserError, match=rf"{re.escape(str(spoilt))} cannot be decoded"):
            check_images(read(fruit))
        spoilt.write_bytes(content)


def test_of_a_large_folder_headers_are_read_and_nothing_may_be_empty(fruit, monkeypatch):
    monkeypatch.setattr(parts_module, "READ", 0)
    for name in ("train", "val"):
        (fruit / name / "pear" / "003.png").write_bytes((fruit / name / "pear" / "003.png").read_bytes()[:60])
    check_images(read(fruit))
    for part in ("validation", "test"):
        content = (spoilt := (files := getattr(read(fruit), part)).file(files.paths[0])).read_bytes()
        spoilt.write_bytes(b"spoilt")
        with pytest.raises(UserError, match=f"{re.escape(str(spoilt))} is not an image"):
            check_images(read(fruit))
        spoilt.write_bytes(content)
    (empty := (files := read(fruit).train).file(files.paths[7])).write_bytes(b"")
    with pytest.raises(UserError, match=f"{re.escape(str(empty))} is empty"):
        check_images(read(fruit))


# -- decoding ----------------------------------------------------------------------------------------


@pytest.fixture
def photograph():
    chance = np.random.default_rng(0)
    coarse = Image.fromarray(chance.integers(0, 256, (12, 17, 3), np.uint8))
    return coarse.resize((331, 283), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def transforms():
    """torchvision's, where there is one that goes with this torch."""
    try:
        import torchvision.transforms as found
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"no torchvision: {error}")
    return found


@pytest.mark.parametrize(
    ("size", "resized", "box"),
    [
        ((331, 283), (299, 256), (38, 16, 262, 240)),  # 37.5 is rounded to the even number
        ((283, 331), (256, 299), (16, 38, 240, 262)),
        ((300, 300), (256, 256), (16, 16, 240, 240)),
        ((60, 200), (256, 853), (16, 314, 240, 538)),
    ],
)
def test_the_centre_is_that_of_the_short_side_at_256(photograph, size, resized, box):
    image = photograph.resize(size)
    wanted = image.resize(resized, Image.Resampling.BILINEAR).crop(box)
    assert np.array_equal(np.asarray(centred(image, 224)), np.asarray(wanted))


@pytest.mark.parametrize("size", [(331, 283), (283, 331), (60, 200), (224, 224), (300, 300)])
def test_the_centre_is_torchvisions(transforms, photograph, size):
    image = photograph.resize(size)
    wanted = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])(image)
    assert np.array_equal(np.asarray(centred(image, 224)), np.asarray(wanted))


def test_a_zoom_is_torchvisions_crop_and_resize(transforms, photograph):
    for seed in range(5):
        left, top, right, bottom = box = zoom(331, 283, np.random.default_rng(seed))
        wanted = transforms.functional.resized_crop(photograph, top, left, bottom - top, right - left, [224, 224])
        assert np.array_equal(np.asarray(zoomed(photograph, 224, box)), np.asarray(wanted))


def test_zooms_are_of_the_published_areas_and_ratios():
    """Area uniform from 8 to 100%, ratio log-uniform; large ones that do not fit are drawn anew, so those are rarer."""
    chance = np.random.default_rng(1)
    boxes = np.array([zoom(400, 400, chance) for _ in range(1500)], float)
    share, ratio, x, y = facts(boxes, 160_000).T
    assert 0.079 < share.min() < 0.1 and 0.95 < share.max() <= 1
    assert 0.45 < share.mean() < 0.54
    assert abs(ratio).max() <= np.log(4 / 3) + 0.02 and abs(ratio.mean()) < 0.03
    assert abs(x.mean() - 200) < 10 and abs(y.mean() - 200) < 10


def test_zooms_are_distributed_as_torchvisions(transforms):
    """Area, ratio and place of many: means within five standard errors of each other."""
    torch.manual_seed(0)
    image, chance, count = torch.empty(3, 300, 400), np.random.default_rng(0), 1500
    ours = np.array([zoom(400, 300, chance) for _ in range(count)], float)
    params = [transforms.RandomResizedCrop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(count)]
    theirs = np.array([(left, top, left + width, top + height) for top, left, height, width in params], float)
    assert (ours[:, :2] >= 0).all() and (ours[:, 2] <= 400).all() and (ours[:, 3] <= 300).all()
    error = facts(ours).std(0) * (2 / count) ** 0.5
    assert (abs(facts(ours).mean(0) - facts(theirs).mean(0)) < 5 * error).all()


def facts(boxes, area=120_000):
    """Share of the area, logarithm of the ratio, centre."""
    left, top, right, bottom = boxes.T
    width, height = right - left, bottom - top
    return np.stack([width * height / area, np.log(width / height), (left + right) / 2, (top + bottom) / 2], axis=1)


def test_a_zoom_of_an_extreme_shape_is_its_centre():
    assert zoom(1000, 10, np.random.default_rng(0)) == (493, 0, 506, 10)
    assert zoom(10, 1000, np.random.default_rng(0)) == (0, 493, 10, 506)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_other_colours_become_red_green_and_blue(tmp_path, mode):
    Image.new(mode, (300, 260)).save(path := tmp_path / f"image.{'jpg' if mode == 'CMYK' else 'png'}")
    assert pixels(path, 224).shape == (224, 224, 3)


def test_greys_of_16_bits_keep_their_shades(tmp_path):
    greys = np.arange(300 * 300).reshape(300, 300) * 65535 // (300 * 300 - 1)
    Image.fromarray(greys.astype(np.uint16)).save(tmp_path / "grey.png")
    (tmp_path / "grey.ppm").write_bytes(b"P5 300 300 65535\n" + greys.astype(">u2").tobytes())
    wanted = np.rint(greys / 257).astype(np.uint8)[:, :, None].repeat(3, 2)
    for name in ("grey.png", "grey.ppm"):
        assert np.array_equal(np.asarray(decoded(tmp_path / name)), wanted)


def test_greys_of_no_known_range_are_refused_by_name(tmp_path):
    for name, kind in (("float", np.float32), ("long", np.int32)):
        Image.fromarray(np.full((30, 30), 7, kind)).save(path := tmp_path / f"{name}.png", format="TIFF")
        with pytest.raises(UserError, match=rf"{name}\.png cannot be decoded: its greys have 32 bits"):
            pixels(path, 224)


def test_what_does_not_decode_is_named(tmp_path):
    text, cut = tmp_path / "text.jpg", tmp_path / "cut.jpg"
    text.write_text("no image at all")
    Image.effect_noise((300, 300), 50).save(cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    (broken := tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 50)
    for path, reason in ((text, "is not an image"), (cut, "cannot be decoded: .*truncated"), (broken, "")):
        with pytest.raises(UserError, match=f"{path}.*{reason}"):
            pixels(path, 224)
    with pytest.raises(UserError, match=r"gone\.jpg.*No such file"):
        pixels(tmp_path / "gone.jpg", 224)


# -- the feed ----------------------------------------------------------------------------------------


def everything(batches):
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


@pytest.fixture(scope="module")
def streamed(shared):
    data = read(shared)
    return Streamed(data.train.first(8), 32, data.statistics, torch.device("cpu"))


def test_in_order_gives_every_file_as_it_is(streamed):
    images, labels = everything(streamed.in_order(4))
    assert images.shape == (8, 3, 32, 32) and images.is_contiguous(memory_format=torch.channels_last)
    assert labels.tolist() == streamed.files.labels.tolist()
    mean, deviation = (np.array(values) for values in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    for image, path in zip(images, streamed.files.paths, strict=True):
        _, name, file = path.decode().split("/")
        shade = (np.array(COLOURS[name]) + int(file[:3]) - mean) / deviation
        np.testing.assert_allclose(image[:, 16, 16], shade, atol=1e-5)


def test_shuffled_depends_on_seed_and_epoch_alone(streamed):
    augmentation = Augmentation(zoom=True, mirror=True, pad=2)
    first = everything(streamed.shuffled(4, augmentation, 1, 2))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one_batch = everything(streamed.shuffled(8, augmentation, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first, one_batch, strict=True))
    assert not torch.equal(everything(streamed.shuffled(4, augmentation, 1, 3))[0], first[0])
    rest = everything(streamed.shuffled(4, augmentation, 1, 2, first=1))  # after a batch that was seen already
    assert all(torch.equal(a[4:], b) for a, b in zip(first, rest, strict=True))
    assert sorted(first[1].tolist()) == sorted(streamed.files.labels.tolist())


def test_mirrored_is_mirrored(tmp_path):
    """A dark left and a bright right half change places, or not; nothing else happens."""
    half = np.zeros((30, 40, 3), np.uint8)
    half[:, 20:] = 255
    for name in ("apple", "pear"):
        for part, count in (("train", 10), ("val", 1)):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                Image.fromarray(half).save(tmp_path / part / name / f"{number}.png")
    feed = Streamed(read(tmp_path).train, 32, None, torch.device("cpu"))
    (plain, _), (mirrored, _) = (
        everything(batches) for batches in (feed.in_order(6), feed.shuffled(6, Augmentation(mirror=True), 0, 0))
    )
    flips = [torch.equal(image, plain[0].flip(2)) for image in mirrored]
    assert {torch.equal(image, plain[0]) for image, flip in zip(mirrored, flips, strict=True) if not flip} == {True}
    assert set(flips) == {True, False}


def test_a_broken_file_ends_the_training_by_its_name(fruit):
    files = read(fruit).train
    (spoilt := fruit / files.paths[20].decode()).write_bytes(b"spoilt")
    feed = Streamed(files, 32, None, torch.device("cpu"))
    with pytest.raises(UserError) as caught:
        everything(feed.shuffled(8, Augmentation(), 0, 0))
    assert str(caught.value) == f"--data: {spoilt} is not an image"


@pytest.fixture
def processes(monkeypatch):
    """All processes that decode, three for each pass."""
    started, real = [], subprocess.Popen

    def recorded(*arguments, **named):
        started.append(real(*arguments, **named))
        return started[-1]

    monkeypatch.setattr(streamed_module, "_processes", lambda device: 3)
    monkeypatch.setattr(streamed_module.subprocess, "Popen", recorded)
    return started


def test_the_number_of_processes_changes_nothing(streamed, processes):
    augmentation = Augmentation(zoom=True, mirror=True)
    three = everything(streamed.shuffled(1, augmentation, 0, 0))
    assert len(processes) == 3
    streamed_module._processes = lambda device: 1  # undone by the fixture
    one = everything(streamed.shuffled(1, augmentation, 0, 0))
    assert len(processes) == 4
    assert all(torch.equal(a, b) for a, b in zip(three, one, strict=True))


def test_processes_end_with_the_pass_also_where_it_is_left(streamed, processes):
    everything(streamed.in_order(2))
    batches = streamed.in_order(1)
    next(batches)
    assert [process.poll() is None for process in processes] == [False] * 3 + [True] * 3
    batches.close()
    assert all(process.returncode is not None for process in processes)


def test_a_process_that_dies_is_an_error_and_no_endless_wait(streamed, processes):
    batches = streamed.in_order(1)
    next(batches)
    for process in processes:
        process.kill()
    with pytest.raises(RuntimeError, match=r"decodes images died \(exit code -9\)"):
        list(batches)


def test_only_so_many_files_are_seen_again(shared):
    feeds = Feeds(read(shared), "cpu", 2)
    assert isinstance(feeds.train, Streamed) and isinstance(feeds.train.files, Files)
    assert [len(feed) for feed in (feeds.guide, feeds.seen(7), feeds.validation(), feeds.test())] == [2, 7, 4, 9]
