"""Which file an image's name means: one file, never one of two.

A name that fits two files is refused, whichever would have been found first: masks often have the
names of their radiographs. A name that fits none may have another ending on disk, and whoever tells
of the missing file tells of that one too.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from fedcxr.data.paths import Fence
from fedcxr.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".dcm", ".dicom")
"""Endings of the files that we decode; content decides, not the ending."""

_LOOKED_UP = 10
"""Files for which other endings are tried."""


def only_paths(root: Path, candidates: Iterable[Sequence[str]]) -> list[str]:
    """Return the first path of each group once the others are seen to be the same file.

    Args:
        root: what the paths are relative to.
        candidates: for each image the paths that could be meant, at least one.

    Raises:
        DataError: two of a group are two files.
    """
    groups = list(candidates)
    two = [
        (group[0], other)
        for group in groups
        for other in group[1:]
        if not _is_same(root / group[0], root / other)
    ]
    if two:
        first, other = two[0]
        raise DataError(
            f"{root}: {len(two)} image{'s are' if len(two) > 1 else ' is'} there twice, and which "
            f"file is meant cannot be told: the first is {first} or {other}. Move the files that "
            f"are not meant out of the data folder."
        )
    return [group[0] for group in groups]


def ending_hint(paths: Sequence[str], fence: Fence) -> str:
    """Return a sentence that names a file which differs from a missing one by its ending alone.

    Args:
        paths: of images that cannot be read; the first few are looked up.
        fence: of the data set's folders.

    Returns:
        The sentence with a blank before it, or nothing.
    """
    for path in paths[:_LOOKED_UP]:
        stem, _ = os.path.splitext(path)
        if fence.stat(path) is not None:
            continue
        for suffix in (*SUFFIXES, *map(str.upper, SUFFIXES)):
            if fence.stat(stem + suffix) is not None:
                return (
                    f" In place of {path} there is {stem + suffix}: correct the endings in the "
                    f"table, or those of the files."
                )
    return ""


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
