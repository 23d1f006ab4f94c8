"""One builder of a cache at a time; the others wait and see how far it is.

The lock is an exclusive `flock` on a file beside the folder that is built, so it ends with its
holder, however that ends. The holder writes its progress into the file. It is removed under the
lock: who gets the lock of a removed file tries again.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fedcxr.errors import ArtefactError
from fedcxr.locks import take_lock

POLL_S = 0.2
PATIENCE_S = 600.0
"""How long a builder may stand still before those that wait for it give up."""
_LINE_BYTES = 96
"""Of the file's only line, padded: an overwritten one leaves no rest."""


class BuildLock:
    """The lock, held."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def publish(self, phase: str, done: int, total: int) -> None:
        """Tell those who wait how far it is."""
        line = f"{os.getpid()} {phase} {done} {total}".ljust(_LINE_BYTES)
        os.pwrite(self._handle, line.encode(), 0)


@contextmanager
def build_lock(
    path: Path, *, is_built: Callable[[], bool], waiting: Callable[[str, int, int], None]
) -> Iterator[BuildLock | None]:
    """Hold the lock at `path`, or yield None if another builder finished meanwhile.

    Args:
        path: the lock's file; made, and removed at the end.
        is_built: whether there is nothing to do any more.
        waiting: told the holder's phase, done and total.

    Raises:
        ArtefactError: the holder stood still for too long, or the disk knows no locks.
        OSError: the file cannot be made.
    """
    handle = _acquire(path, is_built, waiting)
    if handle is None:
        yield None
        return
    try:
        yield None if is_built() else BuildLock(handle)  # it may have come just before the lock
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _acquire(
    path: Path, is_built: Callable[[], bool], waiting: Callable[[str, int, int], None]
) -> int | None:
    last, since = "", time.monotonic()
    while not is_built():
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if _try(handle, path):
                return handle
            seen = os.pread(handle, _LINE_BYTES, 0).decode(errors="replace").strip()
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        if seen != last:
            last, since = seen, time.monotonic()
            _show(seen, waiting)
        elif time.monotonic() - since > PATIENCE_S:
            raise ArtefactError(
                f"{path}: the process that holds it ({seen.partition(' ')[0] or 'unknown'}) "
                f"builds this cache and has not got on for {PATIENCE_S:g} s. End it and start "
                f"again: what it decoded is kept."
            )
        time.sleep(POLL_S)
    return None


def _try(handle: int, path: Path) -> bool:
    """Return whether the lock was free and the file is still the one at `path`."""
    if not take_lock(handle, path):
        return False
    ours = os.fstat(handle)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def _show(line: str, waiting: Callable[[str, int, int], None]) -> None:
    words = line.split()
    if len(words) == 4 and words[2].isdigit() and words[3].isdigit():
        waiting(words[1], int(words[2]), int(words[3]))
