"""What FILE.py:FUNCTION and timm:NAME mean, as far as that can be told without loading torch."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from explorer.errors import UserError, nearest

_TIMM = "timm:"
_IN_FILE = re.compile(r"(?P<path>.+?\.py)(?::(?P<name>.*))?", re.DOTALL)


class Named(NamedTuple):
    """A function in a file, or without a file one of timm's models."""

    path: Path | None
    name: str


def named(text: str) -> Named:
    """What a user's words mean. Raises UserError for a file that is not there, and where timm is not installed."""
    text = text.strip()
    if text.startswith(_TIMM):
        if find_spec("timm") is None:
            raise UserError("timm is not installed: pip install 'explorer[timm]'")
        return Named(None, text.removeprefix(_TIMM).strip())
    found = _IN_FILE.fullmatch(text)
    if found is None:
        raise UserError(f"'{text[:100]}' is neither FILE.py:FUNCTION nor timm:NAME")
    path = Path(found["path"])
    if not path.is_file():
        siblings = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise UserError(f"there is no file '{path}'{'; ' if siblings else ''}{nearest(path.name, siblings)}")
    return Named(path, (found["name"] or "").strip())
