"""A look at a data set's image files before anything is trained on them, so that a bad one does not end a training."""

import warnings

from explorer.errors import UserError
from explorer.train.data.parts import Dataset, Files


def check_images(data: Dataset) -> None:
    """UserError naming the first file that is no image; of data sets in memory nothing is left to check.

    Every image of a small part (see `Files.small`) is decoded. Of larger ones the headers of validation and test images
    are read, as those are not looked at before the first epoch or the whole training is over, and no file may be empty.
    """
    parts = [part for part in (data.validation, data.test, data.train) if isinstance(part, Files)]
    for part in parts:
        if not part.sizes.all():
            raise UserError(f"--data: {part.file(part.paths[part.sizes.argmin()])} is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of what it decodes all the same
        for part in parts:
            _check(part, headers=part is not data.train)


def _check(part: Files, headers: bool) -> None:
    """Decode all files of a small part; of a larger one read the headers, if asked to."""
    from explorer.train.data.decode import check_header, decoded  # imports Pillow

    if not (part.small or headers):
        return
    for path in part.paths:
        (decoded if part.small else check_header)(part.file(path))
