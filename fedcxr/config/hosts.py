"""`hosts.yaml`: on which machines `fedcxr launch --hosts` starts a deployment."""

import re
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field, NonNegativeInt, ValidationError

from fedcxr.config.kit import SiteName
from fedcxr.config.load import parse_yaml
from fedcxr.errors import ConfigError
from fedcxr.section import Section

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]{0,254}")


def _check_host(text: str) -> str:
    # ssh would take a name that begins with '-' for an option
    if not _HOST.fullmatch(text):
        raise ValueError(f"{text!r} is no host as ssh takes one, such as me@gpu1.example.org")
    return text


def _check_place(text: str) -> str:
    if not PurePosixPath(text).is_absolute() or "\n" in text or "\0" in text:
        raise ValueError(f"{text!r} is no absolute path on that machine")
    return text


def _check_python(text: str) -> str:
    if not text or text.startswith("-") or "\n" in text or "\0" in text:
        raise ValueError(f"{text!r} is no Python of that machine")
    return text


Place = Annotated[str, AfterValidator(_check_place)]


class HostConfig(Section):
    """A machine that is reached by ssh."""

    host: Annotated[str, AfterValidator(_check_host)]
    """As ssh takes it; user, port and key are those of `~/.ssh/config`."""
    folder: Place
    """Where the kit lies on that machine, under its name: `FOLDER/site-00`."""
    python: Annotated[str, AfterValidator(_check_python)] = "python3"
    """Of the environment where fedcxr is installed there."""
    copy_kit: bool = False
    """Whether the kit is brought there, if it is not there yet."""


class SiteHostConfig(HostConfig):
    """A site's machine."""

    data: Place
    """The site's data there."""
    gpu: NonNegativeInt | None = None
    image_size: Annotated[int, Field(ge=16)] | None = None
    """Side in pixels to which its images are decoded before it connects."""


class HostsConfig(Section):
    """All machines."""

    server: HostConfig | None = None
    """None = the server is running already."""
    sites: dict[SiteName, SiteHostConfig] = Field(min_length=1)


def read_hosts(file: Path) -> HostsConfig:
    """Return what a `hosts.yaml` says.

    Raises:
        ConfigError: it cannot be read, or a key is missing, unknown or wrong; all are named.
    """
    try:
        tree = parse_yaml(file.read_text("utf-8"), str(file))
    except OSError as err:
        raise ConfigError(f"{file}: cannot be read ({err.strerror}).") from err
    except UnicodeDecodeError as err:
        raise ConfigError(f"{file}: not UTF-8 text.") from err
    try:
        return HostsConfig.model_validate(tree)
    except ValidationError as err:
        lines = [
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].removeprefix('Value error, ')}."
            for problem in err.errors()
        ]
        raise ConfigError(f"{file} is wrong:\n  " + "\n  ".join(lines)) from err
