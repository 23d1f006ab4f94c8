"""A deployment's server and clients, started from one place and ended together.

On this machine, or on others by ssh. Each is a program whose standard input is held open here: it
ends when that ends (`fedcxr/cli/tethered.py`), so nothing is left when this process is gone, even
by SIGKILL or with the network between.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedcxr.config.hosts import HostConfig, HostsConfig, SiteHostConfig
from fedcxr.deploy import kit_files as k
from fedcxr.deploy.kit_check import server_kit
from fedcxr.errors import ConfigError, NetworkError, some
from fedcxr.interrupts import raise_if_interrupted
from fedcxr.own_packages import own_search_path

WAIT_S = 120
"""How long clients ask for a server that is started beside them."""
END_S = 30.0
"""Longest wait for a program to end by itself: a client gives its node twelve seconds."""
POLL_S = 0.2
TETHERED = ("-P", "-m", "fedcxr.cli.tethered")

SSH = (
    *("ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
    *("-o", "StrictHostKeyChecking=yes", "-o", "ServerAliveInterval=15"),
    *("-o", "ServerAliveCountMax=4"),
)
"""Never asks for a password, never trusts an unknown host, and notices a dead line in a minute."""

OnLine = Callable[[str, str], None]
"""Told of a program, and a line that it printed or that is said of it."""


@dataclass(frozen=True, slots=True)
class Program:
    """A server or a client to start."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def local_programs(deployment: Path, data: Path) -> list[Program]:
    """Return the server of a deployment and a client for each of its sites, on this machine.

    Args:
        deployment: as `fedcxr provision` made it.
        data: with a folder of data for each site, by its name.

    Raises:
        ConfigError: no deployment, or a site has no kit or no data here.
    """
    sites = _sites_of(deployment)
    kits = {name: deployment / name for name in sites}
    missing = [str(kit) for kit in kits.values() if not kit.is_dir()]
    missing += [str(data / name) for name in sites if not (data / name).is_dir()]
    if missing:
        raise ConfigError(
            f"--local: these folders are not here: {some(missing)}. Every site of the deployment "
            "needs its kit, and its data as a folder of its name in --data."
        )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(own_search_path())}
    start = (sys.executable, *TETHERED)
    server = ("server", "start", "--kit", str(deployment / k.SERVER))
    programs = [Program(k.SERVER, (*start, *server), environment)]
    for name, kit in kits.items():
        client = client_words(str(kit), str(data / name))
        programs.append(Program(name, (*start, *client), environment))
    return programs


def remote_programs(hosts: HostsConfig) -> list[Program]:
    """Return the server and clients of `hosts.yaml`, each at the far end of an ssh."""
    programs = []
    if hosts.server is not None:
        server = ("server", "start", "--kit", f"{hosts.server.folder}/{k.SERVER}")
        programs.append(_over_ssh(k.SERVER, hosts.server, server))
    for name, site in hosts.sites.items():
        words = client_words(f"{site.folder}/{name}", site.data, site)
        programs.append(_over_ssh(name, site, words))
    return programs


def client_words(kit: str, data: str, site: SiteHostConfig | None = None) -> tuple[str, ...]:
    """Return the command line of a client, behind `fedcxr`."""
    words = ["client", "start", "--kit", kit, "--data", data, "--wait", str(WAIT_S)]
    if site is not None and site.gpu is not None:
        words += ["--gpu", str(site.gpu)]
    if site is not None and site.image_size is not None:
        words += ["--image-size", str(site.image_size)]
    return tuple(words)


def run_together(programs: Sequence[Program], on_line: OnLine) -> None:
    """Run programs until this process is interrupted or none is left; then all are ended.

    The end of the server ends the others.

    Args:
        programs: to start.
        on_line: told what they print, each line with its program's name, from several threads.

    Raises:
        NetworkError: the server ended by itself, or all of the clients did.
    """
    with _started(programs, on_line) as running:
        while True:
            raise_if_interrupted()
            time.sleep(POLL_S)
            for name in [name for name, process in running.items() if process.poll() is not None]:
                code = running.pop(name).returncode
                on_line(name, f"ended (code {code})")
                if name == k.SERVER:
                    raise NetworkError(f"The server ended by itself (code {code}).")
            if not running.keys() - {k.SERVER}:
                raise NetworkError("All clients have ended by themselves.")


@contextlib.contextmanager
def _started(
    programs: Sequence[Program], on_line: OnLine
) -> Iterator[dict[str, "subprocess.Popen[str]"]]:
    """Have the programs run inside; the yielded table is the caller's to take ended ones out of."""
    running: dict[str, subprocess.Popen[str]] = {}
    everyone: list[subprocess.Popen[str]] = []
    readers: list[threading.Thread] = []
    try:
        for program in programs:
            process = _start(program)
            running[program.name] = process
            everyone.append(process)
            reader = threading.Thread(
                target=_read, args=(program.name, process, on_line), daemon=True
            )
            reader.start()
            readers.append(reader)
        yield running
    finally:
        _end(everyone)
        for reader in readers:
            reader.join(1.0)


def _start(program: Program) -> "subprocess.Popen[str]":
    try:
        return subprocess.Popen(
            program.command,
            env=program.environment or None,
            stdin=subprocess.PIPE,  # its end is how the program learns that we are gone
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for this process, which then ends them
        )
    except OSError as err:
        raise ConfigError(
            f"{program.command[0]}: cannot be started ({err.strerror}). Install it, or put it on "
            "the PATH."
        ) from err


def _read(name: str, process: "subprocess.Popen[str]", on_line: OnLine) -> None:
    if process.stdout is not None:
        with process.stdout as lines:
            for line in lines:
                on_line(name, line.rstrip("\n"))


def _end(processes: Sequence["subprocess.Popen[str]"]) -> None:
    """End all, the last first: their input ends, and they get SIGTERM; by force after a while."""
    for process in reversed(processes):
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
    end = time.monotonic() + END_S
    for process in reversed(processes):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, end - time.monotonic()))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _sites_of(deployment: Path) -> tuple[str, ...]:
    kit, _ = server_kit(deployment / k.SERVER)
    return kit.sites


def _over_ssh(name: str, host: HostConfig, words: Sequence[str]) -> Program:
    there = shlex.join([host.python, *TETHERED, *words])
    remote = f"cd {shlex.quote(host.folder)} && exec {there}"
    return Program(name, (*SSH, "--", host.host, remote))
