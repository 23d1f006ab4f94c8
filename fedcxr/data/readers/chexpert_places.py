"""Where CheXpert's images lie on disk: they seldom lie where the tables say.

A path in a table reads `CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg`, whatever the
folder is called, and in the download from Stanford AIMI the patients lie in several folders
`CheXpert-v1.0 batch 2 (train 1)/` without any `train/`. So only the end of a path is taken, and
the folders that hold patients are listed once: no file is looked up.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from fedcxr.data.image_files import only_paths
from fedcxr.data.paths import check_relative
from fedcxr.data.readers.tables import CsvTable
from fedcxr.errors import DataError, some

_SPLIT = r"(?:(?:.*/)?(train|valid|val|test)/|(?:.*/)?)"
IMAGE_PATH = re.compile(_SPLIT + r"(patient[0-9]+)/(study[0-9]+)/([^/]*[^/\s])")
STUDY_PATH = re.compile(_SPLIT + r"(patient[0-9]+)/(study[0-9]+)()/?")
"""Both give the split's folder (or None), patient, study and image name."""

Parts = tuple[str, str, str, str]
"""Of a path: split, patient, study, image name (empty where a row is a study)."""

SPLIT_FOLDERS = {
    "train": ("train",),
    "valid": ("valid", "val"),
    "val": ("val", "valid"),
    "test": ("test",),
}
"""By the split that a path names, the folders that its images may lie in."""
BATCH = re.compile(r"CheXpert.*[ _-]batch[ _-]?\d+", re.IGNORECASE)
"""The name of a folder of the AIMI download, `CheXpert-v1.0 batch 2 (train 1)`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the patients of one split lie, relative to the root."""

    root: Path
    found: bool
    """Whether there is any such folder on disk."""
    folders: Sequence[str]
    """Of every patient that `by_patient` does not name; two where there are valid/ and val/."""
    by_patient: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The folders that hold the patient: one, or several that share out the studies."""

    def candidates(self, *end: str) -> list[str]:
        """Return the paths that patient, study and name may mean: all that exist, or the first."""
        tail = "/".join(filter(None, end))
        folders = self.by_patient.get(end[0], self.folders)
        paths = [f"{folder}/{tail}" if folder else tail for folder in folders]
        if len(paths) == 1:
            return paths
        return [path for path in paths if (self.root / path).exists()] or paths[:1]


def find_place(root: Path, split: str, csv_prefix: str = "") -> Place:
    """Return where the patients lie whose table paths say `split`.

    Looked for in this order: `root/train`; `root/*/train`, the table being one folder above; and
    patient folders right in `root/*` or `root`, as in the AIMI batches. Several batches are one
    place; where nothing is found it is the one that the table names.

    Args:
        root: the data set's folder.
        split: `train`, `valid`, `val` or `test`, as a table spells it.
        csv_prefix: the first component of the table's paths, to choose between several trees.

    Raises:
        DataError: two trees that are no batches hold the split, or a folder cannot be listed.
    """
    names = SPLIT_FOLDERS[split]
    here = _with_split(root, [""], names)
    if here:
        return Place(root, True, here[0])
    bases = _bases(root)
    batches = [base for base in bases if BATCH.search(base)]
    trees = _with_split(root, [base for base in bases if base == csv_prefix], names)
    if not trees and not batches:
        trees = _with_split(root, bases, names)
    if len(trees) > 1:
        raise DataError(
            f"{root}: {split} images lie in {some([folders[0] for folders in trees])}. Name the "
            f"folder of one of them, with the table in it."
        )
    if trees:
        return Place(root, True, trees[0])
    bases = batches or [*bases, ""]
    inside = chain.from_iterable(_with_split(root, bases, names))
    return _pooled(root, split, [*inside, *bases])


def split_paths(
    table: CsvTable, column: str, pattern: re.Pattern[str], default: str, example: str
) -> list[Parts]:
    """Return what `pattern` takes out of each path.

    Args:
        table: the table.
        column: of the paths.
        pattern: `IMAGE_PATH` or `STUDY_PATH`.
        default: the split of paths that name none.
        example: a right path, for the message.

    Raises:
        DataError: a path leads out of its folder.
        RecordError: a path is of another shape.
    """
    cells = table.columns[column]
    check_relative(cells, table.csv_path, column)
    matches = [pattern.fullmatch(cell) for cell in cells]
    table.refuse([i for i, match in enumerate(matches) if match is None], column, f"like {example}")
    return [(m[1] or default, m[2], m[3], m[4]) for m in matches if m is not None]


def find_places(
    root: Path, table: CsvTable, column: str, parts: Sequence[Parts]
) -> dict[str, Place]:
    """Return, by split, where the patients of a table lie."""
    prefix = table.columns[column][0].partition("/")[0] if parts else ""
    return {split: find_place(root, split, prefix) for split in sorted({p[0] for p in parts})}


def place_images(places: Mapping[str, Place], parts: Sequence[Parts]) -> list[str]:
    """Return the path of each image, POSIX, relative to the root.

    Raises:
        DataError: an image is in two of the folders that it could lie in.
    """
    simple = {
        split: place.folders[0]
        for split, place in places.items()
        if not place.by_patient and len(place.folders) == 1
    }
    if len(simple) == len(places):  # a third of a second less for CheXpert's train.csv
        return [f"{simple[split]}/{p}/{study}/{name}" for split, p, study, name in parts]
    root = next(iter(places.values())).root
    return only_paths(root, (places[split].candidates(*end) for split, *end in parts))


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted.

    Raises:
        DataError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError as err:
        raise DataError(f"{folder}: cannot be listed ({err.strerror}). Mend its rights.") from err


def _with_split(root: Path, bases: Iterable[str], names: Sequence[str]) -> list[list[str]]:
    """Return, of each base that has any, the folders of the split."""
    found = ([f"{base}/{name}".lstrip("/") for name in names] for base in bases)
    there = ([place for place in places if (root / place).is_dir()] for places in found)
    return [places for places in there if places]


def _pooled(root: Path, split: str, holders: Iterable[str]) -> Place:
    """Return the place made of all folders that hold patients."""
    by_patient: dict[str, list[str]] = {}
    for holder in holders:
        for name in subfolders(root / holder):
            if name.startswith("patient"):
                by_patient.setdefault(name, []).append(holder)
    return Place(root, bool(by_patient), [split], by_patient)


def _bases(root: Path) -> list[str]:
    """Return the folders that a tree may lie in; an unpacked batch is often in its own twice."""
    return [
        f"{name}/{name}" if (root / name / name).is_dir() else name
        for name in subfolders(root)
        if name not in SPLIT_FOLDERS and not name.startswith((".", "patient"))
    ]
