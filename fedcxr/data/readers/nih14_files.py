"""Where the images of ChestX-ray14 lie, and the official lists that split them."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from fedcxr.data.image_files import only_paths
from fedcxr.data.paths import check_relative
from fedcxr.data.readers.tables import CsvTable
from fedcxr.data.records import OfficialSet, Record
from fedcxr.errors import DataError, LeakError, RecordError

TRAIN_LIST = "train_val_list.txt"
TEST_LIST = "test_list.txt"
MAX_LIST_BYTES = 1 << 26
"""NIH's longer list has 1.5 MB."""

DEFAULT_FOLDER = "images"
_NUMBERED = re.compile(r"images_[0-9]+")
"""The twelve folders of the download, images_001 to images_012."""
_KAGGLE_FOLDERS = ("sample/sample/images", "sample/images")


def image_names(table: CsvTable, column: str) -> Sequence[str]:
    """Return the names of a table's image files.

    Raises:
        DataError: a name leads out of the folder.
        RecordError: a name has a folder before it, or a blank at an end.
    """
    names = table[column]
    check_relative(names, table.csv_path, column)
    bad = [i for i, name in enumerate(names) if "/" in name or name != name.strip()]
    table.refuse(bad, column, "a file's name without folders, such as 00000001_000.png")
    return names


def find_images(folder: Path, names: Iterable[str], others: Sequence[str] = ()) -> dict[str, str]:
    """Return the folder of each image that is there: images/, or images_001/images/ and so on.

    Args:
        folder: the data set's.
        names: of the image files that are looked for; no other file matters.
        others: more places to look in, after `images`.

    Raises:
        DataError: a folder cannot be listed, or a name is in two of them.
    """
    wanted, places = set(names), dict[str, list[str]]()
    try:
        numbered = sorted(p.name for p in folder.glob("images_*") if _NUMBERED.fullmatch(p.name))
        unpacked = [place for part in numbered for place in (f"{part}/images", part)]
        for place in (DEFAULT_FOLDER, "images/images", *others, *unpacked, *_KAGGLE_FOLDERS):
            if (folder / place).is_dir():
                for name in wanted.intersection(os.listdir(folder / place)):
                    places.setdefault(name, []).append(place)
    except OSError as err:
        raise DataError(f"{folder}: cannot be listed ({err.strerror}). Mend its rights.") from err
    paths = ([f"{p}/{name}".lstrip("/") for p in places[name]] for name in sorted(places))
    only_paths(folder, paths)
    return {name: found[0] for name, found in places.items()}


def with_official_splits(
    folder: Path, records: list[Record], notes: list[str]
) -> tuple[list[Record], tuple[OfficialSet, ...]]:
    """Return the records with their official split, and the official test set if there is one.

    Those in neither list are left out.

    Raises:
        LeakError: an image is in both lists.
        DataError: no image of the table is in the lists.
        RecordError: a list is not a text file.
    """
    train, test = _read_list(folder / TRAIN_LIST), _read_list(folder / TEST_LIST)
    if train is None and test is None:
        notes.append("There are no official lists.")
        return records, ()
    both = sorted((train or set()) & (test or set()))
    if both:
        raise LeakError(
            f"{folder}: {len(both)} images are in {TRAIN_LIST} and in {TEST_LIST}. "
            f"Fetch the lists again."
        )
    names = {record.path.rpartition("/")[2] for record in records}
    if names.isdisjoint((train or set()) | (test or set())):
        raise DataError(f"{folder}: no image of the table is in the official lists; remove them.")
    splits = [_split(record.path.rpartition("/")[2], train, test) for record in records]
    kept = [
        replace(record, split=split) for record, split in zip(records, splits, strict=True) if split
    ]
    if len(kept) < len(records):
        notes.append(f"{len(records) - len(kept)} images in neither official list are left out.")
    if "test" not in splits:
        notes.append("No image of the table is in the official test set.")
        return kept, ()
    if test is None:
        return kept, (OfficialSet("test", "nih-unlisted", (TRAIN_LIST,), records[0].source),)
    return kept, (OfficialSet("test", "nih-test-list", (TEST_LIST,), records[0].source),)


def _split(name: str, train: set[str] | None, test: set[str] | None) -> str:
    """Return the split of an image; where one list is missing it is the other's complement."""
    if test is not None and name in test:
        return "test"
    if train is not None:
        return "train" if name in train else ("test" if test is None else "")
    return "train"


def _read_list(path: Path) -> set[str] | None:
    """Return the image names of a list, without folders before them."""
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise RecordError(f"{path}: larger than 64 MiB; this is no list of images.")
        words = path.read_text(encoding="utf-8-sig").split()
        return {re.split(r"[/\\]", word)[-1] for word in words}
    except UnicodeDecodeError as err:
        raise RecordError(f"{path}: not UTF-8 text. Fetch it again.") from err
    except OSError as err:
        raise RecordError(f"{path}: cannot be read ({err.strerror}). Mend its rights.") from err
