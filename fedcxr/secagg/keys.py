"""Keys that two sites agree on through a server that reads along, and boxes that only they open.

X25519 (RFC 7748) gives a shared secret, HKDF-SHA256 (RFC 5869) a key of 256 bits from it, bound to
what it is for: run, round, session, both sites and the purpose. AES-256-GCM closes what a site
sends to another through the server. All of it is the library `cryptography`'s; no key here is
narrower than 256 bits, and none descends from a run's seed. Public keys are not signed: a server
that swaps them is outside what this protects against.
"""

import json
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedcxr.errors import RunError

KEY_BYTES = 32
"""Of every secret, private and public key."""
_NONCE_BYTES = 12


def new_secret() -> bytes:
    """Return 256 bits from the operating system; also an X25519 private key."""
    return secrets.token_bytes(KEY_BYTES)


def public_key(private: bytes) -> bytes:
    """Return the public key of a private one."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def agreed_key(private: bytes, public: bytes, context: bytes) -> bytes:
    """Return the key of 256 bits that the owners of both keys get, for one purpose.

    Args:
        private: of one side.
        public: of the other.
        context: what the key is for, the same at both sides; see `context_of`.

    Raises:
        RunError: the public key is none, or one with which every secret is the same.
    """
    try:
        shared = X25519PrivateKey.from_private_bytes(private).exchange(
            X25519PublicKey.from_public_bytes(public)
        )
    except ValueError as err:  # of another length, or a point of low order
        raise RunError("a public key is not one that a site can agree with") from err
    return derived_key(shared, context)


def derived_key(secret: bytes, context: bytes) -> bytes:
    """Return the key of 256 bits that follows from a secret, for one purpose."""
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=context).derive(secret)


def commitment(secret: bytes, context: bytes) -> bytes:
    """Return what tells a secret of 256 bits from every other one, and nothing of it."""
    return derived_key(secret, b"commitment" + context)


def context_of(purpose: str, *names: str | int) -> bytes:
    """Return the names as bytes that no other names give.

    >>> context_of("mask", "run", 1) == context_of("mask", "run1")
    False
    """
    return json.dumps(["fedcxr", purpose, *names], separators=(",", ":")).encode()


def seal(key: bytes, text: bytes, context: bytes) -> bytes:
    """Return a text that only the key opens, and only in the same context."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, text, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Return the text in what `seal` made; `RunError` if it was changed or is another's."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
    except (InvalidTag, ValueError) as err:
        raise RunError("what one site sent to another was changed on its way") from err
