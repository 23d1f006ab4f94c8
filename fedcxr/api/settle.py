"""From keyword arguments to a configuration: the flags of a verb, and any key by `set`.

A keyword is a flag's name with underscores, and takes what the flag takes or the Python value that
is meant: a list for what has commas, a `Path`, and for a model, a loss and the like the object.
"""

import difflib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from fedcxr.api.own_parts import PART_KEYS, name_of_part
from fedcxr.cli.flags import FLAGS, with_choices
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.flag import FlaggedKey
from fedcxr.config.load import by_key, load_config
from fedcxr.errors import ConfigError
from fedcxr.home import expanded

BESIDE = ("preset", "config", "set", "progress")
"""Keywords of a verb that are no key's flag."""


def settled(
    keywords: Mapping[str, Any],
    known: Collection[str],
    *,
    verb: str,
    preset: str = "quickstart",
    config: str | os.PathLike[str] | None = None,
    changes: Mapping[str, Any] | None = None,
    beside: Collection[str] = BESIDE,
) -> ExperimentConfig:
    """Return the configuration: the preset, then the file, the keywords, and `set`.

    Args:
        keywords: as they were given; None = not given.
        known: names of the flags that the verb has.
        verb: its name, for messages.
        preset: a name in `configs/`.
        config: a YAML file over it.
        changes: values by dotted key, or by section and key.
        beside: the verb's other keywords, for messages.

    Raises:
        ConfigError: an unknown keyword or key, a value out of range, or one given twice.
    """
    check_known(keywords, known, verb=verb, beside=beside)
    given = {name: value for name, value in keywords.items() if value is not None}
    values = {FLAGS[name].key: _value_of(FLAGS[name], value) for name, value in given.items()}
    changed = {key: _plain(key, value) for key, value in (changes or {}).items()}
    for name in given:
        if FLAGS[name].key in changed:
            raise ConfigError(
                f"{verb}: {name} and set={{'{FLAGS[name].key}': …}} are one key. Give one of them."
            )
    file = None if config is None else expanded(os.fspath(config))
    return load_config(preset, file, {**with_choices(values), **changed})


def check_known(
    keywords: Mapping[str, Any], known: Collection[str], *, verb: str, beside: Collection[str]
) -> None:
    """Raise ConfigError for a keyword that the verb does not have; names the nearest."""
    for name in keywords:
        if name in known:
            continue
        near = difflib.get_close_matches(name, [*known, *beside], n=3)
        keys = [key for key in by_key(ExperimentConfig()) if key.rpartition(".")[2] == name]
        if keys and "set" in beside:
            mend = f"It is a key of the configuration: set={{'{keys[0]}': …}}."
        elif near:
            mend = f"The nearest are {', '.join(near)}."
        else:
            mend = f"help(fedcxr.{verb}) lists them."
        raise ConfigError(f"{verb}: there is no keyword {name!r}. {mend}")


def _value_of(flagged: FlaggedKey, value: Any) -> Any:  # noqa: ANN401  # checked by the config
    """Return a keyword's value as the configuration takes it."""
    if flagged.is_repeated:
        one_by_one = [value] if isinstance(value, str | os.PathLike) else list(value)
        values = [_one(flagged, one) for one in one_by_one]
        return values[0] if len(values) == 1 else values
    if flagged.is_list:
        parts = value.split(",") if isinstance(value, str) else value
        parts = parts if isinstance(parts, list | tuple) else [parts]
        return [one.strip() if isinstance(one, str) else _plain(flagged.key, one) for one in parts]
    return _one(flagged, value)


def _one(flagged: FlaggedKey, value: Any) -> Any:  # noqa: ANN401  # checked by the config
    if flagged.is_path:
        return str(expanded(os.fspath(value)).absolute())
    return _plain(flagged.key, value)


def _plain(key: str, value: Any) -> Any:  # noqa: ANN401  # checked by the config
    """Return a value as YAML could hold it; an own model or the like by its name."""
    if key in PART_KEYS and not isinstance(value, str):
        return name_of_part(key, value)
    if isinstance(value, Mapping):
        above = f"{key}." if key else ""
        return {name: _plain(f"{above}{name}", inner) for name, inner in value.items()}
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item") and callable(value.item):  # a NumPy number
        return value.item()
    return value
