"""Making a deployment's kits, and changing who belongs to it.

Nothing that is there is written over without being asked for: a new deployment, and a new site's
kit, want a name that is free. `--revoke` and `--renew` change the server's kit alone.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedcxr.config.kit import (
    KIT_YAML,
    ServerKitConfig,
    SiteKitConfig,
    check_site_name,
    kit_yaml,
    parse_address,
    read_kit_yaml,
)
from fedcxr.deploy import kit_files as k
from fedcxr.deploy.certificates import (
    Certified,
    certify_server,
    faults_in_time,
    make_authority,
    read_certified,
    utc_now,
)
from fedcxr.deploy.node_keys import new_node_key
from fedcxr.errors import ArtefactError, ConfigError, NetworkError, some
from fedcxr.storage import writing

_SERVER_README = """\
Start-up kit of the server ({address}): keep it on the server's machine, for its owner only.
Check it with `fedcxr kit check .`, start the server with `fedcxr server start --kit .`.
"""
_SITE_README = """\
Start-up kit of {site} for the server {address}: node.key says who you are, show it to nobody.
Check it with `fedcxr kit check .`, take part with `fedcxr client start --kit . --data FOLDER`.
"""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment's folder with what the next step needs of it."""

    folder: Path
    address: str

    @property
    def server(self) -> Path:
        """The server's kit."""
        return self.folder / k.SERVER


def site_names(sites: str) -> list[str]:
    """Return the names of `--sites`: a number makes site-00, site-01 …; or names with commas.

    >>> site_names("2"), site_names("st-mary,charite")
    (['site-00', 'site-01'], ['st-mary', 'charite'])

    Raises:
        ConfigError: no site, a name that cannot be one, or one name twice.
    """
    text = sites.strip()
    if text.isdecimal():
        if len(text) > 4:
            raise ConfigError(f"--sites {text}: at most 9999 at once.")
        names = [f"site-{number:02d}" for number in range(int(text))]
    else:
        names = [name.strip() for name in sites.split(",")]
    if not names:
        raise ConfigError("--sites 0: a deployment has at least one site.")
    for name in names:
        _checked(name)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"--sites names {some(twice)} twice. Give each site a name of its own.")
    return names


def new_deployment(
    out: Path, address: str, sites: Sequence[str], now: datetime | None = None
) -> Deployment:
    """Make a deployment: an authority, the server's kit and one for each site.

    Args:
        out: its folder, which must not exist.
        address: `HOST:PORT` where the sites reach the server.
        sites: their names.
        now: the certificates' beginning; none = now.

    Raises:
        ConfigError: `address` is none.
        ArtefactError: `out` is there already.
        StorageError: it cannot be written; nothing is left.
    """
    try:
        host, _ = parse_address(address)
    except ValueError as err:
        raise ConfigError(f"--server: {err}.") from err
    moment = now or utc_now()

    def fill(folder: Path) -> None:
        authority = make_authority(moment)
        k.make_private_folder(folder / k.AUTHORITY)
        k.write_open(folder / k.AUTHORITY / k.CA_CRT, authority.certificate_pem)
        k.write_secret(folder / k.AUTHORITY / k.CA_KEY, authority.key_pem)
        _write_server_kit(folder / k.SERVER, authority, address, host, moment)
        for site in sites:
            _write_site_kit(folder / site, folder / k.SERVER, site, address)

    k.make_whole_folder(out, fill)
    return Deployment(out, address)


def open_deployment(folder: Path) -> Deployment:
    """Return the deployment in a folder; `ConfigError` where there is none."""
    if not (folder / k.SERVER).is_dir():
        raise ConfigError(
            f"{folder}: no deployment (no {k.SERVER}/ in it). Give --out the folder that "
            "`fedcxr provision --sites …` made."
        )
    config = read_kit_yaml(folder / k.SERVER)
    if not isinstance(config, ServerKitConfig):
        raise ConfigError(f"{folder / k.SERVER}: the kit of a site, not of a server.")
    return Deployment(folder, config.address)


def add_site(deployment: Deployment, site: str) -> Path:
    """Make the kit of one more site and return its folder.

    Raises:
        ConfigError: the name cannot be a site's.
        ArtefactError: there is a site of this name.
    """
    _checked(site)
    if k.public_key_file(deployment.server, site).exists():
        raise ArtefactError(
            f"{site} is a site of this deployment. To give it a new key: --revoke {site}, move its "
            "old kit away, and add it again."
        )
    kit = deployment.folder / site
    if kit.exists():
        raise ArtefactError(f"{kit}: is there already. Move it away, and add the site again.")
    _write_site_kit(kit, deployment.server, site, deployment.address)
    return kit


def revoke_site(deployment: Deployment, site: str) -> Path:
    """Take a site's key off the server's list and return where it is kept.

    Raises:
        ConfigError: no such site.
    """
    _checked(site)
    file = k.public_key_file(deployment.server, site)
    if not file.is_file():
        known = some(sorted(k.known_keys(deployment.server)))
        raise ConfigError(f"--revoke {site}: no site of this deployment. Its sites: {known}.")
    folder = deployment.server / k.REVOKED
    with writing(folder):
        folder.mkdir(exist_ok=True)
        kept = next(
            path
            for number in range(1, 10_000)
            if not (path := folder / f"{site}-{number}{k.PEM}").exists()
        )
        file.rename(kept)
    return kept


def renew_server(deployment: Deployment, now: datetime | None = None) -> Certified:
    """Give the server a new key and certificate from the same authority, which all sites trust.

    Raises:
        ConfigError: the authority's key is not here.
        NetworkError: the authority itself has expired.
    """
    moment = now or utc_now()
    authority = open_authority(deployment)
    faults = faults_in_time(authority.certificate, moment)
    if faults:
        raise NetworkError(
            f"{deployment.folder / k.AUTHORITY / k.CA_CRT}: {faults[0]}. Provision a new "
            "deployment and hand out its kits."
        )
    host, _ = parse_address(deployment.address)
    server = certify_server(authority, host, moment)
    # Two files cannot be replaced at once: of a crash between them `fedcxr kit check` says that
    # they do not belong together, and this can be done again.
    k.write_secret(deployment.server / k.SERVER_KEY, server.key_pem)
    k.write_open(deployment.server / k.SERVER_CRT, server.certificate_pem)
    return server


def _checked(site: str) -> None:
    try:
        check_site_name(site)
    except ValueError as err:
        raise ConfigError(f"{err}.") from err


def open_authority(deployment: Deployment) -> Certified:
    """Return a deployment's authority.

    Raises:
        ConfigError: it is not here.
        NetworkError: its files are damaged.
    """
    folder = deployment.folder / k.AUTHORITY
    try:
        return read_certified((folder / k.CA_CRT).read_bytes(), (folder / k.CA_KEY).read_bytes())
    except OSError as err:
        raise ConfigError(
            f"{err.filename}: cannot be read ({err.strerror}). Only where the deployment was made "
            "is its authority; renew it there."
        ) from err
    except ValueError as err:
        raise NetworkError(
            f"{folder}: no authority ({err}). Take the folder as `fedcxr provision` made it."
        ) from err


def _write_server_kit(
    kit: Path, authority: Certified, address: str, host: str, now: datetime
) -> None:
    server = certify_server(authority, host, now)
    k.make_private_folder(kit)
    k.make_private_folder(kit / k.SITES)
    k.write_open(kit / KIT_YAML, kit_yaml(ServerKitConfig(address=address)).encode())
    k.write_open(kit / k.CA_CRT, authority.certificate_pem)
    k.write_open(kit / k.SERVER_CRT, server.certificate_pem)
    k.write_secret(kit / k.SERVER_KEY, server.key_pem)
    k.write_secret(kit / k.CONTROL_TOKEN, secrets.token_hex(k.TOKEN_BYTES).encode() + b"\n")
    k.write_open(kit / k.README, _SERVER_README.format(address=address).encode())


def _write_site_kit(kit: Path, server_kit: Path, site: str, address: str) -> None:
    """Make a site's kit whole, then let the server know its key."""
    key = new_node_key()

    def fill(folder: Path) -> None:
        config = SiteKitConfig(site=site, server=address)
        k.write_open(folder / KIT_YAML, kit_yaml(config).encode())
        k.write_open(folder / k.CA_CRT, (server_kit / k.CA_CRT).read_bytes())
        k.write_secret(folder / k.NODE_KEY, key.private)
        readme = _SITE_README.format(site=site, address=address)
        k.write_open(folder / k.README, readme.encode())

    k.make_whole_folder(kit, fill)
    k.write_open(k.public_key_file(server_kit, site), key.public)
