"""The C library's allocator, told to keep memory: on CPU, handing back large tensors costs more than computing them.

By default glibc gets each large tensor from the system and returns it when it is freed; each of its pages is then
cleared and mapped anew for the next one.
"""

import ctypes
import platform

GLIBC = platform.libc_ver()[0] == "glibc"
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -2, -3, -4  # mallopt(3)
KEEP = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**28))
RETURN = ((M_MMAP_MAX, 2**16), (M_MMAP_THRESHOLD, 2**25), (M_TRIM_THRESHOLD, 2**26), (M_TOP_PAD, 2**17))  # glibc's own


def keep_freed_memory(keep: bool = True) -> bool:
    """Have this process reuse freed memory from now on, or (`keep` False) return it; False where this is not glibc.

    For processes of our own that train or measure on CPU. What is kept lies in pieces, which not every tensor fits
    into: a process takes up to three times what its tensors need at once.
    """
    if not GLIBC:
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(what, value) for what, value in (KEEP if keep else RETURN))


def hand_back_freed_memory() -> None:
    """Give the system what this process keeps and does not use now: between two trainings, of which one was large."""
    if GLIBC:
        ctypes.CDLL(None).malloc_trim(0)
