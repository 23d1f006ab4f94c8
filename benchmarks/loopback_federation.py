"""fedcxr's own deployment on this machine, from kits: a server and a client a site, over TLS.

For the benchmarks of real processes (`deployment`, `deployment_soak`, `supernodes`).
"""

import contextlib
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen, TimeoutExpired

from benchmarks.processes import family, marked, started, tail, wait_until
from fedcxr.deploy.child import free_port
from fedcxr.deploy.provision import Deployment, new_deployment

STOP_S = 30.0
KINDS = {
    "guarded_superlink": "SuperLink",
    "flower-superexec": "task starter",
    "serverapp": "ServerApp",
    "pinned_supernode": "SuperNode",
    "fork_server": "fork server",
}
"""What a process is by a word of its command line."""


@dataclass(frozen=True)
class Loopback:
    """A deployment whose sites are connected."""

    made: Deployment
    home: Path
    """FEDCXR_HOME of all of it, and its mark in `processes.marked`."""
    server: "Popen[str]"
    clients: "Mapping[str, Popen[str]]"
    """By the site's name."""

    def members(self) -> dict[str, int]:
        """Return the processes that there are now by what they are: `SuperNode of site-00`."""
        found = named(self.server.pid, "server")
        for site, client in self.clients.items():
            for name, pid in named(client.pid, "client").items():
                found[f"{name} of {site}"] = pid
        return found

    def stop(self) -> list[int]:
        """Interrupt the clients, then the server, and return what is left of them."""
        for process in (*self.clients.values(), self.server):
            process.send_signal(signal.SIGINT)
        for process in (*self.clients.values(), self.server):
            with contextlib.suppress(TimeoutExpired):
                process.wait(STOP_S)
        return marked(self.home)

    def run_command(self, data: Path, runs: Path, settings: Mapping[str, object]) -> list[str]:
        """Return the command line of a run.

        Args:
            data: the server's data folder.
            runs: takes the run folder.
            settings: keys of the configuration.
        """
        words = ["run", "--kit", self.made.server, "--data", data, "--runs-dir", runs]
        pairs = [f"{key}={value}" for key, value in settings.items()]
        words += [word for pair in pairs for word in ("--set", pair)]
        return [sys.executable, "-m", "fedcxr", *map(str, words)]


@contextlib.contextmanager
def loopback_federation(
    folder: Path, clients: Mapping[str, Sequence[object]], made: Deployment | None = None
) -> Iterator[Loopback]:
    """Yield a deployment when all of its sites are connected, and end it.

    Args:
        folder: takes its kits, home and logs.
        clients: by the site's name, the module that is its client, and its arguments after `--kit`.
        made: its kits, where they are there already.

    Raises:
        RuntimeError: a site did not connect; holds the end of a log.
    """
    made = made or new_kits(folder, list(clients))
    home, log = folder / "home", folder / "server.log"
    python = (sys.executable, "-m")
    with contextlib.ExitStack() as stack:
        words = [*python, "fedcxr", "server", "start", "--kit", str(made.server)]
        server = stack.enter_context(started(words, home, log, folder / "server"))
        wait_for(log, made.address)
        processes = {}
        for site, (module, *rest) in clients.items():
            words = [*python, str(module), "--kit", str(made.folder / site), *map(str, rest)]
            said = folder / f"{site}.log"
            processes[site] = stack.enter_context(started(words, home, said, folder / site))
        for site in clients:
            wait_for(log, f"{site}: connected", other=folder / f"{site}.log")
        yield Loopback(made, home, server, processes)


def new_kits(folder: Path, sites: Sequence[str]) -> Deployment:
    """Make the kits of a deployment at a free port of this machine."""
    return new_deployment(folder / "kits", f"127.0.0.1:{free_port()}", sites)


def named(parent: int, own: str) -> dict[str, int]:
    """Return a process, by the name `own`, and what came from it, by what each is."""
    found = {own: parent}
    for pid in family(parent)[1:]:  # parents before children
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue  # it has ended
        name = kind_of(line)
        if name == "fork server" and name in found:
            name = "resident trainer"
        found.setdefault(name, pid)
    return found


def kind_of(command: str) -> str:
    """Return what a process is.

    >>> kind_of("python -P -m fedcxr.deploy.pinned_supernode --superlink x"), kind_of("sleep 5")
    ('SuperNode', 'other')
    """
    return next((kind for word, kind in KINDS.items() if word in command), "other")


def wait_for(log: Path, words: str, *, other: Path | None = None) -> None:
    """Wait until a log has these words; `other` is shown, too, where they do not come."""
    logs = [log, *([other] if other else [])]
    wait_until(
        lambda: words in log.read_text("utf-8", "replace"),
        lambda: "; ".join(tail(one) for one in logs),
    )
