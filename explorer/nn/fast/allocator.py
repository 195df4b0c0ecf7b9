"""The C library's allocator, told to keep memory: on CPU, handing back large tensors costs more than computing them.

By default glibc gets each large tensor from the system and returns it when it is freed; each of its pages is then
cleared and mapped anew for the next one.
"""

import ctypes
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # mallopt(3)


def keep_freed_memory() -> bool:
    """Have this process reuse freed memory, from now on and until it ends. False where the C library is not glibc.

    For processes of our own that train or measure on CPU: a process keeps the memory that it once needed.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(
        mallopt(what, value) for what, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**28))
    )
