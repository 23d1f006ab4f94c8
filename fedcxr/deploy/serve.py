"""The server of a deployment: Flower's SuperLink, and the list of sites that it lets in.

The list is the kit's folder `sites/`. It is looked at again every few seconds, so that a site that
was added can come and one that was revoked is put out without a restart.
"""

import contextlib
import ipaddress
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from fedcxr.config.kit import ServerKitConfig, parse_address
from fedcxr.deploy import kit_files as k
from fedcxr.deploy.child import Child, direct_loopback, flower_environment, running
from fedcxr.deploy.control import Control, loopback_address
from fedcxr.deploy.keep import BadServerError, Keeper, RunChange
from fedcxr.deploy.kit_check import CheckedKit, server_kit
from fedcxr.errors import NetworkError
from fedcxr.home import home_folder
from fedcxr.interrupts import raise_if_interrupted

START_S = 90.0
"""Longest wait for the SuperLink to answer."""
SILENT_S = 300.0
"""Longest time that a busy SuperLink may leave us without an answer."""
KEPT_SILENT_S = 60.0
"""The same where it is started again then."""
POLL_S = 2.0
_CHILD_POLL_S = 0.2
_START_POLL_S = 0.3


@dataclass(frozen=True, slots=True)
class SiteChange:
    """What became of a site at the server."""

    site: str
    what: str
    """`added`, `revoked`, `barred`, `connected` or `gone`; barred: its key was revoked before, and
    Flower takes no key a second time."""


@dataclass(frozen=True, slots=True)
class ServerUp:
    """The server takes sites from now on."""

    kit: CheckedKit
    address: str
    log: Path


@dataclass(frozen=True, slots=True)
class Restarting:
    """The server died, and is started again."""

    why: str
    number: int
    """How often that was of late."""


Event = ServerUp | SiteChange | RunChange | Restarting
OnEvent = Callable[[Event], None]


def serve(folder: Path, on_event: OnEvent, *, keep: bool = False) -> None:
    """Run the server of a kit until it is interrupted; it leaves no process behind.

    Args:
        folder: the server's kit.
        on_event: told that it is up, of sites that come and go, and of its restarts.
        keep: whether it is started again when it dies, and goes on with what ran.

    Raises:
        ConfigError: no kit of a server.
        NetworkError: the kit has a fault, the port is taken, or the SuperLink ended; with `keep`
            when it has died too often.
    """
    kit, config = server_kit(folder)
    port = parse_address(config.address)[1]
    up = ServerUp(kit, config.address, home_folder().absolute() / "logs" / f"superlink-{port}.log")
    keeper = Keeper.of_kit(folder, port) if keep else None
    was_up = False
    while True:
        try:
            with started_server(folder, config, up.log) as (child, roll):
                was_up = True
                _attend(child, roll, keeper, on_event, up)
        except NetworkError as err:
            if keeper is None or not was_up or keeper.deaths.are_too_many:
                raise
            on_event(Restarting(str(err), keeper.deaths.note(str(err))))


def _attend(
    child: Child, roll: "Roll", keeper: Keeper | None, on_event: OnEvent, up: ServerUp
) -> None:
    """Look after a server that is up; `NetworkError` when it is not any more."""
    changes: list[Event] = [up, *roll.update()]
    silent_s = KEPT_SILENT_S if keeper else SILENT_S
    heard = time.monotonic()
    while True:
        for change in changes:
            on_event(change)
        changes = []
        try:
            changes += keeper.look(roll.control) if keeper else []
            changes += roll.update()
            heard = time.monotonic()
        except BadServerError:
            raise
        except NetworkError:  # it may be busy
            if time.monotonic() - heard > silent_s:
                raise
        _pause(child)


def _pause(child: Child) -> None:
    """Wait a moment; `NetworkError` as soon as the SuperLink has ended."""
    end = time.monotonic() + POLL_S
    while time.monotonic() < end:
        raise_if_interrupted()
        if child.exit_code is not None:
            raise _ended(child)
        time.sleep(_CHILD_POLL_S)


@contextlib.contextmanager
def started_server(
    folder: Path, config: ServerKitConfig, log: Path
) -> Iterator[tuple[Child, "Roll"]]:
    """Have the SuperLink of a kit answer inside, guarded; no site is let in yet.

    Raises:
        NetworkError: the port is taken, the SuperLink ended or has no guard.
    """
    bind, port = bind_host(config.address), parse_address(config.address)[1]
    refuse_taken_port(bind, port)
    arguments = superlink_arguments(folder.absolute(), bind, port)
    environment = flower_environment(k.SERVER, FLWR_LOG_LEVEL="WARNING")
    with (
        running("guarded_superlink", arguments, log=log, environment=environment) as child,
        _control(folder, config) as control,
    ):
        _wait_until_up(child, control)
        check_guard(config, folder)
        yield child, Roll(control, folder)


def superlink_arguments(folder: Path, bind: str, port: int) -> list[str]:
    """Return the command line of the guarded SuperLink: TLS and node authentication, always."""
    return [
        str(folder / k.CONTROL_TOKEN),
        *("--ssl-ca-certfile", str(folder / k.CA_CRT)),
        *("--ssl-certfile", str(folder / k.SERVER_CRT)),
        *("--ssl-keyfile", str(folder / k.SERVER_KEY)),
        "--enable-supernode-auth",
        "--disable-runtime-dependency-installation",
        *("--host", bind, "--port", str(port)),
    ]


@dataclass(slots=True)
class Roll:
    """The sites of the kit as the SuperLink is to know them."""

    control: Control
    folder: Path
    _sites: dict[bytes, str] = field(default_factory=dict)
    """Name by public key, of those that are let in."""
    _online: set[str] = field(default_factory=set)
    _barred: set[bytes] = field(default_factory=set)

    def update(self) -> list[SiteChange]:
        """Let in and put out whom the kit says, and return what has changed since."""
        wanted = {key: site for site, key in k.known_keys(self.folder).items()}
        nodes = {node.public_key: node for node in self.control.nodes()}
        is_first = not self._sites
        changes = []
        for key in nodes.keys() - wanted.keys():
            self.control.unregister(nodes[key].node_id)
            changes.append(SiteChange(self._sites.get(key, "a node of no site"), "revoked"))
        for key in wanted.keys() - nodes.keys() - self._barred:
            is_in = self._register(wanted[key], key)
            if not is_in or not is_first:
                changes.append(SiteChange(wanted[key], "added" if is_in else "barred"))
        self._sites = wanted
        online = {wanted[key] for key, node in nodes.items() if node.is_online and key in wanted}
        changes += [SiteChange(site, "connected") for site in sorted(online - self._online)]
        changes += [SiteChange(site, "gone") for site in sorted(self._online - online)]
        self._online = online
        return changes

    def _register(self, site: str, key: bytes) -> bool:
        """Let a key in; False where the SuperLink has known it and put it out."""
        try:
            self.control.register(site, key)
        except NetworkError as err:
            if not isinstance(err.__cause__, httpx.HTTPStatusError):
                raise
            self._barred.add(key)
            return False
        return True


def bind_host(address: str) -> str:
    """Return which of this machine's addresses the server listens at.

    >>> bind_host("fl.example.org:9092"), bind_host("127.0.0.1:9092"), bind_host("[fd00::1]:9092")
    ('0.0.0.0', '127.0.0.1', '::')
    """
    host, _ = parse_address(address)
    if host == "localhost":
        return "127.0.0.1"
    with contextlib.suppress(ValueError):
        found = ipaddress.ip_address(host)
        if found.is_loopback:
            return str(found)
        return "::" if found.version == 6 else "0.0.0.0"
    return "0.0.0.0"


def refuse_taken_port(host: str, port: int) -> None:
    """Raise `NetworkError` where something listens at the port, or it may not be opened."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as err:
            raise NetworkError(
                f"Port {port} cannot be opened ({err.strerror}). If another server of this kit is "
                f"running, stop it; who has the port says: ss -ltnp 'sport = :{port}'."
            ) from err


def check_guard(config: ServerKitConfig, folder: Path) -> None:
    """Raise `NetworkError` unless the SuperLink refuses whoever does not know the kit's token.

    A Flower of another version may have no place for the guard any more. Then nothing is started.
    """
    authority = (folder / k.CA_CRT).read_bytes()
    with Control(loopback_address(config.address), authority, "no such token") as stranger:
        try:
            stranger.nodes()
        except NetworkError as err:
            answer = err.__cause__
            if isinstance(answer, httpx.HTTPStatusError) and answer.response.status_code == 403:
                return
            raise
    raise NetworkError(
        "This version of Flower lets anybody start runs at the SuperLink, so the server was not "
        "started. Install the version of flwr that pyproject.toml names."
    )


def _control(folder: Path, config: ServerKitConfig) -> Control:
    os.environ.update(direct_loopback(os.environ))
    return Control.of_kit(folder, config)


def _wait_until_up(child: Child, control: Control) -> None:
    end = time.monotonic() + START_S
    while True:
        if child.exit_code is not None:
            raise _ended(child)
        try:
            control.nodes()
        except NetworkError as err:
            if isinstance(err.__cause__, httpx.HTTPStatusError) or time.monotonic() >= end:
                raise
        else:
            return
        raise_if_interrupted()
        time.sleep(_START_POLL_S)


def _ended(child: Child) -> NetworkError:
    return NetworkError(
        f"The SuperLink ended (code {child.exit_code}). Its log, {child.log}, ends with:\n"
        f"{child.last_lines()}"
    )
