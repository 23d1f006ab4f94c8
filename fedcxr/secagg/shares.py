"""Shamir's secret sharing of 256 bits over the field of 2**521 - 1.

Any `threshold` shares give the secret, fewer say nothing of it: a polynomial of that degree less
one has the secret at 0 and its shares elsewhere. Flower's blocks were looked at and not taken: they
are sound, but cut a secret into pieces of 16 bytes that are shared one by one and padded, start
threads for each, and return another secret without a word where a share is wrong.

Source: Shamir 1979, "How to share a secret".
"""

import secrets
from collections.abc import Mapping, Sequence

from fedcxr.errors import RunError

PRIME = 2**521 - 1
SHARE_BYTES = 66
SECRET_BYTES = 32


def split(secret: bytes, threshold: int, points: Sequence[int]) -> dict[int, bytes]:
    """Return a share for each point.

    Args:
        secret: 256 bits.
        threshold: so many shares give the secret, one less says nothing.
        points: from 1, all different, at least `threshold` of them.
    """
    if len(secret) != SECRET_BYTES or not 1 <= threshold <= len(set(points)) == len(points):
        raise ValueError(f"cannot share {len(secret)} bytes as {threshold} of {len(points)}")
    if min(points) < 1:
        raise ValueError("the secret itself is at point 0")
    coefficients = [int.from_bytes(secret, "big")]
    coefficients += [secrets.randbelow(PRIME) for _ in range(threshold - 1)]
    return {x: value_at(coefficients, x).to_bytes(SHARE_BYTES, "big") for x in points}


def join(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """Return the secret of at least `threshold` shares; those of the lowest points are used.

    Raises:
        RunError: there are too few, or they are not of one secret of 256 bits.
    """
    if len(shares) < threshold:
        raise RunError(f"{len(shares)} shares of a secret are there, {threshold} are needed")
    points = {x: int.from_bytes(shares[x], "big") for x in sorted(shares)[:threshold]}
    secret = value_at_zero(points)
    if secret >= 2 ** (8 * SECRET_BYTES):
        raise RunError("the shares of a secret do not belong together")
    return secret.to_bytes(SECRET_BYTES, "big")


def value_at(coefficients: Sequence[int], x: int, prime: int = PRIME) -> int:
    """Return the polynomial's value by Horner's rule, lowest coefficient first.

    >>> [value_at([1234, 166, 94], x, prime=1613) for x in (1, 2, 3)]
    [1494, 329, 965]
    """
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % prime
    return value


def value_at_zero(points: Mapping[int, int], prime: int = PRIME) -> int:
    """Return at 0 the polynomial of lowest degree through the points (Lagrange).

    >>> value_at_zero({2: 329, 4: 176, 5: 1188}, prime=1613)
    1234
    """
    value = 0
    for x, y in points.items():
        above = below = 1
        for other in points:
            if other != x:
                above = above * other % prime
                below = below * (other - x) % prime
        value += y * above * pow(below, -1, prime)
    return value % prime
