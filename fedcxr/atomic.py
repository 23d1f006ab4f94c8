"""Files that are there whole or not at all, and logs that grow by whole lines.

A whole file is a temporary one, an fsync and a rename. A line that a full disk takes half of is
taken back.
"""

import os
import tempfile
from pathlib import Path

from fedcxr.filenames import readable
from fedcxr.storage import writing

_UNFINISHED = ".writing-"


def write_bytes_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write `data` to `path`, making its folder; after a crash the old or the new file is there.

    Raises:
        StorageError: the disk is full or the folder cannot be written; nothing half-written is
            left.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not named after `path`: its name may be as long as a name can be.
        handle, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=path.parent)
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
    """Write `text` as UTF-8, as `write_bytes_atomically` does.

    What of a file name is no UTF-8 becomes a replacement character; JSON to be read back goes
    through `filenames.in_json` first.
    """
    write_bytes_atomically(path, readable(text).encode(), mode=mode)


def remove_unfinished(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder; nobody may be writing there."""
    for rest in folder.glob(f"{_UNFINISHED}*"):
        rest.unlink(missing_ok=True)


def append_line(path: Path, line: str, *, sync: bool) -> None:
    """Append a line to `path`, whole or not at all.

    Args:
        path: the log; it is made if it is not there.
        line: without its end.
        sync: have it on the disk before returning.

    Raises:
        StorageError: the disk is full or the file cannot be written; it is as it was before.
    """
    data = line.encode() + b"\n"
    with writing(path), path.open("ab", buffering=0) as file:
        before = os.fstat(file.fileno()).st_size
        written = 0
        try:
            while written < len(data):  # a disk that becomes full takes the first part
                written += file.write(data[written:])
            if sync:
                os.fsync(file.fileno())
        except OSError:
            if os.fstat(file.fileno()).st_size == before + written:  # nobody else has appended
                file.truncate(before)
            raise


def _sync_folder(folder: Path) -> None:
    """Flush the folder's entry, so that the rename itself survives a power cut."""
    if os.name != "posix":  # Windows cannot open a folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
