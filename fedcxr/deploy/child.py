"""One of Flower's programs as a child of ours: its surroundings, its log, and its end."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fedcxr.deploy.allocator import VARIABLES
from fedcxr.home import home_folder
from fedcxr.own_packages import own_search_path
from fedcxr.storage import writing

END_S = 12.0
"""Longest wait for a child to say goodbye to the other side and end."""
_TAIL_BYTES = 4096
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

_SETTINGS = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    **VARIABLES,
}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Child:
    """A program of Flower's that is under way."""

    process: "subprocess.Popen[bytes]"
    log: Path
    """What it prints; it grows from start to start."""
    _begin: int
    """Where in the log this start begins."""

    @property
    def exit_code(self) -> int | None:
        """Return how it ended; None while it has not."""
        return self.process.poll()

    def last_lines(self, count: int = 3) -> str:
        """Return the last lines that it printed, to say why it ended."""
        with self.log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self._begin, end - _TAIL_BYTES))
            text = _COLOUR.sub("", file.read().decode("utf-8", "replace"))
        return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


@contextlib.contextmanager
def running(
    module: str,
    arguments: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    keeps: Sequence[int] = (),
) -> Iterator[Child]:
    """Run a module of `fedcxr.deploy` as a program, and have it ended, with its own children.

    Args:
        module: its name; it calls `end_with_parent`.
        arguments: of its command line.
        log: takes what it prints; only its owner can read it.
        environment: of the process.
        keeps: descriptors of ours that it has as well, such as a pipe, or a lock that is to hold as
            long as it runs.
    """
    with open_log(log) as file:
        begin = os.fstat(file.fileno()).st_size
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"fedcxr.deploy.{module}", *arguments],
            env=environment,
            cwd=log.parent,
            stdin=subprocess.PIPE,  # its end is how the child learns that we are gone
            stdout=file,
            stderr=subprocess.STDOUT,
            pass_fds=keeps,
            start_new_session=True,  # Ctrl-C is for this process, which then ends the child
        )
    try:
        yield Child(process, log, begin)
    finally:
        _end(process)


def open_log(log: Path) -> BinaryIO:
    """Return a log that grows from start to start, and that only its owner can read."""
    with writing(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return os.fdopen(descriptor, "ab")


def flower_environment(home: str, **variables: str) -> dict[str, str]:
    """Return what a program of Flower's is started with.

    Args:
        home: the name of its Flower home inside ours: nodes on one machine unpack bundles side by
            side, and must not do so in one folder.
        variables: further ones.
    """
    # None of the user's own: one of them opens an API that nobody guards.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLWR_")}
    # With it the SuperLink would believe every caller who says that he is on this machine.
    kept.pop("FORWARDED_ALLOW_IPS", None)
    flower_home = home_folder().absolute() / "flower" / home
    with writing(flower_home):
        flower_home.mkdir(parents=True, exist_ok=True)
    paths = [str(Path(sys.executable).parent), kept.get("PATH", "")]
    return {
        **kept,
        **_SETTINGS,
        **direct_loopback(kept),
        "FEDCXR_HOME": str(home_folder().absolute()),
        "FLWR_HOME": str(flower_home),
        "PATH": os.pathsep.join(path for path in paths if path),
        "PYTHONPATH": os.pathsep.join(own_search_path()),
        **variables,
    }


def free_port() -> int:
    """Return a port of the loopback interface that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def direct_loopback(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that keep what is for this machine away from a proxy."""
    before = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    names = [name.strip() for name in before.split(",") if name.strip()]
    value = ",".join(dict.fromkeys([*names, *_LOOPBACK]))
    return {"no_proxy": value, "NO_PROXY": value}


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a child: asked first, then by force, with every process of its group."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
