"""How much memory can still be taken on this machine, or in its container."""

import re
from pathlib import Path


def free_bytes(root: Path = Path("/")) -> int | None:
    """Return the memory that can still be taken on this machine, or in its container if less.

    None where the system does not say (other than Linux).
    """
    known = [size for size in (_available(root), _left_in_container(root)) if size is not None]
    return min(known, default=None)


def _available(root: Path) -> int | None:
    return _number(root / "proc/meminfo", r"^MemAvailable:\s+(\d+) kB", 1024)


def _left_in_container(root: Path) -> int | None:
    """Return what a cgroup's limit leaves; file pages not in use are given back when needed."""
    group = root / "sys/fs/cgroup"
    limit = _number(group / "memory.max", r"^(\d+)$")
    used = _number(group / "memory.current", r"^(\d+)$")
    if limit is None or used is None:
        return None
    idle = _number(group / "memory.stat", r"^inactive_file (\d+)$") or 0
    return max(0, limit - used + idle)


def _number(file: Path, pattern: str, unit: int = 1) -> int | None:
    try:
        found = re.search(pattern, file.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * unit if found else None
