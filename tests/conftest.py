"""Shared set-up of the tests."""

import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun in the background of a shell: Ctrl-C would reach no test
    signal.signal(signal.SIGINT, signal.default_int_handler)
