"""Ctrl-C between two steps: not in the middle of one, where half of the weights are new."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def held_interrupts() -> Iterator[Callable[[], bool]]:
    """Inside, a first Ctrl-C only makes the function that is given answer yes; a second one interrupts at once."""
    asked = threading.Event()

    def ask(*arguments: Any) -> None:
        if asked.is_set():
            signal.default_int_handler(*arguments)
        asked.set()

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield asked.is_set
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
