"""Files that are there whole or not at all: a temporary file, fsync, rename.

Not for logs that grow by a line: those are appended to.
"""

import os
import tempfile
from pathlib import Path


def write_bytes_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write `data` to `path`, making its folder; after a crash the old or the new file is there.

    Raises:
        OSError: the disk is full or the folder cannot be written; nothing half-written is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_text_atomically(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write `text` as UTF-8, as `write_bytes_atomically` does."""
    write_bytes_atomically(path, text.encode(), mode=mode)


def _sync_folder(folder: Path) -> None:
    """Flush the folder's entry, so that the rename itself survives a power cut."""
    if os.name != "posix":  # Windows cannot open a folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
