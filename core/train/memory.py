"""How the C library of a training process handles memory. Other libraries than glibc stay as they are."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt's names, from <malloc.h>


def keep_memory() -> None:
    """Have it keep freed blocks instead of handing them back to the system.

    A step allocates and frees tensors of tens of megabytes over and over; glibc maps such blocks anew each time, and
    the page faults took up to half of a training step on a CPU.
    """
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    except (OSError, AttributeError, TypeError):
        pass


def release_memory() -> None:
    """Hand back once what is free now: batches of many shapes leave gaps that would add up over a long run."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        pass
