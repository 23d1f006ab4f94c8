"""Seeds from names: every random stream of a run is a function of one root seed and what it is for.

No global generator is ever seeded for arithmetic of our own, so nothing depends on call order,
on the number of workers, or on which process a client happens to run in.
"""

import hashlib

import numpy as np


def derive_seed(root: int, *names: str | int) -> int:
    """Return the 63-bit seed of the stream called `names` under `root`.

    >>> derive_seed(0, "client", "site-01", 3) == derive_seed(0, "client", "site-01", 3)
    True
    >>> derive_seed(0, "client", "site-01", 3) == derive_seed(0, "client", "site-0", 13)
    False
    """
    text = "\x1f".join([str(root), *(f"{type(n).__name__}:{n}" for n in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def derive_rng(root: int, *names: str | int) -> np.random.Generator:
    """Return a NumPy generator for the stream called `names` under `root`."""
    return np.random.default_rng(derive_seed(root, *names))
