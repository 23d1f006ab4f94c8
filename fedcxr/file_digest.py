"""Digests of files, for what must be the same code or data on both sides."""

import hashlib
from pathlib import Path


def digest_files(paths: list[Path], root: Path) -> str:
    """Return the sha256 over the names (relative to `root`) and contents of `paths`, in order."""
    sha = hashlib.sha256()
    for path in paths:
        sha.update(path.relative_to(root).as_posix().encode() + b"\0")
        sha.update(hashlib.sha256(path.read_bytes()).digest())
    return sha.hexdigest()
