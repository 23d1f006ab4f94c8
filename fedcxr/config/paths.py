"""Paths in the configuration: a `~` at their beginning is expanded once, at the door."""

from typing import Annotated

from pydantic import AfterValidator

from fedcxr.errors import ConfigError
from fedcxr.home import expanded


def _expand(text: str) -> str:
    if not text.startswith("~"):
        return text
    try:
        return str(expanded(text))
    except ConfigError as err:  # pydantic adds the key, and the other mistakes
        raise ValueError(str(err).removesuffix(".")) from err


PathText = Annotated[str, AfterValidator(_expand)]
"""A path as text: relative to the working folder, absolute, or below `~` or `~user`."""
