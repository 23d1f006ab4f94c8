"""Draws from a secret: AES-256 in counter mode, under a key of its own for every name.

Who does not hold the secret can neither repeat nor subtract a draw, whatever else it knows: seeds
of a run (`fedcxr/seeding.py`) descend from a number that the server has chosen, and a Mersenne
twister seeded with 64 bits could be searched. Who holds it repeats every draw, to the bit, on any
machine of the same SciPy.

Normal values are the quantiles of uniform ones of 52 bits: they reach to 8.2 deviations, and what
is added to them is rounded as floats are. So the guarantee is that of real numbers up to rounding
(Mironov 2012, "On significance of the least significant bits for differential privacy").
"""

import hashlib
import secrets

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray
from scipy.special import ndtri

SECRET_BYTES = 32

_BLOCK = 1 << 18
"""Numbers drawn at once; changes none of them."""


def new_secret() -> bytes:
    """Return 256 bits from the operating system."""
    return secrets.token_bytes(SECRET_BYTES)


class SecretStream:
    """The draws of one name under one secret, one after another."""

    def __init__(self, secret: bytes, *names: str | int) -> None:
        """Begin a stream.

        Args:
            secret: of 32 bytes, which nobody else has.
            names: what the draws are for; other names give other, independent draws.

        Raises:
            ValueError: the secret is shorter or longer.
        """
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a secret has {SECRET_BYTES} bytes; this one has {len(secret)}")
        text = "\x1f".join(f"{type(name).__name__}:{name}" for name in names)
        key = hashlib.blake2b(text.encode(), key=secret, digest_size=32).digest()
        # Each key serves one stream, so that its counter may begin at 0.
        self._cipher = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()

    def uniforms(self, count: int) -> NDArray[np.float64]:
        """Return that many independent numbers, uniform in (0, 1)."""
        words = np.frombuffer(self._cipher.update(bytes(8 * count)), dtype="<u8")
        return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52

    def normals(self, count: int) -> NDArray[np.float64]:
        """Return that many independent standard normal numbers."""
        found = np.empty(count)
        for start in range(0, count, _BLOCK):
            part = found[start : start + _BLOCK]
            ndtri(self.uniforms(len(part)), out=part)
        return found
