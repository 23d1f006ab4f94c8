"""Memory of large messages goes back to the system as soon as it is freed.

glibc takes a block of 28 MB from the system by itself, and gives it back when it is freed. But with
the first that is freed it begins to keep blocks of up to 32 MB for later, in a heap for each
thread. Those heaps fragment: over 50 rounds of densenet121 a SuperLink grew by 2 MB a round, and a
client by 1.5 MB (`benchmarks/deployment_soak.py`). A threshold that is set stays where it is. There
is a thread for each order, so few heaps do: 16 on two cores would each keep what is small.

Source: `man 3 mallopt`, M_MMAP_THRESHOLD and M_ARENA_MAX.
"""

import ctypes

THRESHOLD_BYTES = 256 * 1024
"""Blocks from here on are the system's; Flower's and our own small objects lie below."""
MOST_HEAPS = 2
VARIABLES = {
    "MALLOC_MMAP_THRESHOLD_": str(THRESHOLD_BYTES),
    "MALLOC_ARENA_MAX": str(MOST_HEAPS),
}
"""The same for a program that is about to start, and all that it starts."""
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8


def give_back_large_blocks() -> bool:
    """Set both for this process; False where its C library has no such settings."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    settings = ((_M_MMAP_THRESHOLD, THRESHOLD_BYTES), (_M_ARENA_MAX, MOST_HEAPS))
    return mallopt is not None and all(mallopt(*each) == 1 for each in settings)
