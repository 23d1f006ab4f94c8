"""Where fedcxr keeps what outlives a run: caches, synthetic data, probes, the patient key.

Not under `~/.cache`, which people empty: without the patient key no partition can be used again.
"""

import hashlib
import os
from pathlib import Path

from fedcxr.errors import ConfigError


def home_folder() -> Path:
    """Return the folder of `FEDCXR_HOME`, or `~/.fedcxr`; it may not exist yet.

    Raises:
        ConfigError: neither `FEDCXR_HOME` nor the user's home directory is known.
    """
    return expanded(os.environ.get("FEDCXR_HOME") or "~/.fedcxr")


def site_state(run_path: Path) -> Path:
    """Return where a run's simulated sites keep what shows pixels: not in the server's run folder.

    A run folder is passed on and shown; a patient's image must not go with it.
    """
    return _beside_run("site-state", run_path)


def server_state(run_path: Path) -> Path:
    """Return where a run's server keeps its secret, which must not be passed on with the run."""
    return _beside_run("server-state", run_path)


def _beside_run(kind: str, run_path: Path) -> Path:
    place = hashlib.sha256(os.fsencode(run_path.absolute())).hexdigest()[:16]
    return home_folder() / kind / f"{run_path.name}-{place}"


def is_in_home(path: Path) -> bool:
    """Return whether a path leads into the home folder, or is it."""
    try:
        return path.absolute().is_relative_to(home_folder().absolute())
    except ConfigError:
        return False


def expanded(path: str | Path) -> Path:
    """Return the path with `~` or `~user` at its beginning as that user's home directory.

    A shell does this only where the `~` begins a word and is not quoted.

    Raises:
        ConfigError: whose home directory that is cannot be told.
    """
    text = os.fspath(path)
    if not text.startswith("~"):
        return Path(text)
    user = text.partition("/")[0]
    if user == "~" and os.environ.get("HOME") == "":
        raise _homeless(text)  # Python would take the root of the disk
    found = os.path.expanduser(text)
    if not found.startswith("~"):
        return Path(found)
    if user == "~":
        raise _homeless(text)
    raise ConfigError(
        f"{text}: there is no user {user[1:]!r}. Write the path out, or begin it with './' where "
        f"a file has that name."
    )


def _homeless(path: str) -> ConfigError:
    return ConfigError(
        f"{path}: the home directory is not known: HOME is not set, and the system does not know "
        f"user {os.getuid()}. Set HOME, or FEDCXR_HOME to the folder where fedcxr keeps its files."
    )
