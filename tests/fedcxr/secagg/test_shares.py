"""Shamir's sharing: a published example, laws, and that too few shares say nothing."""

import itertools
import secrets
from collections import Counter

import pytest
from Crypto.Protocol.SecretSharing import Shamir

from fedcxr.errors import RunError
from fedcxr.secagg import shares
from fedcxr.secagg.shares import PRIME, SECRET_BYTES, SHARE_BYTES, join, split, value_at


def test_the_prime_is_that_of_p_521_and_a_share_holds_it():
    assert pow(3, PRIME - 1, PRIME) == 1  # Fermat; 2**521 - 1 is Mersenne's 13th prime
    assert (PRIME.bit_length() + 7) // 8 == SHARE_BYTES
    assert 8 * SECRET_BYTES == 256


def test_any_so_many_shares_give_the_secret():
    secret = secrets.token_bytes(32)
    made = split(secret, 3, [1, 4, 5, 9, 100])
    assert {len(one) for one in made.values()} == {SHARE_BYTES}
    for points in itertools.combinations(made, 3):
        assert join({x: made[x] for x in points}, 3) == secret
    assert join(made, 3) == secret


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32])
def test_the_smallest_and_the_largest_secret_come_back(secret):
    assert join(split(secret, 2, [1, 2]), 2) == secret


def test_one_share_less_fits_every_secret_alike(monkeypatch):
    # Over the field of 13 with threshold 2: the share at 1 is uniform whatever the secret is.
    monkeypatch.setattr(shares, "PRIME", 13)
    for secret in (0, 7):
        found = Counter(value_at([secret, coefficient], 1, prime=13) for coefficient in range(13))
        assert found == Counter(range(13))


def test_a_share_says_nothing_of_the_secret_by_its_bits():
    # 400 shares of the same secret: each of the 521 bits is one as often as not. Of 521 binomial
    # counts (400, 0.5), deviation 10, none is 6 deviations off but with probability 1e-6.
    secret = bytes(32)
    ones = [0] * 521
    for _ in range(400):
        value = int.from_bytes(split(secret, 2, [1, 2])[1], "big")
        for bit in range(521):
            ones[bit] += value >> bit & 1
    assert max(abs(count - 200) for count in ones) < 60


def test_shares_of_two_secrets_do_not_belong_together():
    # A value below 2**256 comes by chance with probability 2**-265.
    one, two = (split(secrets.token_bytes(32), 2, [1, 2]) for _ in range(2))
    with pytest.raises(RunError, match="do not belong together"):
        join({1: one[1], 2: two[2]}, 2)


def test_too_few_shares_are_refused():
    made = split(bytes(32), 3, [1, 2, 3])
    with pytest.raises(RunError, match="2 shares of a secret are there, 3 are needed"):
        join({x: made[x] for x in (1, 2)}, 3)


@pytest.mark.parametrize(
    ("secret", "threshold", "points"),
    [
        (bytes(31), 2, [1, 2]),
        (bytes(32), 3, [1, 2]),
        (bytes(32), 2, [1, 1]),
        (bytes(32), 2, [0, 1]),
    ],
)
def test_what_cannot_be_shared_is_not(secret, threshold, points):
    with pytest.raises(ValueError, match=r"cannot share|at point 0"):
        split(secret, threshold, points)


def test_pycryptodome_agrees_on_the_law_in_its_own_field():
    secret = secrets.token_bytes(16)
    theirs = Shamir.split(2, 3, secret, ssss=False)
    assert Shamir.combine(theirs[1:], ssss=False) == secret
