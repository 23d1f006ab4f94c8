"""Verbs that take a flag for every key: their signatures, made from the table of keys."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from fedcxr.cli import options


def takes_flags(verb: Callable[..., None], flags: Iterable[str]) -> None:
    """Give a verb that ends in `**flags` a parameter for each flag, where typer looks for it.

    The type of the flag `score_by` is `options.ScoreBy`, and so on.
    """
    named = [p for p in inspect.signature(verb).parameters.values() if p.name != "flags"]
    for flag in flags:
        kind: Any = getattr(options, flag.title().replace("_", "") + "_" * flag.endswith("_"))
        verb.__annotations__[flag] = kind
        keyword = inspect.Parameter.KEYWORD_ONLY
        named.append(inspect.Parameter(flag, keyword, default=None, annotation=kind))
    verb.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]  # typer looks there
