"""Asking a server whether it takes a site, and why not: before the site's client is started.

The site's node is activated and deactivated again, over the same connection that Flower's SuperNode
will use. What is wrong with the connection or the server's certificate is told in plain words; TLS
is never left out.
"""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL
from flwr.proto.fleet_pb2 import ActivateNodeRequest, DeactivateNodeRequest
from flwr.supercore.error import FlowerError
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from fedcxr.config.kit import SiteKitConfig, parse_address
from fedcxr.deploy import kit_files as k
from fedcxr.deploy.certificates import faults_in_time, faults_of_server, utc_now, validity
from fedcxr.deploy.node_keys import fingerprint, read_node_key
from fedcxr.errors import NetworkError

CONNECT_S = 4.0
"""Longest wait for the server to answer a call."""


def knock(folder: Path, config: SiteKitConfig, leftover: int | None = None) -> int:
    """Return the site's node id if the server takes it now; `NetworkError` says why not.

    Args:
        folder: the site's kit.
        config: its `kit.yaml`.
        leftover: id of a node of this kit whose process is gone for certain; it is put off where
            the server still holds it for connected.
    """
    with connected(folder, config, leftover) as node_id:
        return node_id


@contextlib.contextmanager
def connected(folder: Path, config: SiteKitConfig, leftover: int | None = None) -> Iterator[int]:
    """Have a site's node connected inside, and yield its id; it does nothing.

    Args:
        folder: the site's kit.
        config: its `kit.yaml`.
        leftover: as `knock` takes it.

    Raises:
        NetworkError: nothing answers, it is not the kit's server, or it does not take this key.
    """
    private = (folder / k.NODE_KEY).read_bytes()
    public = read_node_key(private).public
    key = cast(ec.EllipticCurvePrivateKey, load_ssh_private_key(private, None))
    client = FleetHttpClient(
        f"https://{config.server}",
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="SuperNode"),
            NodeAuthHttpInterceptor(key, key.public_key()),
        ],
        verify=_trusting(folder),
        timeout=CONNECT_S,
    )
    request = ActivateNodeRequest(public_key=public, heartbeat_interval=HEARTBEAT_DEFAULT_INTERVAL)
    with client:
        try:
            try:
                node = client.ActivateNode(request)
            except httpx.HTTPStatusError:
                if leftover is None:
                    raise
                with contextlib.suppress(httpx.HTTPStatusError):  # not what is in the way
                    client.DeactivateNode(DeactivateNodeRequest(node_id=leftover))
                node = client.ActivateNode(request)
        except httpx.HTTPStatusError as err:
            raise NetworkError(_refusal(config, public, err.response)) from err
        except httpx.HTTPError as err:
            raise NetworkError(_failure(folder, config, err)) from err
        try:
            yield int(node.node_id)
        finally:
            with contextlib.suppress(httpx.HTTPError):  # it counts for a minute then
                client.DeactivateNode(DeactivateNodeRequest(node_id=node.node_id))


def _trusting(folder: Path) -> ssl.SSLContext:
    """Return a context that takes the deployment's authority and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=(folder / k.CA_CRT).read_text("ascii"))
    return context


def _refusal(config: SiteKitConfig, public: bytes, response: httpx.Response) -> str:
    """Return why a server that is the right one refuses."""
    known = FlowerError.from_json(response.text)
    if response.status_code == httpx.codes.UNAUTHORIZED:
        return (
            f"{config.server} does not take the signature of {config.site}. Is this machine's "
            "clock right?"
        )
    if known is not None and response.is_client_error:
        return (
            f"{config.server} does not take {config.site}: its key {fingerprint(public)} is not "
            "registered there, was revoked, or is in use by another client that has started with "
            "this kit (one that was killed counts for a minute). Ask who runs the server."
        )
    return f"{config.server} answers with HTTP {response.status_code}: no server of this kit."


def _failure(folder: Path, config: SiteKitConfig, err: httpx.HTTPError) -> str:
    """Return why there is no connection to the kit's server."""
    where = config.server
    for cause in _causes(err):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"{where}: its certificate is not taken: {_faults(folder, config, cause)}"
        if isinstance(cause, ssl.SSLError):
            return (
                f"{where}: what answers there speaks no TLS, so it is no server of this kit "
                f"({cause.reason or cause}). fedcxr never connects without."
            )
        if isinstance(cause, socket.gaierror):
            return f"{where}: the name is not known ({cause.strerror}). Check `server` in kit.yaml."
    if isinstance(err, httpx.TimeoutException):
        return (
            f"{where}: no answer within {CONNECT_S:g} s. Is it up, does a firewall stand between?"
        )
    return (
        f"{where}: no connection ({err}). Start the server first (`fedcxr server start`), or wait "
        "for it with --wait."
    )


def _faults(folder: Path, config: SiteKitConfig, err: ssl.SSLCertVerificationError) -> str:
    """Return what is wrong with the certificate that the server shows."""
    address = parse_address(config.server)
    try:
        shown = x509.load_pem_x509_certificate(
            ssl.get_server_certificate(address, timeout=CONNECT_S).encode()
        )
    except (OSError, ValueError):  # behind a proxy, say
        return f"{err.verify_message}."
    authority = x509.load_pem_x509_certificate((folder / k.CA_CRT).read_bytes())
    now = utc_now()
    faults = faults_of_server(shown, authority, address[0], now) or [err.verify_message]
    if not faults_in_time(shown, now):
        faults.append(f"it is {validity(shown)}")
    mend = "`fedcxr provision --renew` makes a new one, where the deployment was made."
    return f"{'; '.join(faults)}. {mend}"


def _causes(err: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause: BaseException | None = err
    while cause is not None and len(found) < 10:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found
