"""Which column of a table names the image files, and where they lie."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fedcxr.data.image_files import SUFFIXES
from fedcxr.data.readers.tables import CsvTable
from fedcxr.errors import DataError, some


@dataclass(frozen=True, slots=True)
class ImageColumn:
    """A column of image names."""

    column: str
    folder: str
    """That the cells are relative to, POSIX, relative to the data folder."""
    suffix: str
    found: int
    """Rows whose file is there."""
    also_in: tuple[str, ...]
    """Other folders that have files of some of these names."""


def image_paths(root: Path) -> list[str]:
    """Return the image files below a folder, POSIX and relative, in order; links are not followed.

    Raises:
        DataError: there is none.
    """
    found = sorted(_walk(root))
    if not found:
        raise DataError(
            f"{root}: no image file is below it ({', '.join(SUFFIXES)}). Name the folder that has "
            f"the table and the images."
        )
    return found


def find_image_column(
    root: Path, table: CsvTable, paths: Sequence[str], folder: str | None
) -> ImageColumn | None:
    """Return the column whose cells name most of the files; none if no column names any.

    Args:
        root: the data folder, for messages.
        table: the table.
        paths: of the image files.
        folder: where the images are, if the user says so.

    Raises:
        DataError: two folders have a file for every name, so that either may be meant.
    """
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        name = PurePosixPath(path).name
        by_name[name].append(path)
        by_name[name.rpartition(".")[0]].append(path)
    columns = [_as_column(name, cells, by_name, folder) for name, cells in table.columns.items()]
    best = max(columns, key=lambda one: one[0].found if one else 0, default=None)
    if best is None:
        return None
    found, twins = best
    if twins:
        places = [f"{place or '.'}/" for place in (found.folder, *twins)]
        raise DataError(
            f"{root}: column {found.column!r} of {table.csv_path.name} names files that are in "
            f"{some(places)}, and which are meant cannot be told. Say it with --images, as in "
            f"--images {found.folder or '.'}, or move the others out of the data folder."
        )
    return found


def _as_column(
    column: str, cells: Sequence[str], by_name: Mapping[str, Sequence[str]], asked: str | None
) -> tuple[ImageColumn, list[str]] | None:
    """Return a column as one of image names, and the folders that fit just as well."""
    places: Counter[tuple[str, str]] = Counter()
    for cell in cells:
        name = cell.strip().removeprefix("./")
        if not name:
            continue
        # one file is one vote for each place, whether or not the name has an ending
        fitting = {place for path in by_name.get(_last(name), ()) for place in _at(path, name)}
        places.update(place for place in fitting if asked is None or place[0] == asked)
    if not places:
        return None
    by_rank = sorted(places.items(), key=lambda item: (-item[1], item[0]))
    ((folder, suffix), count), *others = by_rank
    twins = [place for (place, _), number in others if number == count and place != folder]
    also = [place for (place, _), number in others if number < count and place != folder]
    return ImageColumn(column, folder, suffix, count, tuple(also)), twins


def _at(path: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield the folder and the suffix with which a cell is a path."""
    stem, dot, ending = path.rpartition(".")
    for whole, suffix in ((path, ""), (stem, f"{dot}{ending}")):
        if whole == name or whole.endswith(f"/{name}"):
            yield whole[: -len(name)].rstrip("/"), suffix


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _walk(root: Path) -> Iterator[str]:
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(place).relative_to(root).as_posix()
        start = "" if inside == "." else f"{inside}/"
        yield from (start + name for name in names if name.lower().endswith(SUFFIXES))
