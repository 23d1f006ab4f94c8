"""What in the home folder no run needs any more, and its removal.

Only what is known for what it is counts: the patient key, synthetic data, probes and anything that
fedcxr did not put there are never among it. What a process works with is left alone, and no
symbolic link is followed out of the home folder.
"""

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

from fedcxr.data.cache.writer import FORMAT as CACHE_FORMAT
from fedcxr.data.cache.writer import HEAD
from fedcxr.data.images.decode import DECODER
from fedcxr.home import home_folder, site_state
from fedcxr.locks import is_locked, take_lock
from fedcxr.runs.folder import LOCK_FILE
from fedcxr.runs.known_runs import KnownRun, known_runs
from partitions.plan_folder import FORMAT as PLAN_FORMAT
from partitions.plan_folder import PLAN_JSON

SHELVES = ("cache", "partitions", "site-state", "logs")
"""Folders of the home folder that are looked into."""
OLDER_THAN_DAYS = 30.0

_DAY_S = 86400.0
_CACHE = re.compile(r"[0-9a-f]{32}")
_BUILDING = ".building-"
_ASIDE = (".damaged-", ".removed-")
"""What a removal that did not end has left: the cache writer's, and ours."""


class Reason(Enum):
    """Why something is not needed."""

    RUNS_GONE = "runs gone"
    NO_RUN = "no run known"
    OTHER_VERSION = "other version"
    UNFINISHED = "unfinished"
    ASIDE = "put aside"
    RUN_FINISHED = "run finished"


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file or folder that is not needed."""

    path: Path
    reason: Reason
    bytes: int
    """What it takes of the disk."""
    days: float
    """Since it was last changed."""


@dataclass(frozen=True)
class _Run:
    """A known run as it is now."""

    known: KnownRun

    @cached_property
    def is_gone(self) -> bool:
        try:
            return not self.known.path.exists()
        except OSError:
            return False  # nobody can say

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return _read(self.known.path / "manifest.json")

    @cached_property
    def is_running(self) -> bool:
        status = self.manifest.get("status")  # a killed run says so too, but holds no lock
        return status == "running" and is_locked(self.known.path / LOCK_FILE)

    def uses(self, cache: str) -> bool:
        """Return whether it was begun with the cache, or goes on with it."""
        return cache in (self.known.cache_digest, self.manifest.get("cache_digest"))


def find_leftovers(older_than_days: float = OLDER_THAN_DAYS) -> list[Leftover]:
    """Return what in the home folder and in finished runs is not needed, by path.

    Args:
        older_than_days: how long ago a cache that no known run uses was made.
    """
    home = home_folder()
    runs = [_Run(known) for known in dict.fromkeys(known_runs())]
    now = time.time()
    found = [
        (path, reason)
        for shelf in SHELVES
        for path in _inside(home / shelf)
        if (reason := _judge(path, runs, now, older_than_days)) is not None
    ]
    for folder in {run.known.path: run for run in runs if _is_settled(run)}:
        if os.path.lexists(folder / "site-state"):
            found.append((folder / "site-state", Reason.RUN_FINISHED))
    return [
        Leftover(path, reason, disk_bytes(path), _age_s(path, now) / _DAY_S)
        for path, reason in sorted(found, key=lambda one: one[0])
    ]


def linked_shelves() -> list[Path]:
    """Return the folders of the home folder that are links, and so are not looked into."""
    return [path for shelf in SHELVES if (path := home_folder() / shelf).is_symlink()]


def remove(leftover: Leftover) -> bool:
    """Remove it, and return whether that was done: not if a process has come to work with it.

    Raises:
        OSError: it cannot be removed, or not all of it.
    """
    path = leftover.path
    if path.parent.name != "cache" or leftover.reason is Reason.ASIDE:
        _remove(path)
        return True
    with _builders_lock(path) as is_ours:
        if is_ours and path.is_dir() and not path.is_symlink():
            aside = path.with_name(f".removed-{uuid.uuid4().hex[:12]}")  # so that no cache is half
            path.rename(aside)
            path = aside
        if is_ours:
            _remove(path)
    return is_ours


def disk_bytes(path: Path) -> int:
    """Return what a file or a folder with all in it takes of the disk; links are not followed."""
    try:
        total = os.lstat(path).st_blocks * 512
        if path.is_dir() and not path.is_symlink():
            total += sum(disk_bytes(inner) for inner in path.iterdir())
    except OSError:
        return 0
    return total


def _judge(path: Path, runs: Sequence[_Run], now: float, older_than_days: float) -> Reason | None:
    """Return why what lies on a shelf is not needed; None if it is, or is not known."""
    if path.parent.name == "cache":
        return _judge_cache(path, runs, now, older_than_days)
    if path.parent.name == "partitions":
        head = {} if path.is_symlink() else _read(path / PLAN_JSON)
        made = head.get("format", PLAN_FORMAT)
        return Reason.OTHER_VERSION if made != PLAN_FORMAT else None
    if path.parent.name == "site-state":
        its = [run for run in runs if path.name in _state_names(run)]
    else:
        its = [run for run in runs if f"{run.known.path.name}.log" == path.name]
    return Reason.RUNS_GONE if its and all(run.is_gone for run in its) else None


def _state_names(run: _Run) -> tuple[str | None, str]:
    """Return the names of what a run's sites keep: under Flower's simulation, and of their VAEs."""
    return run.known.flower_run_id, site_state(run.known.path).name


def _judge_cache(
    path: Path, runs: Sequence[_Run], now: float, older_than_days: float
) -> Reason | None:
    name, age_days = path.name, _age_s(path, now) / _DAY_S
    if name.startswith(_ASIDE):
        return Reason.ASIDE if age_days > 1 else None
    if name.startswith(_BUILDING):
        is_free = path.is_dir() and not is_locked(_lock_of(path))
        return Reason.UNFINISHED if is_free and age_days > 1 else None
    its = [run for run in runs if run.uses(name)]
    in_use = is_locked(_lock_of(path)) or any(run.is_running for run in its)
    if not _CACHE.fullmatch(name) or in_use:
        return None
    if its and all(run.is_gone for run in its):
        return Reason.RUNS_GONE
    head = {} if path.is_symlink() else _read(path / HEAD)
    if not head:
        return None
    if (head.get("format"), head.get("decoder")) != (CACHE_FORMAT, DECODER):
        return Reason.OTHER_VERSION
    return Reason.NO_RUN if not its and age_days > older_than_days else None


def _is_settled(run: _Run) -> bool:
    """Return whether a run is finished and its own folder still there; then nothing resumes it."""
    return run.manifest.get("status") == "finished" and not run.known.path.is_symlink()


def _inside(shelf: Path) -> list[Path]:
    if shelf.is_symlink() or not shelf.is_dir():
        return []
    return list(shelf.iterdir())


def _age_s(path: Path, now: float) -> float:
    """Return the time since the path, or a file directly in it, was last changed."""
    times = [0.0]
    for one in [path, *([] if path.is_symlink() or not path.is_dir() else path.iterdir())]:
        try:
            times.append(os.lstat(one).st_mtime)
        except OSError:
            continue
    return max(0.0, now - max(times))


def _read(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file; nothing where there is none."""
    try:
        tree = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _lock_of(cache: Path) -> Path:
    """Return the lock file of a cache's builders (`fedcxr/data/cache/builder.py`)."""
    return cache.with_name(f"{_BUILDING}{cache.name.removeprefix(_BUILDING)}.lock")


@contextmanager
def _builders_lock(cache: Path) -> Iterator[bool]:
    """Hold the lock as a builder does, and remove its file; yield whether it was free."""
    lock = _lock_of(cache)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        is_ours = take_lock(handle, lock)
        yield is_ours
        if is_ours:
            lock.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    """Remove a file, a folder, or a link itself."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
