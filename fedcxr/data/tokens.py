"""Tokens: what stands for a patient, a study or an image in anything that a run writes.

A plain hash of 65,000 enumerable patient numbers hides nobody, so a token is a keyed one, and the
key stays outside every run folder. The same key gives the same tokens: keep it to compare runs or
to reuse a partition; delete it and no token leads back to a patient.
"""

import hmac
import logging
import os
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from fedcxr.errors import ConfigError
from fedcxr.home import expanded, home_folder
from fedcxr.storage import mend

KEY_BYTES = 32
TOKEN_HEX = 16
"""64 bits: among CheXpert's 223,648 images two meet with probability 1.4e-9."""

SYNTHETIC_KEY = b"synthetic patients have no secret"[:KEY_BYTES]
"""A public key for made-up patients: with it the same seed gives the same run on any machine."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Turns identifiers of the source into tokens under one key."""

    key: bytes = field(repr=False)

    def patient(self, patient_id: str) -> str:
        """Return the token of a patient."""
        return self._token("patient", patient_id)

    def study(self, study_id: str) -> str:
        """Return the token of a study."""
        return self._token("study", study_id)

    def image(self, path: str) -> str:
        """Return the token of the image at `path`, relative to the data set's root."""
        return self._token("image", path)

    def content(self, digest: str) -> str:
        """Return the token of what an image file holds, from a digest of its bytes."""
        return self._token("content", digest)

    def compared(self, patient_id: str) -> str:
        """Return the token by which sites find patients that they share (`partitions/overlap.py`).

        Another one than `patient`, so that a key used for both links no table with the comparison.
        """
        return self._token("compared", patient_id)

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that tell keys apart and say nothing else of them."""
        return self._token("fingerprint", "")[:8]

    def _token(self, kind: str, text: str) -> str:
        message = f"{kind}\0{text}".encode(
            "utf-8", "surrogateescape"
        )  # file names may be any bytes
        return hmac.digest(self.key, message, "sha256").hex()[:TOKEN_HEX]


def load_key(path: Path | None = None, *, make: bool = True) -> bytes:
    """Return the 32 bytes of the patient key, made at the first call.

    Args:
        path: the key file; none = `FEDCXR_PATIENT_KEY`, or `patient.key` in the home folder.
        make: whether to make a key where there is none.

    Raises:
        ConfigError: the file cannot be read or made, or does not hold 32 bytes.
    """
    named = os.environ.get("FEDCXR_PATIENT_KEY")
    key_path = path or (expanded(named) if named else home_folder() / "patient.key")
    try:
        if make and not key_path.exists():
            _make_key(key_path)
        key = key_path.read_bytes()
        is_open = bool(key_path.stat().st_mode & 0o077)
    except OSError as err:
        raise ConfigError(
            f"{key_path}: the patient key cannot be read or made ({err.strerror}). "
            f"{mend(key_path, err)} Or set FEDCXR_PATIENT_KEY to a file of your own."
        ) from err
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"{key_path}: the patient key has {len(key)} bytes, not {KEY_BYTES}. Restore the file, "
            f"or delete it to get a new key (tokens of earlier runs will not match)."
        )
    if is_open:
        _log.warning("%s: others can read the patient key; run `chmod 600` on it.", key_path)
    return key


def _make_key(key_path: Path) -> None:
    """Write a new key, whole or not at all; if two do it at once, the first one's stays."""
    key_path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".patient-key-", dir=key_path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(name, key_path)
    except FileExistsError:
        pass
    finally:
        os.unlink(name)
