"""The key pair that a site's node shows who it is with, in the formats that Flower 1.41 takes.

The SuperNode reads an OpenSSH private key (`--auth-supernode-private-key`). The SuperLink knows a
node by the bytes of its public key as PEM, so these bytes are what the server's kit holds.
"""

import base64
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True, slots=True)
class NodeKey:
    """One node's key pair."""

    private: bytes
    """OpenSSH, not encrypted: the file's mode guards it."""
    public: bytes
    """PEM of the SubjectPublicKeyInfo."""


def new_node_key() -> NodeKey:
    """Return a new key pair of curve P-384."""
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    return NodeKey(private, _public_pem(key.public_key()))


def read_node_key(private: bytes) -> NodeKey:
    """Return the key pair of a private key's file.

    Raises:
        ValueError: it is no such key, it is encrypted, or it is of a curve that Flower refuses.
    """
    try:
        key = serialization.load_ssh_private_key(private, password=None)
    except (TypeError, UnsupportedAlgorithm) as err:
        raise ValueError("the key is encrypted, or of a kind that is not known") from err
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not one of an elliptic curve")
    return NodeKey(private, check_public_key(_public_pem(key.public_key())))


def check_public_key(public: bytes) -> bytes:
    """Return a public key's PEM as Flower compares it.

    Raises:
        ValueError: it is none, or not of a NIST curve.
    """
    key = serialization.load_pem_public_key(public)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("the key is not one of an elliptic curve")
    if not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
        raise ValueError(f"the key's curve {key.curve.name} is not P-256, P-384 or P-521")
    return _public_pem(key)


def fingerprint(public: bytes) -> str:
    r"""Return what a public key is called in logs: SHA-256 of its DER bytes.

    >>> fingerprint(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")[:13]
    'SHA256:cJ6AyI'
    """
    lines = public.decode("ascii", "replace").splitlines()
    der = base64.b64decode("".join(line for line in lines if not line.startswith("-----")))
    return "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")


def _public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
