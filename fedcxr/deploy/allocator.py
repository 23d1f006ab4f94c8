"""Memory of large messages goes back to the system as soon as it is freed.

glibc takes a block of 28 MB from the system by itself, and gives it back when it is freed. But with
the first that is freed it begins to keep blocks of up to 32 MB for later, in a heap for each
thread. Those heaps fragment: over 50 rounds of densenet121 a SuperLink grew by 2 MB a round, and a
client by 1.5 MB (`benchmarks/deployment_soak.py`). A threshold that is set stays where it is.

Source: `man 3 mallopt`, M_MMAP_THRESHOLD.
"""

import ctypes

THRESHOLD_BYTES = 256 * 1024
"""Blocks from here on are the system's; Flower's and our own small objects lie below."""
VARIABLES = {"MALLOC_MMAP_THRESHOLD_": str(THRESHOLD_BYTES)}
"""The same for a program that is about to start, and all that it starts."""
_M_MMAP_THRESHOLD = -3


def give_back_large_blocks() -> bool:
    """Set it for this process; False where its C library has no such setting."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_MMAP_THRESHOLD, THRESHOLD_BYTES) == 1
