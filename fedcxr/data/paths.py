"""The fence around a data root: a table may name only files inside it.

A path in a CSV file is foreign text. `check_relative` judges the text alone and costs nothing;
`Fence` looks at the disk, where a symbolic link can still lead out. Data sets of hundreds of
gigabytes are linked and not copied, so a user may say that links are followed.
"""

import errno
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fedcxr.errors import DataError, some

_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


def check_relative(paths: Sequence[str], csv_path: Path, column: str) -> None:
    """Raise DataError if a path is empty, absolute, or climbs out of its folder.

    Args:
        paths: as the table spells them, in its order.
        csv_path: the table, for the message.
        column: the column, for the message.
    """
    bad = [position for position, path in enumerate(paths) if not _is_relative(path)]
    if bad:
        rows = some([str(position + 2) for position in bad])
        raise DataError(
            f"{csv_path}: {len(bad)} path{'s' * (len(bad) > 1)} in column {column!r} (row {rows}) "
            f"would leave the data folder: the first is {paths[bad[0]][:80]!r}. Paths must be "
            f"relative, with '/' between folders and no '..'."
        )


@dataclass(frozen=True, slots=True)
class Roots(Mapping[str, Path]):
    """The folders of a data set, and whether links may lead out of them.

    A mapping, so that it goes wherever plain folders go.
    """

    folders: Mapping[str, Path]
    """By the first component of the record paths; one alone has no name."""
    follow_links: bool = False

    def __getitem__(self, name: str) -> Path:
        return self.folders[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.folders)

    def __len__(self) -> int:
        return len(self.folders)


class Fence:
    """Looks up files under one root, or under several, and refuses those that lie elsewhere."""

    def __init__(self, root: Path | Mapping[str, Path]) -> None:
        """Fence a root, or several, each named by the first component of the paths into it.

        Links out of it are refused, unless `Roots` say that they are followed.
        """
        roots = root if isinstance(root, Roots) else None
        folders = {"": root} if isinstance(root, Path) else root
        self._fenced = {name: _FencedRoot(folder, roots) for name, folder in folders.items()}

    def file(self, path: str) -> Path:
        """Return where the path leads; judge it with `stat` before opening it."""
        fenced, rest = self._of(path)
        return fenced.file(rest)

    def stat(self, path: str) -> os.stat_result | None:
        """Return the file's stat, or None if no regular file is there.

        Args:
            path: POSIX, relative to the root.

        Raises:
            DataError: the path leads out of the root.
        """
        fenced, rest = self._of(path)
        return fenced.stat(rest)

    def _of(self, path: str) -> tuple["_FencedRoot", str]:
        if "" in self._fenced:
            return self._fenced[""], path
        name, _, rest = path.partition("/")
        if name not in self._fenced:
            raise DataError(f"{path}: names none of the data sets {some(sorted(self._fenced))}.")
        return self._fenced[name], rest


class _FencedRoot:
    """One root. One `lstat` a file and one a folder: no path is resolved for itself."""

    def __init__(self, root: Path, roots: Roots | None) -> None:
        self._root = os.path.realpath(root)
        self._roots = roots
        self._follows_links = roots is not None and roots.follow_links
        self._safe_folders: dict[str, bool] = {"": True}

    def file(self, path: str) -> Path:
        return Path(self._root, path)

    def stat(self, path: str) -> os.stat_result | None:
        full = os.path.join(self._root, path)
        if not _is_relative(path):
            raise DataError(
                f"{path}: leads out of the data folder {self._root} (by '..' or an absolute path). "
                f"Name the file by its path in the data folder."
            )
        if not self._follows_links and not self._is_safe(path.rpartition("/")[0]):
            raise self._link_error(path)
        try:
            found = os.lstat(full)
            if stat.S_ISLNK(found.st_mode):
                if not self._follows_links and not self._holds(full):
                    raise self._link_error(path)
                found = os.stat(full)
        except OSError as err:
            if err.errno in _NO_FILE:
                return None
            raise
        return found if stat.S_ISREG(found.st_mode) else None

    def _is_safe(self, folder: str) -> bool:
        known = self._safe_folders.get(folder)
        if known is None:
            full = os.path.join(self._root, folder)
            known = self._is_safe(folder.rpartition("/")[0]) and (
                not os.path.islink(full) or self._holds(full)
            )
            self._safe_folders[folder] = known
        return known

    def _holds(self, full: str) -> bool:
        return os.path.realpath(full).startswith(self._root.rstrip("/") + "/")

    def _link_error(self, path: str) -> DataError:
        mend = "Copy the file into the data folder"
        if self._roots is not None:
            mend = (
                "Let such links be followed (data.follow_links, --follow-links), or copy the file"
            )
        return DataError(
            f"{path}: leads out of the data folder {self._root} by a symbolic link. {mend}."
        )


def _is_relative(path: str) -> bool:
    if not path or path[0] in "/~" or "\\" in path or "\0" in path or path[1:2] == ":":
        return False
    return ".." not in PurePosixPath(path).parts if ".." in path else True
