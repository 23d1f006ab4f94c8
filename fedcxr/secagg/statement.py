"""What a site has checked of its own update, signed: the server cannot look at a single one.

A statement names run, round, session, site, the checks, and the digest of the masked words that it
goes with, so that it fits no other words and no other round. It is signed with a key (Ed25519) that
a site makes for a run. In a deployment the key of the site's kit signs that key in turn, so whoever
has the kits' public keys can tell later whose word it was.

A statement is a site's word: that it ran these checks, not that it is honest. Nor does it show
anything of the update.
"""

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    load_pem_public_key,
    load_ssh_private_key,
)

from fedcxr.errors import ArtefactError, RunError
from fedcxr.secagg.keys import context_of

SIGNATURE_BYTES = 64
"""Of Ed25519."""
MOST_KIT_SIGNATURE_BYTES = 160
"""Of ECDSA on the widest curve that a kit may have, as DER."""

ALWAYS = ("declared", "finite", "counters", "variances", "weight")
"""Vectors as the run declares them; finite numbers; counters that training can have moved; no
negative variance; a weight from 1 to the site's training images."""
NORM = "norm"
"""No longer than `server.norm_factor` times the site's usual, by its own rounds before."""
LENGTH = "length"
"""Under client-level privacy: no longer than `privacy.clip` once it is rounded."""


@dataclass(frozen=True, slots=True)
class Statement:
    """That a site has checked the update behind masked words."""

    run: str
    round_num: int
    session: str
    site_id: str
    checks: tuple[str, ...]
    masked_sha256: str

    def to_bytes(self) -> bytes:
        """Return what is signed."""
        names = self.run, self.round_num, self.session, self.site_id, self.masked_sha256
        return context_of("checked", *names, *self.checks)


def checks_of(*, has_norm: bool, has_length: bool) -> tuple[str, ...]:
    """Return the names of the checks that a run wants of each update.

    >>> checks_of(has_norm=False, has_length=True)[-2:]
    ('weight', 'length')
    """
    return (*ALWAYS, *([NORM] if has_norm else []), *([LENGTH] if has_length else []))


def identity_public(identity: bytes) -> bytes:
    """Return the public key of a site's key for a run."""
    return Ed25519PrivateKey.from_private_bytes(identity).public_key().public_bytes_raw()


def sign(identity: bytes, statement: Statement) -> bytes:
    """Return the signature; of the same statement the same."""
    return Ed25519PrivateKey.from_private_bytes(identity).sign(statement.to_bytes())


def check_signature(public: bytes, statement: Statement, signature: bytes) -> None:
    """Raise `RunError` unless the owner of a key has signed the statement."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, statement.to_bytes())
    except (InvalidSignature, ValueError) as err:
        raise RunError(
            "the site's signature is not one of its checks of these words in this round"
        ) from err


def sign_identity(node_key: bytes, run: str, site_id: str, public: bytes) -> bytes:
    """Return the signature of a kit's key under a site's key for a run.

    Args:
        node_key: the kit's, as OpenSSH writes it.
        run: the run.
        site_id: the site.
        public: its public key for the run.

    Raises:
        ArtefactError: it is no such key.
    """
    try:
        key = load_ssh_private_key(node_key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as err:
        raise ArtefactError(
            "The kit's node.key is damaged. Put it back, or renew the kit."
        ) from err
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ArtefactError("The kit's node.key is not of an elliptic curve. Renew the kit.")
    return key.sign(_identity_text(run, site_id, public), ec.ECDSA(hashes.SHA256()))


def check_identity(
    node_public: bytes, run: str, site_id: str, public: bytes, signature: bytes
) -> None:
    """Raise `RunError` unless a kit's key (PEM) has signed a site's key for a run."""
    key = load_pem_public_key(node_public)
    try:
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise RunError("the site's kit has a key that does not sign")
        key.verify(signature, _identity_text(run, site_id, public), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as err:
        raise RunError("the site's key for this run is not signed by the key of its kit") from err


def _identity_text(run: str, site_id: str, public: bytes) -> bytes:
    return context_of("identity", run, site_id, public.hex())
