"""Draws from a secret: what they are, and that nothing else gives them."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from scipy import stats

from fedcxr.privacy.secret_noise import SECRET_BYTES, SecretStream, new_secret

SECRET = bytes(range(SECRET_BYTES))


def test_the_same_secret_and_names_give_the_same_bits():
    first, second = (SecretStream(SECRET, "run", 3, 1).normals(1000) for _ in range(2))

    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("names", [("run", 3, 2), ("run", 31), ("run", "3", 1), ("runs", 3, 1)])
def test_other_names_give_other_draws(names):
    first, second = SecretStream(SECRET, "run", 3, 1), SecretStream(SECRET, *names)

    assert abs(np.corrcoef(first.normals(10_000), second.normals(10_000))[0, 1]) < 0.05


def test_another_secret_gives_other_draws():
    first, second = (SecretStream(new_secret(), "run").normals(10_000) for _ in range(2))

    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


def test_each_of_the_256_bits_of_a_secret_matters():
    first = SecretStream(SECRET, "run").uniforms(4)

    for place in range(SECRET_BYTES):
        other = bytearray(SECRET)
        other[place] ^= 1
        assert not np.array_equal(SecretStream(bytes(other), "run").uniforms(4), first)


def test_a_secret_of_another_length_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        SecretStream(b"short", "run")


def test_the_words_are_those_of_aes_256_in_counter_mode(monkeypatch):
    # NIST SP 800-38A, F.5.5 gives AES-256-CTR with this key and first counter block.
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    counter = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    stream = SecretStream(SECRET, "run")
    stream._cipher = Cipher(algorithms.AES256(key), modes.CTR(counter)).encryptor()

    # The key stream is ciphertext xor plaintext: 601ec313775789a5… xor 6bc1bee22e409f96…
    first = 0x601EC313775789A5 ^ 0x6BC1BEE22E409F96
    word = int.from_bytes(first.to_bytes(8, "big"), "little")
    assert stream.uniforms(1)[0] == ((word >> 12) + 0.5) / 2**52


def test_uniform_numbers_are_uniform_and_never_0_or_1():
    found = SecretStream(SECRET, "uniform").uniforms(200_000)

    assert found.min() > 0
    assert found.max() < 1
    assert stats.kstest(found, "uniform").pvalue > 1e-3


def test_normal_numbers_have_the_moments_and_tails_of_the_normal():
    found = SecretStream(SECRET, "normal").normals(400_000)

    # Standard errors: mean 1/√N, variance √(2/N), skewness √(6/N), kurtosis √(24/N).
    assert abs(found.mean()) < 4 / np.sqrt(len(found))
    assert abs(found.var() - 1) < 4 * np.sqrt(2 / len(found))
    assert abs(stats.skew(found)) < 4 * np.sqrt(6 / len(found))
    assert abs(stats.kurtosis(found)) < 4 * np.sqrt(24 / len(found))
    assert stats.kstest(found, "norm").pvalue > 1e-3
    assert np.abs(found).max() > 4  # of 400,000, 25 are expected beyond 4


def test_the_largest_word_gives_a_finite_number():
    stream = SecretStream(SECRET, "run")
    stream._cipher = _Words(b"\xff" * 8 + b"\x00" * 8)

    assert stream.normals(2) == pytest.approx([8.2095, -8.2095], abs=1e-3)


def test_draws_in_pieces_are_the_draws_at_once():
    whole, pieces = SecretStream(SECRET, "run"), SecretStream(SECRET, "run")

    parts = np.concatenate([pieces.normals(7), pieces.normals(300_000), pieces.normals(1)])

    np.testing.assert_array_equal(whole.normals(300_008), parts)


class _Words:
    def __init__(self, stream: bytes) -> None:
        self._stream = stream

    def update(self, zeros: bytes) -> bytes:
        return self._stream[: len(zeros)]
