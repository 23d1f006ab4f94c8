"""A file's tree against its type, with everything wrong told in words."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)

_LONGEST = 40


def what_misfits(model: type[Model], tree: Mapping[str, Any]) -> tuple[Model | None, list[str]]:
    """Return the tree as its type, or where it does not fit: `arms[0].title is 3, …`."""
    try:
        return model.model_validate(tree), []
    except ValidationError as err:
        return None, [_words(each) for each in err.errors(include_url=False)]


def _words(error: Mapping[str, Any]) -> str:
    where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in error["loc"])
    place = where.removeprefix(".") or "the file"
    if error["type"] == "missing":
        return f"{place} is missing"
    if error["type"] == "extra_forbidden":
        return f"{place} is not known"
    text = repr(error["input"])
    short = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"{place} is {short}: {message}"
