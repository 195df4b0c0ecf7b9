"""A foreign module's own errors, in one line."""

import traceback
from pathlib import Path

import torch

TORCH, HERE = Path(torch.__file__).parent, Path(__file__).parent


def short(error: BaseException, limit: int = 200) -> str:
    """An error's type, its first line, and where it happened outside of torch."""
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    line = message.strip().partition("\n")[0]
    line = line if len(line) <= limit else f"{line[:limit]}..."
    text = type(error).__name__ + (f": {line}" if line else "")
    where = place(error)
    return f"{text} ({where})" if where else text


def place(error: BaseException) -> str | None:
    """file:line of the last line that ran and is neither torch's nor the trace's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if not frame.filename.startswith("<") and TORCH not in path.parents and HERE not in path.parents:
            return f"{path.name}:{frame.lineno}"
    return None
