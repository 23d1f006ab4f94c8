"""What a user brings, by `package.module:Name` or as an entry point: found, imported, told apart.

A name is imported in the process that needs it, wherever that is, so nothing has to be handed over.
A module that lies where our own processes do not look (beside the user's script, in the working
folder) is found by them in the folders of `FEDCXR_PLUGIN_PATH`, behind all others: a `random.py`
beside a plug-in takes no other module's place.
"""

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path

from fedcxr.errors import ConfigError, LimitError
from fedcxr.file_digest import digest_files
from fedcxr.own_packages import own_search_path

PLUGIN_PATH = "FEDCXR_PLUGIN_PATH"
"""Environment variable: folders in which plug-ins are looked for last, as in PATH."""

HERE = "__main__"
"""The module of a script or a notebook: in its own process only."""

_REFERENCE = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*)")
_allowed: frozenset[str] | None = None
"""The packages that may be imported here; none = all."""


def allow_only(packages: Iterable[str]) -> None:
    """Have this process import plug-ins of these packages only, from now on."""
    global _allowed
    _allowed = frozenset(packages)


def entries_of(group: str) -> dict[str, str]:
    """Return what installed packages offer under a group of entry points: references by name.

    Raises:
        ConfigError: two packages offer one name.
    """
    found: dict[str, str] = {}
    for name, reference in _entry_points(group):
        if found.setdefault(name, reference) != reference:
            raise ConfigError(
                f"{group}: both {found[name]} and {reference} are offered as {name!r}. Uninstall "
                "one of the two packages, or name the one you mean by package.module:Name."
            )
    return found


@lru_cache(maxsize=32)
def _entry_points(group: str) -> tuple[tuple[str, str], ...]:
    """Kept: to look takes milliseconds, and what is installed does not change under a process."""
    return tuple((entry.name, entry.value) for entry in entry_points(group=group))


def load(key: str, reference: str) -> object:
    """Return what `package.module:Name` names.

    Args:
        key: of the configuration, for messages.
        reference: the name.

    Raises:
        LimitError: the site's owner does not allow the package.
        ConfigError: it cannot be imported, or there is no such name in it.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ConfigError(f"{key} = {reference}: not of the form package.module:Name.")
    module, name = match["module"], match["name"]
    check_allowed(key, reference)
    if module == HERE:
        raise ConfigError(
            f"{key} = {reference}: a script or a notebook cell is in this process only, and "
            "workers, resume and evaluate cannot find it. Save it in a file, as mine.py beside "
            f"it, and name it mine:{name}."
        )
    _make_findable(module.partition(".")[0])
    try:
        found = importlib.import_module(module)
    except Exception as err:  # whatever a user's module raises when it is imported
        raise ConfigError(
            f"{key} = {reference}: {module} cannot be imported ({type(err).__name__}: {err}). "
            f"Install its package where fedcxr runs, or name its folder in {PLUGIN_PATH}."
        ) from err
    if not hasattr(found, name):
        raise ConfigError(f"{key} = {reference}: {module} has no {name!r}.")
    return getattr(found, name)


def check_allowed(key: str, reference: str) -> None:
    """Raise `LimitError` where the site's owner does not allow the package of a reference."""
    package = reference.partition(":")[0].partition(".")[0]
    if _allowed is not None and package not in _allowed:
        raise LimitError(
            f"kit.yaml, plugins: the run asks for {key} = {reference}, and {package} is not among "
            "them. Read its code, install it and add it there, if it may run here."
        )


def source_digest(reference: str) -> str:
    """Return the sha256 of the source files of the package that holds a reference's module.

    What a script or a notebook defined has none: no other process can have the same.

    Raises:
        ConfigError: it cannot be found.
    """
    package = reference.partition(":")[0].partition(".")[0]
    if package == HERE:
        return "of one process"
    _make_findable(package)
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ConfigError(f"{reference}: there is no package {package!r}.")
    folders = [Path(place) for place in spec.submodule_search_locations or ()]
    if not folders and spec.origin:
        return digest_files([Path(spec.origin)], Path(spec.origin).parent)
    digests = [digest_files(sorted(folder.rglob("*.py")), folder) for folder in folders]
    return digests[0] if len(digests) == 1 else ",".join(digests)


def _make_findable(package: str) -> None:
    """Look in `FEDCXR_PLUGIN_PATH` and the working folder too, and let our processes do so."""
    named = [place for place in os.environ.get(PLUGIN_PATH, "").split(os.pathsep) if place]
    sys.path += [place for place in named if place not in sys.path]
    if _folder_of(package) is None:
        sys.path.append(os.getcwd())
        importlib.invalidate_caches()
    folder = _folder_of(package)
    if folder is not None and folder not in {*named, *map(os.path.realpath, own_search_path())}:
        os.environ[PLUGIN_PATH] = os.pathsep.join([*named, folder])


def _folder_of(package: str) -> str | None:
    """Return the folder that a package or module lies in; None where it is not found."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # made by hand in this process, without a file
        return None
    if spec is None:
        return None
    places = spec.submodule_search_locations or [spec.origin or ""]
    return os.path.dirname(os.path.realpath(next(iter(places))))
