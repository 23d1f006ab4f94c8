"""What `kit.yaml` says: the facts of a server's or a site's start-up kit that are no secret."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, ValidationError

from fedcxr.config.load import parse_yaml
from fedcxr.config.vae import VAE_NUMBERS
from fedcxr.errors import ConfigError
from fedcxr.section import Section

KIT_YAML = "kit.yaml"
RESERVED = ("server", "authority")
"""Folders of a deployment that no site can be named after."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]+)):(?P<port>\d{1,5})")


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`; an IPv6 host stands in brackets.

    >>> parse_address("fl.example.org:9092"), parse_address("[::1]:9092")
    (('fl.example.org', 9092), ('::1', 9092))

    Raises:
        ValueError: it is no such text.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or not 1 <= int(found["port"]) <= 65535:
        raise ValueError(f"{text!r} is not HOST:PORT, as in fl.example.org:9092 or [::1]:9092")
    return found["v6"] or found["host"], int(found["port"])


def check_site_name(name: str) -> str:
    """Return the name of a site; `ValueError` where it cannot be that of a folder everywhere."""
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise ValueError(
            f"{name!r} cannot name a site: letters, digits, '.', '_' and '-', a letter or digit "
            f"first, 64 at most, and not {' or '.join(RESERVED)}"
        )
    return name


def _check_address(text: str) -> str:
    parse_address(text)
    return text


def _check_vae_numbers(text: str) -> str:
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in VAE_NUMBERS]
    if text not in ("all", "none") and unknown:
        raise ValueError(f"{unknown[0]!r} is no number of a VAE: {', '.join(VAE_NUMBERS)}")
    return text


Address = Annotated[str, AfterValidator(_check_address)]
SiteName = Annotated[str, AfterValidator(check_site_name)]


class ServerKitConfig(Section):
    """The server's `kit.yaml`."""

    kit: Literal["server"] = "server"
    address: Address
    """Where the sites reach the server."""


class SiteKitConfig(Section):
    """A site's `kit.yaml`; its owner may change all but the first three."""

    kit: Literal["site"] = "site"
    site: SiteName
    """The site's name in the plan, bound to the kit's key."""
    server: Address
    vae_numbers: Annotated[str, AfterValidator(_check_vae_numbers)] = "none"
    """Which numbers of its own VAE the site lets out: all, none, or names with commas between."""


KitConfig = ServerKitConfig | SiteKitConfig


def kit_yaml(config: KitConfig) -> str:
    """Return the text of a `kit.yaml`."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def read_kit_yaml(folder: Path) -> KitConfig:
    """Return what a kit's `kit.yaml` says.

    Raises:
        ConfigError: it is not there, or a key is missing, unknown or out of range; all of them are
            named.
    """
    file = folder / KIT_YAML
    try:
        tree: dict[str, Any] = parse_yaml(file.read_text("utf-8"), str(file))
    except OSError as err:
        raise ConfigError(
            f"{file}: cannot be read ({err.strerror}). Give the folder of a kit that "
            "`fedcxr provision` made, such as deploy/server or deploy/site-00."
        ) from err
    except UnicodeDecodeError as err:
        raise ConfigError(f"{file}: not UTF-8 text. Take it from the kit as it was made.") from err
    kind = tree.get("kit")
    if kind not in ("server", "site"):
        raise ConfigError(f"{file}: 'kit' is {kind!r}; expected server or site.")
    try:
        if kind == "server":
            return ServerKitConfig.model_validate(tree)
        return SiteKitConfig.model_validate(tree)
    except ValidationError as err:
        lines = [_explained(problem["loc"], problem["msg"]) for problem in err.errors()]
        raise ConfigError(f"{file} is wrong:\n  " + "\n  ".join(lines)) from err


def _explained(place: tuple[str | int, ...], message: str) -> str:
    where = ".".join(str(part) for part in place)
    return f"{where}: {message.removeprefix('Value error, ')}."
