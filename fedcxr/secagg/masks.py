"""Masks: keystreams of AES-256 in counter mode, added to a vector mod 2**32.

To who has no key a masked vector is uniform, whatever it hides. The counter starts at zero: a key
masks one vector in its life, which is what makes it a one-time pad. Flower's own generator is not
used: it folds its seed to 32 bits, which a laptop goes through in minutes.
"""

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

from fedcxr.secagg.quantise import Words

_BLOCK = 1 << 15
"""Words at once; 128 KB stay in a core's cache."""
_ZEROS = bytes(4 * _BLOCK)


def add_mask(total: Words, key: bytes, *, subtract: bool = False) -> None:
    """Add a key's keystream to `total` in place, or take it away.

    Args:
        total: (N,) mod 2**32.
        key: of 256 bits, used for nothing else.
        subtract: whether to take it away.
    """
    encrypt = Cipher(AES256(key), CTR(bytes(16))).encryptor().update_into
    stream = np.empty(_BLOCK, "<u4")
    into = stream.view(np.uint8).data
    change = np.subtract if subtract else np.add
    for start in range(0, len(total), _BLOCK):
        part = total[start : start + _BLOCK]
        zeros = _ZEROS if len(part) == _BLOCK else _ZEROS[: 4 * len(part)]
        encrypt(zeros, into[: 4 * len(part)])
        change(part, stream[: len(part)], out=part)
