"""Exclusive locks on open files: `flock`, which ends with its holder, however that ends."""

import errno
import fcntl
import os
from pathlib import Path

from fedcxr.errors import ArtefactError
from fedcxr.home import is_in_home

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)


def take_lock(handle: int, path: Path) -> bool:
    """Return whether the lock of an open file was free and is now ours, until the file is closed.

    Args:
        handle: of the file.
        path: what is locked, for the message.

    Raises:
        ArtefactError: the disk knows no file locks (some network disks, without a lock service).
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as err:
        if err.errno not in _NO_LOCKS:
            raise
        another = "set FEDCXR_HOME" if is_in_home(path) else "for a run set --runs-dir"
        raise ArtefactError(
            f"{path}: this disk knows no file locks ({err.strerror}), and two processes could "
            f"write at once. Use another disk: {another}."
        ) from err
    return True


def is_locked(path: Path) -> bool:
    """Return whether another process holds the lock of the file at `path`.

    A lock that cannot be looked at counts as held; a file that is not there is not locked.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)  # NFS locks what is open to write
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return not take_lock(handle, path)
    except (ArtefactError, OSError):
        return True
    finally:
        os.close(handle)


def lock_holder(path: Path) -> int | None:
    """Return the process that took the lock of the file at `path`; None where nobody can be told.

    Linux says it in /proc/locks: kind, pid and MAJOR:MINOR:INODE, the first two in hex.
    """
    try:
        found = path.stat()
        lines = Path("/proc/locks").read_text("ascii").splitlines()
    except OSError:
        return None
    name = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for words in map(str.split, lines):
        if len(words) > 5 and words[1] == "FLOCK" and words[5] == name:
            return int(words[4])
    return None
