"""A whole deployment on this machine: a kept server and its sites' clients as real processes.

Each is what a user would start. They lie below one folder, by which their processes are found, and
all of them are ended at the end, whatever happens.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedcxr.config.kit import parse_address
from fedcxr.deploy.kit_check import server_kit
from fedcxr.deploy.submit import status_of
from fedcxr.errors import NetworkError, RunError, some
from fedcxr.interrupts import raise_if_interrupted

UP_S = 120.0
"""Longest wait for the server and its sites to be up."""
END_S = 40.0
"""Longest wait for a process to end that was asked to."""
POLL_S = 0.3


@dataclass(slots=True)
class Loopback:
    """The processes of a deployment."""

    folder: Path
    """Holds `kits/` and each site's data in `sites/`; the processes' output goes there too."""
    sites: Sequence[str]
    _started: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def kit(self) -> Path:
        """Return the server's kit."""
        return self.folder / "kits" / "server"

    def start(self, name: str, *words: object) -> "subprocess.Popen[bytes]":
        """Start a verb of the command line; what it prints is appended to NAME.log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "fedcxr", *map(str, words)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for this process, which then ends them
            )
        self._started[name] = process
        return process

    def start_client(self, site: str) -> None:
        """Start a site's client, again where it was killed."""
        kit, data = self.folder / "kits" / site, self.folder / "sites" / site
        self.start(site, "client", "start", "--kit", kit, "--data", data, "--wait", 90)

    def wait_until_up(self, limit_s: float = UP_S) -> None:
        """Return when every site is connected; `RunError` names those that are not in time."""
        end = time.monotonic() + limit_s
        absent = list(self.sites)
        while absent:
            if time.monotonic() > end:
                raise RunError(f"Not connected after {limit_s:g} s: {some(absent)}.")
            raise_if_interrupted()
            time.sleep(POLL_S)
            with contextlib.suppress(NetworkError):  # not up yet, or not again
                online = status_of(self.kit).is_online
                absent = [site for site in self.sites if not online.get(site)]

    def superlink(self) -> list[int]:
        """Return the process of Flower's SuperLink."""
        return processes(lambda words: "fedcxr.deploy.guarded_superlink" in words, self.folder)

    def run_server(self) -> list[int]:
        """Return the process of a run's server, Flower's ServerApp, at this SuperLink."""
        _, port = parse_address(server_kit(self.kit)[1].address)
        return processes(lambda w: "flwr-serverapp" in w and f"127.0.0.1:{port}" in w, None)

    def node(self, site: str) -> list[int]:
        """Return the process of a site's SuperNode, which leads the group of its clients."""
        kit = str(self.folder / "kits" / site)
        return processes(lambda w: "fedcxr.deploy.pinned_supernode" in w and kit in w, self.folder)

    def client(self, site: str) -> list[int]:
        """Return the process of a site's client."""
        return [self._started[site].pid]

    def wait(self, name: str, limit_s: float) -> int | None:
        """Return the exit code of a process; None where it had to be killed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._started[name].wait(limit_s)
        self._started[name].kill()
        self._started[name].wait()
        return None

    def end(self) -> None:
        """End all processes: asked first, clients before the server, then by force."""
        for process in reversed(self._started.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGTERM)
        for process in self._started.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
            process.kill()
            process.wait()


@contextlib.contextmanager
def deployed(folder: Path, sites: Sequence[str]) -> Iterator[Loopback]:
    """Have a kept server and all clients up inside.

    Args:
        folder: as `Loopback` takes it.
        sites: their names.

    Raises:
        RunError: they are not up in time.
    """
    loopback = Loopback(folder, sites)
    try:
        loopback.start("server", "server", "start", "--kit", loopback.kit, "--keep")
        for site in sites:
            loopback.start_client(site)
        loopback.wait_until_up()
        yield loopback
    finally:
        loopback.end()


def processes(is_wanted: Callable[[str], bool], folder: Path | None) -> list[int]:
    """Return the processes of this machine with such a command line.

    Args:
        is_wanted: told the command line, its words with blanks between.
        folder: a path that must be in it; none = any.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            ours = folder is None or str(folder) in words
            if words and ours and is_wanted(words) and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return sorted(found)


def send(pids: Sequence[int], number: signal.Signals, *, to_group: bool = False) -> None:
    """Send a signal to processes, or to the groups that they lead; those that are gone are passed.

    Args:
        pids: of the processes.
        number: the signal.
        to_group: whether it goes to the whole group.
    """
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if to_group else os.kill)(pid, number)
