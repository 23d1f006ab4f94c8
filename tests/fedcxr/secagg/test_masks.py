"""Masks: a published keystream, laws, and that what is masked looks like nothing."""

import numpy as np
import pytest
from Crypto.Cipher import AES
from Crypto.Util import Counter
from scipy.stats import chi2

from fedcxr.secagg.keys import new_secret
from fedcxr.secagg.masks import add_mask


def test_the_keystream_is_aes_256_in_counter_mode():
    # NIST's AESAVS, AES-256: the key and the block of zeros give dc95c078…
    total = np.zeros(4, np.uint32)
    add_mask(total, bytes(32))
    assert total.astype("<u4").tobytes().hex() == "dc95c078a2408989ad48a21492842087"
    # All of it by another library, over more than one of our blocks.
    key, total = new_secret(), np.zeros(70_000, np.uint32)
    theirs = AES.new(key, AES.MODE_CTR, counter=Counter.new(128, initial_value=0))
    add_mask(total, key)
    np.testing.assert_array_equal(total, np.frombuffer(theirs.encrypt(bytes(280_000)), "<u4"))


@pytest.mark.parametrize("length", [0, 1, 3, 1 << 15, (1 << 15) + 1, 100_000])
def test_a_mask_taken_away_leaves_what_was_there(length):
    rng, key = np.random.default_rng(0), new_secret()
    values = rng.integers(0, 2**32, length, np.uint32)
    total = values.copy()
    add_mask(total, key)
    assert length < 3 or (total != values).any()
    add_mask(total, key, subtract=True)
    np.testing.assert_array_equal(total, values)


def test_a_longer_vector_has_the_same_beginning():
    key = new_secret()
    long, short = np.zeros(100_000, np.uint32), np.zeros(50_001, np.uint32)
    add_mask(long, key)
    add_mask(short, key)
    np.testing.assert_array_equal(long[:50_001], short)


def test_sums_wrap_around():
    key = new_secret()
    mask, total = np.zeros(1000, np.uint32), np.full(1000, 2**32 - 1, np.uint32)
    add_mask(mask, key)
    add_mask(total, key)
    np.testing.assert_array_equal(total, mask - np.uint32(1))


def test_what_is_masked_is_uniform_and_has_nothing_in_common_with_what_it_hides():
    # A true vector far from uniform: small levels with a trend. 2**18 words.
    size = 1 << 18
    values = np.arange(size, dtype=np.uint32) // 1000
    masked = values.copy()
    add_mask(masked, new_secret())
    for shift in (0, 8, 16, 24):  # each byte of a word: chi-square over 256 values
        counts = np.bincount((masked >> np.uint32(shift)) & 255, minlength=256)
        statistic = float(((counts - size / 256) ** 2 / (size / 256)).sum())
        assert 1e-7 < chi2.sf(statistic, 255) < 1 - 1e-7
    # Deviation of a correlation of independent values: 1 / sqrt(N) = 0.002; five of them.
    assert abs(np.corrcoef(values, masked)[0, 1]) < 5 / size**0.5
    assert abs(np.corrcoef(masked[:-1], masked[1:])[0, 1]) < 5 / size**0.5
    assert (np.corrcoef(values[:-1], values[1:])[0, 1]) > 0.99  # which the true ones have
