"""The split that a table's name says: `train-small.csv`, `nih_test.csv`, `myValid2.csv`."""

import re
from collections.abc import Iterable
from pathlib import Path

from fedcxr.errors import DataError

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_VAL = frozenset({"val", "valset", "dev", "devset", "development"})
"""And what begins with `valid`."""
_ORDER = ({"train"}, {"val"}, {"test"})


def splits_in_name(name: str) -> frozenset[str]:
    """Return the splits among the words of a file's name; one that says train and val is train's.

    Words end where the letters do, or where a small letter is followed by a capital.

    >>> [*splits_in_name("nih_test-small.csv")], [*splits_in_name("trainVal.csv")]
    (['test'], ['train'])
    >>> [*splits_in_name("latest.csv")], sorted(splits_in_name("train_test.csv"))
    ([], ['test', 'train'])
    """
    found = {split for word in _WORD.findall(Path(name).stem) if (split := _split(word.lower()))}
    return frozenset({"train"} if found == {"train", "val"} else found)


def split_order(names: Iterable[str]) -> list[str]:
    """Return the names of splits or of their files as people list them: train, val, test, others.

    >>> split_order(["test", "other", "valid", "train"])
    ['train', 'valid', 'test', 'other']
    """

    def place(name: str) -> tuple[int, str]:
        found = splits_in_name(name)
        return (_ORDER.index(found) if found in _ORDER else len(_ORDER), name)

    return sorted(names, key=place)


def split_of(csv_path: Path) -> str:
    """Return the split that a file's name says, or nothing.

    Raises:
        DataError: the name says two that exclude one another.
    """
    found = splits_in_name(csv_path.name)
    if len(found) > 1:
        raise DataError(
            f"{csv_path}: its name says {' and '.join(sorted(found))}. Rename it so that it says "
            f"one split, or move it to another folder."
        )
    return next(iter(found), "")


def _split(word: str) -> str:
    if word.startswith("valid") or word in _VAL:
        return "val"
    return next((split for split in ("train", "test") if word.startswith(split)), "")
