"""A trial on this machine: a server with three sites, and everything that must be refused.

A deployment is made in a folder of its own and its server is started as any other. The registered
site must be let in before and after all the others were turned away. Nothing outside the loopback
interface is used, and nothing stays.
"""

import contextlib
import shutil
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from fedcxr.config.kit import ServerKitConfig, SiteKitConfig, parse_address
from fedcxr.deploy import kit_files as k
from fedcxr.deploy.certificates import Certified, certify_server, make_authority, utc_now
from fedcxr.deploy.child import free_port
from fedcxr.deploy.kit_check import site_kit
from fedcxr.deploy.knock import connected, knock
from fedcxr.deploy.node_keys import new_node_key
from fedcxr.deploy.provision import Deployment, new_deployment, open_authority, revoke_site
from fedcxr.deploy.serve import check_guard, started_server
from fedcxr.errors import NetworkError

_ACCEPT_S = 10.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One that tried to get in, and what it was told."""

    who: str
    is_right: bool
    """Whether it was refused, or let in, as it should be."""
    said: str
    """Empty for who was let in."""


def run_trial(on_trial: Callable[[Trial], None]) -> bool:
    """Try all, tell each, and return whether all went as it should.

    Raises:
        NetworkError: the server cannot be started here.
    """
    folder = Path(tempfile.mkdtemp(prefix="fedcxr-trial-"))
    all_right = True
    try:
        deployment = new_deployment(
            folder / "deploy", f"127.0.0.1:{free_port()}", ["site-00", "site-01", "revoked"]
        )
        for trial in _trials(deployment, folder / "server.log"):
            on_trial(trial)
            all_right = all_right and trial.is_right
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return all_right


def _trials(deployment: Deployment, log: Path) -> Iterator[Trial]:
    config = ServerKitConfig(address=deployment.address)
    site = deployment.folder / "site-00"
    with started_server(deployment.server, config, log) as (_, roll):
        roll.update()
        yield _let_in("a registered site", site)
        stranger = _with_new_key(site, deployment.folder / "stranger")
        yield _refused("a key that is not registered", stranger)
        revoke_site(deployment, "revoked")
        roll.update()
        yield _refused("a key that was revoked", deployment.folder / "revoked")
        with connected(*_opened(deployment.folder / "site-01")):
            yield _refused("a second client with one kit", deployment.folder / "site-01")
        yield _without_tls(deployment.address)
        yield _without_token(deployment.server, config)
        yield from _wrong_servers(deployment, site)
        yield _let_in("the registered site, after all that", site)


def _let_in(who: str, kit: Path) -> Trial:
    try:
        knock(*_opened(kit))
    except NetworkError as err:
        return Trial(who, is_right=False, said=str(err))
    return Trial(who, is_right=True, said="")


def _refused(who: str, kit: Path, server: str | None = None) -> Trial:
    folder, config = _opened(kit)
    try:
        knock(folder, config.model_copy(update={"server": server or config.server}))
    except NetworkError as err:
        return Trial(who, is_right=True, said=str(err))
    return Trial(who, is_right=False, said="")


def _opened(kit: Path) -> tuple[Path, SiteKitConfig]:
    return kit, site_kit(kit)[1]


def _with_new_key(kit: Path, copy: Path) -> Path:
    shutil.copytree(kit, copy)
    k.write_secret(copy / k.NODE_KEY, new_node_key().private)
    return copy


def _without_tls(address: str) -> Trial:
    """Speak to the server in plain HTTP."""
    who = "a caller without TLS"
    with socket.create_connection(parse_address(address), _ACCEPT_S) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nhost: server\r\n\r\n")
        answer = b""
        with contextlib.suppress(OSError):
            answer = plain.recv(100)
    is_refused = not answer.startswith(b"HTTP")
    return Trial(who, is_refused, "the connection is closed" if is_refused else "")


def _without_token(server: Path, config: ServerKitConfig) -> Trial:
    try:
        check_guard(config, server)
    except NetworkError as err:
        return Trial("a caller without the kit's token", is_right=False, said=str(err))
    return Trial("a caller without the kit's token", is_right=True, said="HTTP 403")


def _wrong_servers(deployment: Deployment, site: Path) -> Iterator[Trial]:
    """Have a site call servers that are not its own."""
    authority, now = open_authority(deployment), utc_now()
    long_ago = now - timedelta(days=30)
    servers: dict[str, Certified | None] = {
        "a server with an expired certificate": certify_server(
            authority, "127.0.0.1", long_ago, days=10
        ),
        "a server with a certificate for another name": certify_server(
            authority, "fl.example.org", now, also=()
        ),
        "a server with a certificate of another authority": certify_server(
            make_authority(now), "127.0.0.1", now
        ),
        "a server without TLS": None,
    }
    for who, certified in servers.items():
        with _listening(certified, deployment.folder) as port:
            yield _refused(who, site, f"127.0.0.1:{port}")


@contextlib.contextmanager
def _listening(certified: Certified | None, folder: Path) -> Iterator[int]:
    """Answer calls inside with a certificate, or without TLS where there is none."""
    context = None
    if certified is not None:
        k.write_secret(folder / "other.pem", certified.certificate_pem + certified.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "other.pem")
    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=_answer, args=(door, context), daemon=True).start()
        yield door.getsockname()[1]


def _answer(door: socket.socket, context: ssl.SSLContext | None) -> None:
    while True:
        try:
            caller, _ = door.accept()
        except OSError:  # the door is closed
            return
        caller.settimeout(_ACCEPT_S)
        with caller, contextlib.suppress(OSError):
            if context is None:
                caller.recv(100)
                caller.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            else:
                context.wrap_socket(caller, server_side=True).close()
