"""The body of a decoding process: on stdin a JSON line for each batch, on stdout its pixels, until stdin ends.

Plain child processes, as those of the sweep: they start without torch, need no `__main__` guard in the user's script,
take no lock of a forked thread with them, and end with whoever asked, however that ends.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from explorer.errors import UserError
from explorer.train.data.decode import pixels

HEADER = 4  # bytes: the length of an error message; 0: none, pixels follow


def main() -> None:
    """Answer every request that arrives."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # out of the reach of whatever prints
        try:
            for line in sys.stdin.buffer:
                answer(json.loads(line), answers)
        except BrokenPipeError:  # nobody waits any more
            os._exit(0)


def answer(request: dict[str, Any], answers: BinaryIO) -> None:
    """Decode the files of a request, [path, seeds of a random part or null] each, to `size` x `size`."""
    try:
        decoded = np.stack([_one(Path(path), request["size"], seeds) for path, seeds in request["files"]])
    except UserError as error:
        message = str(error).encode()
        answers.write(len(message).to_bytes(HEADER, "little") + message)
    else:
        answers.write(bytes(HEADER))
        answers.write(np.ascontiguousarray(decoded).data)
    answers.flush()


def _one(path: Path, size: int, seeds: list[int] | None) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """One file's pixels."""
    return pixels(path, size, np.random.default_rng(seeds) if seeds else None)


if __name__ == "__main__":
    main()
