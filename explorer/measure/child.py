"""What the processes that this one starts have in common: where they find modules, and how they ended, in words."""

import os
import signal
from pathlib import Path

import explorer


def search_path() -> str:
    """PYTHONPATH for a child: what is set here, and where this package lies.

    What a script or its folder adds to sys.path is not a child's concern: a file beside it that is called like a
    library's module would take that one's place.
    """
    return os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(Path(explorer.__file__).parent.parent))))


def signal_name(number: int) -> str:
    """SIGSEGV for 11."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
