"""What a disk refuses to write, told with the path and what to do about it.

Whatever writes files goes through `writing`, or words its own error with `mend`.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedcxr.errors import StorageError
from fedcxr.home import home_folder, is_in_home

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_TOO_LONG = (errno.ENAMETOOLONG,)
_BROKEN = (errno.EIO, errno.EFBIG)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Do inside what writes to `path`.

    Raises:
        StorageError: the disk is full, a quota is used up, the folder is read-only or may not be
            written, the name is too long or the disk fails. Other errors stay as they are.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as err:
        if err.errno not in (*_FULL, *_FORBIDDEN, *_TOO_LONG, *_BROKEN):
            raise
        raise refused(path, err) from err


def refused(path: Path, err: OSError) -> StorageError:
    """Return the error that says that `path` cannot be written, why, and how to mend it."""
    told = StorageError(f"{path}: cannot be written ({err.strerror}). {mend(path, err)}")
    told.errno, told.strerror, told.filename = err.errno, err.strerror, str(path)
    return told


def is_full(err: OSError) -> bool:
    """Return whether there is no room left, on the disk or for this user."""
    return err.errno in _FULL


def mend(path: Path, err: OSError) -> str:
    """Return what to do when `path` cannot be written, as a sentence."""
    if err.errno in _TOO_LONG:
        return "Choose a shorter name."
    if is_in_home(path):
        there = f"fedcxr's home folder is {home_folder()}"
        if is_full(err):
            return f"{there}: make room (see `fedcxr clean`), or set FEDCXR_HOME to another disk."
        return f"{there}: set FEDCXR_HOME to a folder that can be written."
    if is_full(err):
        return "Make room, or name a folder on another disk."
    return "Name a folder that can be written."
