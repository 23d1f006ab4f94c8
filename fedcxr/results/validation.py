"""A file's tree against its type, with everything wrong told in words."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from fedcxr.errors import ArtefactError, some

Model = TypeVar("Model", bound=BaseModel)

_LONGEST = 40


def what_misfits(model: type[Model], tree: Mapping[str, Any]) -> tuple[Model | None, list[str]]:
    """Return the tree as its type, or where it does not fit: `arms[0].title is 3, …`."""
    try:
        return model.model_validate(tree), []
    except ValidationError as err:
        return None, [_words(each) for each in err.errors(include_url=False)]


def read_typed(path: Path, model: type[Model], mend: str) -> Model:
    """Return what a JSON file holds, as its type.

    Args:
        path: of the file.
        model: the type.
        mend: what to do where it is not so; a sentence.

    Raises:
        ArtefactError: it is missing, unreadable, not JSON, or does not fit.
    """
    try:
        tree = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as err:
        raise ArtefactError(f"{path}: missing. {mend}") from err
    except OSError as err:
        raise ArtefactError(f"{path}: cannot be read ({err.strerror}). {mend}") from err
    except ValueError as err:
        raise ArtefactError(f"{path}: cannot be read: not JSON ({err}). {mend}") from err
    found, wrong = what_misfits(model, tree)
    if found is None:
        raise ArtefactError(f"{path}: {some(wrong)}. {mend}")
    return found


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
