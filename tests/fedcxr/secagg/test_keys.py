"""Keys and sealed boxes: published vectors, and what must not open."""

import pytest

from fedcxr.errors import RunError
from fedcxr.secagg.keys import (
    KEY_BYTES,
    agreed_key,
    commitment,
    context_of,
    derived_key,
    new_secret,
    public_key,
    seal,
    unseal,
)

CONTEXT = context_of("mask", "run", 1, "session", "a", "b")


def test_the_agreement_is_that_of_rfc_7748():
    # RFC 7748, §5.2: the first vector of X25519
    scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    shared = bytes.fromhex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552")
    assert agreed_key(scalar, point, CONTEXT) == derived_key(shared, CONTEXT)


def test_hkdf_is_that_of_rfc_5869():
    # RFC 5869, A.3: SHA-256, no salt, no info; the first 32 of its 42 bytes
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert derived_key(b"\x0b" * 22, b"").hex() == expected


def test_two_sites_agree_on_one_key_and_a_third_on_another():
    a, b, c = new_secret(), new_secret(), new_secret()
    key = agreed_key(a, public_key(b), CONTEXT)
    assert key == agreed_key(b, public_key(a), CONTEXT)
    assert len(key) == KEY_BYTES == 32
    assert key != agreed_key(c, public_key(a), CONTEXT)


@pytest.mark.parametrize(
    "other",
    [
        context_of("seal", "run", 1, "session", "a", "b"),
        context_of("mask", "run", 2, "session", "a", "b"),
        context_of("mask", "run", 1, "another", "a", "b"),
        context_of("mask", "run", 1, "session", "a", "c"),
    ],
)
def test_a_key_for_another_purpose_round_session_or_pair_is_another_key(other):
    a, b = new_secret(), new_secret()
    assert agreed_key(a, public_key(b), CONTEXT) != agreed_key(a, public_key(b), other)


@pytest.mark.parametrize("public", [bytes(32), bytes(31), b"\x01" + bytes(31)])
def test_a_public_key_of_low_order_or_of_another_length_is_refused(public):
    # 0 and 1 are points of order 4 and 1 of curve25519: with them every secret is 0
    with pytest.raises(RunError, match="not one that a site can agree with"):
        agreed_key(new_secret(), public, CONTEXT)


def test_a_box_opens_with_its_key_in_its_context_alone():
    key, text = new_secret(), b"two shares"
    box = seal(key, text, CONTEXT)
    assert text not in box
    assert unseal(key, box, CONTEXT) == text
    changed = bytes([box[0] ^ 1]) + box[1:]
    for wrong in (
        (new_secret(), box, CONTEXT),
        (key, box, b"other"),
        (key, changed, CONTEXT),
        (key, box[:-1] + bytes([box[-1] ^ 1]), CONTEXT),
        (key, b"", CONTEXT),
    ):
        with pytest.raises(RunError, match="was changed on its way"):
            unseal(*wrong)


def test_the_same_text_is_sealed_differently_each_time():
    key = new_secret()
    assert seal(key, b"text", CONTEXT) != seal(key, b"text", CONTEXT)


def test_a_commitment_tells_secrets_apart_and_is_none_of_their_keys():
    secret = new_secret()
    found = commitment(secret, CONTEXT)
    assert found == commitment(secret, CONTEXT)
    assert found != commitment(new_secret(), CONTEXT)
    assert found not in (secret, derived_key(secret, CONTEXT))
