"""CIFAR-10 and CIFAR-100 from the official binary archives. Nothing is unpacked and nothing in them is executed.

The archive is read once into memory; what was checked is what is used. Its records (a label byte or two, then
3,072 bytes of red, green and blue, row by row) are taken out of the members that are named here, all others ignored.
"""

import gzip
import hashlib
import io
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from explorer.train.data.parts import Part

VALIDATION_IMAGES = 5000  # of the training images, as SeqConv section 4.1 does
SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class Archive:
    """An archive as it was published, and where its images are."""

    file: str
    url: str
    size: int  # bytes
    sha256: str
    train: tuple[str, ...]  # members
    test: str
    records: int  # in each member for training
    test_records: int
    labels: int  # bytes before the pixels; the last is the label
    classes: int


CIFAR10 = Archive(
    file="cifar-10-binary.tar.gz",  # MD5 c32a1d4ab5d03f1284b67883e8d87530 on its page
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    size=170_052_171,
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    train=tuple(f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)),
    test="cifar-10-batches-bin/test_batch.bin",
    records=10_000,
    test_records=10_000,
    labels=1,
    classes=10,
)
CIFAR100 = Archive(
    file="cifar-100-binary.tar.gz",  # MD5 03b5dce01913d631647c71ecec9e9cb8 on its page
    url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    size=168_513_733,
    sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    train=("cifar-100-binary/train.bin",),
    test="cifar-100-binary/test.bin",
    records=50_000,
    test_records=10_000,
    labels=2,  # coarse, fine
    classes=100,
)


def parts(archive: Archive, folder: Path) -> "tuple[Part, Part, Part]":
    """Training, validation (a stratified tenth of the training images) and test part; UserError if altered."""
    import numpy as np

    from explorer.train.data.parts import Part
    from explorer.train.data.splits import SPLIT_SEED, stratified

    packed = checked(archive, folder / archive.file)
    sizes = dict.fromkeys(archive.train, archive.records) | {archive.test: archive.test_records}
    members = _members(packed, archive, sizes)
    read = [_records(members.pop(name), archive, name) for name in (*archive.train, archive.test)]
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*read[:-1], strict=True))
    held_out = min(VALIDATION_IMAGES, len(labels) // 10) // archive.classes
    validation, train = stratified(labels, (held_out,), np.random.default_rng(SPLIT_SEED))
    made = [(pixels[train], labels[train]), (pixels[validation], labels[validation]), read[-1]]
    one, two, three = (Part(images.transpose(0, 3, 1, 2), own) for images, own in made)
    return one, two, three


def checked(archive: Archive, path: Path) -> bytes:
    """The bytes of an archive that is the published one; UserError where it is missing, cut short or altered."""
    try:
        packed = path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"there is no {path}: add --download to fetch it ({archive.size / 1e6:.0f} MB), put the archive from "
            f"{archive.url} there, or name its folder with --data-dir"
        ) from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if len(packed) == archive.size and hashlib.sha256(packed).hexdigest() == archive.sha256:
        return packed
    raise UserError(f"{path} {_difference(archive, len(packed))}; delete it and add --download to fetch it again")


def _difference(archive: Archive, size: int) -> str:
    """How a file of `size` bytes that is not the archive differs from it."""
    if size < archive.size:
        return f"is cut short: {size:,} of {archive.size:,} bytes"
    return f"is not the published archive (its {'SHA-256' if size == archive.size else 'size'} differs)"


def _members(packed: bytes, archive: Archive, records: dict[str, int]) -> dict[str, bytes]:
    """The bytes of the named members, each as long as its records; no other is looked into."""
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as opened:
            for member in opened:
                if member.isreg() and member.name in records:
                    want = records[member.name] * (archive.labels + 3072)
                    if member.size != want:
                        raise UserError(f"{archive.file}: {member.name} has {member.size:,} bytes, not {want:,}")
                    stream = opened.extractfile(member)
                    assert stream is not None  # a regular file has one
                    found[member.name] = stream.read()
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{archive.file} cannot be unpacked: {error}") from error
    if missing := sorted(records.keys() - found.keys()):
        raise UserError(f"{archive.file} lacks {', '.join(missing)}")
    return found


def _records(member: bytes, archive: Archive, name: str) -> "tuple[NDArray[np.uint8], NDArray[np.int64]]":
    """Pixels [N, H, W, C] and labels [N] of a member; UserError for a label that no class has."""
    import numpy as np

    records = np.frombuffer(member, np.uint8).reshape(-1, archive.labels + 3072)
    labels = records[:, archive.labels - 1].astype(np.int64)
    if labels.max() >= archive.classes:
        raise UserError(f"{archive.file}: {name} has the label {labels.max()} in {archive.classes} classes")
    pixels = records[:, archive.labels :].reshape(-1, *SHAPE)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)), labels
