"""From the keys of the configuration to the flags of a verb, and from what was given back to keys.

Which key has a flag is said beside the key (`fedcxr/config/flag.py`). A flag that was not given
changes nothing.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any

import typer

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.flag import FlaggedKey, flagged_keys
from fedcxr.config.load import load_config
from fedcxr.errors import ConfigError
from fedcxr.home import expanded

FLAGS = {flagged.parameter: flagged for flagged in flagged_keys(ExperimentConfig)}
"""By the name of the verb's parameter, in the order of the configuration."""

COMPARE_FLAGS = tuple(name for name in FLAGS if name != "min_sites")
"""Those of a comparison: all but the one of `fedcxr run` alone."""

RUN_FLAGS = tuple(name for name in COMPARE_FLAGS if FLAGS[name].section != "compare")
"""Those of a single simulation."""

PARTITION_FLAGS = tuple(
    name
    for name, flagged in FLAGS.items()
    if flagged.section == "partition" and flagged.key != "partition.folder"
)
"""How a partition is made."""

_PANELS = {
    "": None,
    "data": "Data",
    "partition": "Partition",
    "engine": "Engine",
    "compare": "Comparison",
    "track": "Trackers",
}
"""Of the help, by section; every other section is of the training."""


def option_of(name: str) -> typer.models.OptionInfo:
    """Return the option of a flag: its name, help and panel."""
    flagged = FLAGS[name]
    panel = _PANELS.get(flagged.section, "Training")
    option: typer.models.OptionInfo = typer.Option(
        flagged.name, help=flagged.help, rich_help_panel=panel
    )
    return option


def takes_flags(verb: Callable[..., None], names: Iterable[str]) -> None:
    """Give a verb that ends in `**flags` a parameter for each flag, where typer looks for it."""
    parameters = [p for p in inspect.signature(verb).parameters.values() if p.name != "flags"]
    for name in names:
        kind: Any = Annotated[_type_of(FLAGS[name]), option_of(name)]
        verb.__annotations__[name] = kind
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(name, keyword, default=None, annotation=kind))
    signature = inspect.Signature(parameters)
    verb.__signature__ = signature  # type: ignore[attr-defined]  # typer looks there


def config_from_flags(
    flags: Mapping[str, Any],
    *,
    preset: str,
    file: Path | None,
    settings: list[str],
    verb: Mapping[str, Any] | None = None,
) -> ExperimentConfig:
    """Return the configuration: preset, then the verb's own, file, flags, and `--set`."""
    given = {
        FLAGS[name].key: _value_of(FLAGS[name], value)
        for name, value in flags.items()
        if value not in (None, [])
    }
    return load_config(preset, file, with_choices(given), settings, verb=verb)


def with_choices(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by key with what they choose: a scheme's own parameter chooses the scheme.

    Raises:
        ConfigError: another is chosen.
    """
    given = dict(given)
    by_key = {flagged.key: flagged for flagged in FLAGS.values()}
    for flagged in FLAGS.values():
        if flagged.key not in given or flagged.chooses is None:
            continue
        key, choice = flagged.chooses
        if given.setdefault(key, choice) != choice:
            raise ConfigError(
                f"{flagged.name} belongs to {by_key[key].name} {choice}, not to {given[key]}: "
                "leave one of the two out."
            )
    return given


def flags_from(config: ExperimentConfig, names: Iterable[str]) -> list[str]:
    """Return the words that give a configuration's values of some flags; none and off have none.

    >>> from fedcxr.config.load import check_config
    >>> flags_from(check_config({"data": {"labels": ["Edema", "Mass"]}}), ["views", "labels"])
    ['--views', 'frontal', '--labels', 'Edema,Mass']
    """
    words = []
    for flagged in (FLAGS[name] for name in names):
        value = attrgetter(flagged.key)(config)
        flag = flagged.name.partition("/")[0]
        if flagged.type is bool:
            words += [flag] * value
        elif isinstance(value, tuple):
            for one in value if flagged.is_repeated else [",".join(map(str, value))]:
                words += [flag, one]
        elif value is not None:
            words += [flag, str(value)]
    return words


def _type_of(flagged: FlaggedKey) -> Any:  # noqa: ANN401  # a type for typer, such as int | None
    """Return the type of a verb's parameter; what has commas is text until it is parted."""
    one: Any = str if flagged.is_list else flagged.type
    return list[one] | None if flagged.is_repeated else one | None


def _value_of(flagged: FlaggedKey, value: Any) -> Any:  # noqa: ANN401  # as typed, checked later
    """Return a flag's value as the configuration takes it."""
    if flagged.is_repeated:
        values = [_absolute(one) if flagged.is_path else one for one in value]
        return values[0] if len(values) == 1 else values
    if flagged.is_list:
        return [one.strip() for one in value.split(",") if one.strip()]
    return _absolute(value) if flagged.is_path else value


def _absolute(path: str) -> str:
    return str(expanded(path).absolute())
