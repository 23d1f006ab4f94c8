"""How many processor cores there are to work with, in a container's share of them too."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_QUOTA, _PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"


def cores(root: Path = Path("/")) -> int:
    """Return the number of processor cores that this process may use, at least 1.

    Where a cgroup sets a quota (a container's `--cpus`, a batch system, systemd's `CPUQuota=`) it
    is the quota, rounded up, if that is less than the cores the process may run on.

    Args:
        root: where /proc and /sys are.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return max(1, min([allowed, *_quotas(root)]))


def _quotas(root: Path) -> Iterator[int]:
    """Yield the quotas in cores, rounded up, of the process's groups and of all those above them.

    Source: cgroups(7); Linux' admin-guide/cgroup-v2 (cpu.max) and scheduler/sched-bwc (version 1).
    """
    mount = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, controllers, group = [*line.split(":", 2), "", ""][:3]
        if number == "0":  # version 2: one tree for all controllers
            texts = [_read(folder / "cpu.max") for folder in _upwards(mount, group)]
        elif "cpu" in controllers.split(","):
            # The tree of "cpu,cpuacct" is mounted under this name, and linked to from "cpu".
            folders = [*_upwards(mount / controllers, group), *_upwards(mount / "cpu", group)]
            texts = [f"{_read(f / _QUOTA)} {_read(f / _PERIOD)}" for f in folders]
        else:
            continue
        for text in texts:
            quota, period = [*text.split(), "", ""][:2]  # microseconds; "max" or -1 = none
            if quota.isdigit() and period.isdigit() and int(period):
                yield -(-int(quota) // int(period))


def _upwards(mount: Path, group: str) -> list[Path]:
    """Return the folders of a group and of the groups above it; of a foreign one the mount alone.

    In a container the path may be that of the host, or lead out of what is mounted; then the
    container's own group is the mount.
    """
    parts = PurePosixPath(group).parts[1:]
    if ".." in parts:
        parts = ()
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _read(file: Path) -> str:
    try:
        return file.read_text("ascii")
    except (OSError, ValueError):
        return ""
