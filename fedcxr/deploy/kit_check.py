"""Is a kit whole, private, of one piece, and valid today? Asked before anything is started.

All faults are told at once. A kit that passes can still be refused by the other side: whether the
server knows a site's key is the server's to say.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from fedcxr.config.kit import (
    KitConfig,
    ServerKitConfig,
    SiteKitConfig,
    parse_address,
    read_kit_yaml,
)
from fedcxr.deploy import kit_files as k
from fedcxr.deploy.certificates import faults_in_time, faults_of_server, read_certified, utc_now
from fedcxr.deploy.node_keys import check_public_key, fingerprint, read_node_key
from fedcxr.errors import ConfigError, NetworkError, some

SOON = timedelta(days=30)
"""A certificate that ends within this time is worth a warning."""

_FILES = {
    "server": (k.CA_CRT, k.SERVER_CRT, k.SERVER_KEY, k.CONTROL_TOKEN),
    "site": (k.CA_CRT, k.NODE_KEY),
}
_SECRETS = (k.SERVER_KEY, k.CONTROL_TOKEN, k.NODE_KEY)


@dataclass(frozen=True, slots=True)
class CheckedKit:
    """A kit that has no fault."""

    folder: Path
    config: KitConfig
    ends: datetime
    """When the first of its certificates expires."""
    key: str
    """Fingerprint of a site's public key; empty for the server."""
    sites: tuple[str, ...]
    """The sites that the server's kit knows; none for a site."""

    def expires_soon(self, now: datetime) -> bool:
        """Return whether the certificate should be renewed."""
        return self.ends - now < SOON


def check_kit(folder: Path, now: datetime | None = None) -> CheckedKit:
    """Return what is in a kit that has no fault.

    Raises:
        ConfigError: there is no `kit.yaml`, or it is wrong.
        NetworkError: a file is missing or open to others, keys and certificates do not belong
            together, or one is not valid at this time; all faults are named.
    """
    config, moment = read_kit_yaml(folder), now or utc_now()
    missing = [name for name in _FILES[config.kit] if not (folder / name).is_file()]
    faults = [f"{name} is missing" for name in missing]
    faults += _open_to_others(folder)
    if not missing:
        if isinstance(config, ServerKitConfig):
            faults += _server_faults(folder, config, moment)
        else:
            faults += _site_faults(folder, moment)
    if faults:
        raise NetworkError(
            f"{folder}: this kit cannot be used:\n  " + "\n  ".join(faults) + f"\n{_mend(config)}"
        )
    return _checked(folder, config)


def server_kit(folder: Path) -> tuple[CheckedKit, ServerKitConfig]:
    """Return the server's kit, checked; `ConfigError` if it is a site's."""
    config = read_kit_yaml(folder)
    if not isinstance(config, ServerKitConfig):
        raise ConfigError(
            f"{folder}: the kit of site {config.site}. Give the server's, or start the client: "
            f"fedcxr client start --kit {folder}."
        )
    return check_kit(folder), config


def site_kit(folder: Path) -> tuple[CheckedKit, SiteKitConfig]:
    """Return a site's kit, checked; `ConfigError` if it is the server's."""
    config = read_kit_yaml(folder)
    if not isinstance(config, SiteKitConfig):
        raise ConfigError(f"{folder}: the kit of the server. Give that of a site.")
    return check_kit(folder), config


def _open_to_others(folder: Path) -> Iterator[str]:
    if not k.is_private(folder):
        yield f"the folder is open to other users: chmod 700 {folder}"
    for name in _SECRETS:
        file = folder / name
        if file.is_file() and not k.is_private(file):
            yield f"{name} is open to other users: chmod 600 {file}"


def _server_faults(folder: Path, config: ServerKitConfig, now: datetime) -> Iterator[str]:
    host, _ = parse_address(config.address)
    authority = _certificate(folder / k.CA_CRT)
    if isinstance(authority, str):
        yield authority
        return
    yield from (f"{k.CA_CRT}: {fault}" for fault in faults_in_time(authority, now))
    try:
        server = read_certified(
            (folder / k.SERVER_CRT).read_bytes(), (folder / k.SERVER_KEY).read_bytes()
        )
    except ValueError as err:
        yield f"{k.SERVER_CRT} and {k.SERVER_KEY}: {err}"
        return
    for fault in faults_of_server(server.certificate, authority, host, now):
        yield f"{k.SERVER_CRT}: {fault}"
    if len(read_token(folder)) < k.TOKEN_BYTES:
        yield f"{k.CONTROL_TOKEN}: shorter than {k.TOKEN_BYTES} characters"
    yield from _roll_faults(folder)


def _roll_faults(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the sites' public keys."""
    site_by_key: dict[bytes, str] = {}
    for site, public in k.known_keys(folder).items():
        try:
            is_as_compared = check_public_key(public) == public
        except ValueError as err:
            yield f"{k.SITES}/{site}{k.PEM}: no public key ({err})"
            continue
        if not is_as_compared:
            yield f"{k.SITES}/{site}{k.PEM}: not the text that `fedcxr provision` wrote"
        if public in site_by_key:
            yield f"{site_by_key[public]} and {site} have the same key ({fingerprint(public)})"
        site_by_key.setdefault(public, site)


def _site_faults(folder: Path, now: datetime) -> Iterator[str]:
    authority = _certificate(folder / k.CA_CRT)
    if isinstance(authority, str):
        yield authority
    else:
        yield from (f"{k.CA_CRT}: {fault}" for fault in faults_in_time(authority, now))
    try:
        read_node_key((folder / k.NODE_KEY).read_bytes())
    except ValueError as err:
        yield f"{k.NODE_KEY}: no private key that a node can use ({err})"


def read_token(folder: Path) -> str:
    """Return the secret of the server's kit, which runs are started with."""
    return (folder / k.CONTROL_TOKEN).read_text("ascii", "replace").strip()


def _certificate(file: Path) -> x509.Certificate | str:
    """Return a file's certificate, or why it holds none."""
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except ValueError:
        return f"{file.name}: no certificate"


def _checked(folder: Path, config: KitConfig) -> CheckedKit:
    files = [folder / k.CA_CRT]
    if isinstance(config, ServerKitConfig):
        files.append(folder / k.SERVER_CRT)
        sites, key = tuple(k.known_keys(folder)), ""
    else:
        sites, key = (), fingerprint(read_node_key((folder / k.NODE_KEY).read_bytes()).public)
    ends = [x509.load_pem_x509_certificate(f.read_bytes()).not_valid_after_utc for f in files]
    return CheckedKit(folder, config, min(ends), key, sites)


def _mend(config: KitConfig) -> str:
    if isinstance(config, ServerKitConfig):
        return (
            "A new certificate: `fedcxr provision --renew --out DEPLOYMENT`. Other files: take "
            "them from the kit as it was made."
        )
    return "Ask who runs the server for a new kit, or take the files from it as it was made."


def sites_in_words(sites: tuple[str, ...]) -> str:
    """Return how many sites there are, and who."""
    return f"{len(sites)} site{'' if len(sites) == 1 else 's'}: {some(list(sites))}"
