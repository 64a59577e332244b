"""Make glibc keep the memory it was given: on the CPU a training step otherwise spends up to half its time in page faults.

Every step allocates and frees the same large blocks. By default glibc maps each from the kernel and gives it back, so
that every page is faulted in and zeroed again. The same three settings as MALLOC_MMAP_MAX_=0, MALLOC_TRIM_THRESHOLD_ and
MALLOC_ARENA_MAX=1 in the environment, but set by mallopt(3), so nothing has to be known before the process starts.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # <malloc.h>


def keep_memory() -> bool:
    """Ask the allocator to keep freed memory for the life of this process; False where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    # -1 switches trimming off; no block comes from mmap, so all of it is reused; one arena, so threads share it.
    return all((mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, -1), mallopt(M_ARENA_MAX, 1)))
