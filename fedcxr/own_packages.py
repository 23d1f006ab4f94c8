"""Our packages under the common names `clients`, `server`, `partitions` and `configs`.

A user's script may lie beside files of the same names: every Flower tutorial has a `server.py`.
Whoever imports fedcxr gets fedcxr's packages under these names, wherever Python would look first,
and is told which file that leaves out. And no process that we start looks for modules in the
working folder or beside the user's script: a `random.py` there would be run in each of them.
"""

import os
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from fedcxr.errors import ConfigError

NAMES = ("clients", "server", "partitions", "configs")
ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds all our packages."""


class _OwnPackages:
    """Finds our packages in `ROOT`, before Python's own search.

    Not an `importlib.abc.MetaPathFinder`: to import that imports half of the standard library, by
    the search path that is still to be set right.
    """

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return our package of that name; None for every other."""
        if fullname not in NAMES:
            return None
        other = PathFinder.find_spec(fullname)
        if other is not None and other.origin and not _is_ours(other.origin):
            warnings.warn(
                f"{other.origin} is not imported: fedcxr has a package {fullname!r} of its own. "
                "Give your file another name to import it beside fedcxr.",
                stacklevel=2,
            )
        return PathFinder.find_spec(fullname, [str(ROOT)])


def claim_names() -> None:
    """Have our names lead to our packages from now on.

    Raises:
        ConfigError: one of them was imported from elsewhere before.
    """
    for name in NAMES:
        there = getattr(sys.modules.get(name), "__file__", None)
        if there and not _is_ours(there):
            raise ConfigError(
                f"{there} was imported as {name!r}, the name of one of fedcxr's own packages. "
                "Import fedcxr before it, or give the file another name."
            )
    if not any(isinstance(finder, _OwnPackages) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OwnPackages())


def own_search_path() -> list[str]:
    """Return where a process of ours looks for modules: our root, then this process's path.

    Without the working folder and the folder of the user's script.
    """
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    not_searched = {os.path.realpath("."), str(ROOT)}
    if script:
        not_searched.add(os.path.dirname(os.path.realpath(script)))
    kept = (
        os.path.abspath(place)
        for place in sys.path
        if place and os.path.realpath(place) not in not_searched
    )
    return [str(ROOT), *dict.fromkeys(kept)]


def _is_ours(file: str) -> bool:
    return ROOT in Path(file).resolve().parents
