"""A secret in a file that only its owner reads, made when it is first asked for."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedcxr.atomic import write_bytes_atomically
from fedcxr.errors import ArtefactError
from fedcxr.privacy.secret_noise import SECRET_BYTES, new_secret

SECRET_FILE = "noise.secret"


def secret_in(folder: Path, *, must_be_there: bool = False) -> bytes:
    """Return the secret of a folder.

    Args:
        folder: made if it is not there.
        must_be_there: whether what was noised with it goes on, so that a new one is no answer.

    Raises:
        ArtefactError: it is damaged, or gone.
    """
    file = folder / SECRET_FILE
    if not file.is_file() and not must_be_there:
        with held(folder):
            if not file.is_file():
                write_bytes_atomically(file, new_secret(), mode=0o600)
    if not file.is_file():
        raise ArtefactError(
            f"{file}: gone, and the noise of this run comes from it. Put it back (it lies where "
            "the run was begun), or start the run anew."
        )
    secret = file.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise ArtefactError(
            f"{file}: {len(secret)} bytes, expected {SECRET_BYTES}: damaged. Put it back, or start "
            "the run anew."
        )
    return secret


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which others hold for milliseconds."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
