"""From YAML, flags and `--set` to one frozen `ExperimentConfig`, all mistakes reported together.

Order, later wins: the class defaults, the preset, the verb's own, the file, the overrides. YAML is
foreign matter: safe tags only, no duplicate keys, no aliases (a few lines of them can expand to
gigabytes), and no file over 256 KiB.
"""

import difflib
import importlib.resources
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.errors import ConfigError
from fedcxr.filenames import readable
from fedcxr.home import expanded

MAX_YAML_BYTES = 256 * 1024

_NO_DRAWS = "intervals are computed without drawing patients anew. Leave it out"
REMOVED = dict.fromkeys(("server.bootstrap", "compare.resamples"), _NO_DRAWS)
"""Keys that there were, and why they are gone: what a finished run wrote is read without them."""


def load_config(
    preset: str = "quickstart",
    file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    settings: Iterable[str] = (),
    *,
    verb: Mapping[str, Any] | None = None,
) -> ExperimentConfig:
    """Return the checked configuration of a run.

    Args:
        preset: a name in `configs/`.
        file: a YAML file laid over the preset.
        overrides: values by dotted key (`"train.learning_rate"`), laid over the file.
        settings: `key=value` texts as given to `--set`; the value is read as YAML.
        verb: values by dotted key that a verb sets where the file does not, laid over the preset.

    Raises:
        ConfigError: an unknown preset, unreadable YAML, unknown keys or values out of range; all
            wrong keys are named in one message.
    """
    tree = _overlay(parse_yaml(preset_text(preset), f"preset {preset}"), _tree_of(verb or {}))
    if file is not None:
        tree = _overlay(tree, parse_yaml(read_yaml_text(expanded(file)), str(file)))
    values = {**(overrides or {}), **parse_settings(settings)}
    return check_config(_overlay(tree, _tree_of(values)))


def check_config(tree: Mapping[str, Any]) -> ExperimentConfig:
    """Return `tree` as a configuration; `ConfigError` names every wrong key."""
    try:
        return ExperimentConfig.model_validate(tree)
    except ValidationError as err:
        lines = [_explain(problem) for problem in err.errors()]
        raise ConfigError("The configuration is wrong:\n  " + "\n  ".join(lines)) from err


def by_key(config: ExperimentConfig) -> dict[str, object]:
    """Return every value of a configuration by its dotted key; an empty mapping has none.

    >>> by_key(check_config({"data": {"uncertain_by_label": {"Edema": "ones"}}}))[
    ...     "data.uncertain_by_label.Edema"
    ... ]
    'ones'
    """
    return _by_key(config.model_dump(mode="json"), "")


def read_config(path: Path) -> ExperimentConfig:
    """Return the configuration that a run wrote as `config.yaml`, also an older fedcxr's."""
    tree = parse_yaml(read_yaml_text(path), str(path))
    for key in REMOVED:
        section, _, name = key.partition(".")
        if isinstance(tree.get(section), dict):
            tree[section].pop(name, None)
    return check_config(tree)


def overlay_file(config: ExperimentConfig, path: Path) -> ExperimentConfig:
    """Return a configuration with a YAML file laid over it; `ConfigError` as from `load_config`."""
    tree = parse_yaml(read_yaml_text(expanded(path)), str(path))
    return check_config(_overlay(config.model_dump(mode="json"), tree))


def with_values(config: ExperimentConfig, values: Mapping[str, object]) -> ExperimentConfig:
    """Return a configuration with some values changed, by dotted key."""
    return check_config(_overlay(config.model_dump(mode="json"), _tree_of(values)))


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Return the values of `key=value` texts by dotted key; `ConfigError` for any other text."""
    parsed = {}
    for text in settings:
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"--set {text}: expected key=value, as in train.learning_rate=3e-4.")
        parsed[key.strip()] = _scalar(value.strip(), text)
    return parsed


def setting_text(key: str, value: object) -> str:
    """Return `key=value` as `parse_settings` reads it back.

    >>> parse_settings([setting_text("train.learning_rate", 3e-5)])
    {'train.learning_rate': 3e-05}
    """
    return f"{key}={json.dumps(value)}"


def to_yaml(config: ExperimentConfig) -> str:
    """Return the whole configuration as YAML, defaults included."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def preset_names() -> list[str]:
    """Return the names of the presets."""
    folder = importlib.resources.files("configs")
    return sorted(
        p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml")
    )


def preset_text(name: str) -> str:
    """Return a preset's YAML; `ConfigError` with the nearest name if there is none."""
    names = preset_names()
    if name not in names:
        raise ConfigError(
            f"There is no preset '{name}'{did_you_mean(name, names)}. Presets: {', '.join(names)}."
        )
    return importlib.resources.files("configs").joinpath(f"{name}.yaml").read_text("utf-8")


def parse_yaml(text: str, source: str, *, as_text: bool = False) -> dict[str, Any]:
    """Return the mapping in `text`; `ConfigError` for anything but plain, unambiguous YAML.

    Args:
        text: of the file.
        source: its name, for messages.
        as_text: read every value as it is spelled, so that `007`, `1.0` and `no` stay so.
    """
    if len(text.encode()) > MAX_YAML_BYTES:
        raise ConfigError(
            f"{source}: larger than {MAX_YAML_BYTES // 1024} KiB; "
            "a configuration is a page of text. Check the file's name."
        )
    try:
        tree = yaml.load(text, _TextLoader if as_text else _StrictLoader)
    except yaml.YAMLError as err:
        raise ConfigError(f"{source}: not plain YAML: {' '.join(str(err).split())}") from err
    except (ValueError, KeyError, AttributeError) as err:
        # PyYAML's own readers of !!int, !!bool and dates raise these, as for 2024-13-45
        raise ConfigError(f"{source}: not plain YAML: {' '.join(str(err).split())[:200]}") from err
    except RecursionError as err:
        raise ConfigError(f"{source}: nested too deeply to be a configuration.") from err
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{source}: expected 'key: value' lines, found a {type(tree).__name__}.")
    return tree


class _StrictLoader(yaml.SafeLoader):
    """A SafeLoader that refuses aliases and duplicate keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # yaml has no types here
            raise yaml.YAMLError(
                f"line {event.start_mark.line + 1}: aliases (*{event.anchor}) "
                "are not read; write the value out"
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            if key_node.value in seen:
                raise yaml.YAMLError(
                    f"line {key_node.start_mark.line + 1}: "
                    f"key '{key_node.value}' is given twice; keep one"
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


class _TextLoader(_StrictLoader):
    """The same, without the guesses at what a plain value is."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # as PyYAML declares it


def read_yaml_text(path: Path) -> str:
    """Return the text of a YAML file; `ConfigError` where it cannot be read, or is too long."""
    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            raise ConfigError(
                f"{path}: larger than {MAX_YAML_BYTES // 1024} KiB; "
                "a configuration is a page of text. Check the file's name."
            )
        return path.read_text("utf-8")
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read ({err.strerror}). Check --config.") from err
    except UnicodeDecodeError as err:
        raise ConfigError(f"{path}: not UTF-8 text. Save it as UTF-8.") from err


def _scalar(value: str, source: str) -> object:
    """Read one value; YAML 1.1 takes `3e-4` for text, a user means the number."""
    if value != readable(value):
        return value  # a file name that is no UTF-8, which YAML does not take
    try:
        return float(value) if "e" in value.lower() else parse_yaml(f"x: {value}", source)["x"]
    except ValueError:
        return parse_yaml(f"x: {value}", source)["x"]


def _nest(key: str, value: object) -> dict[str, Any]:
    first, *rest = key.split(".", 1)
    return {first: _nest(rest[0], value) if rest else value}


def _overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    joined = dict(below)
    for key, value in above.items():
        old = joined.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            joined[key] = _overlay(_kept(key, old, value), value)
        else:
            joined[key] = value
    return joined


def _tree_of(values: Mapping[str, object]) -> dict[str, Any]:
    """Return values by dotted key as one tree."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        tree = _overlay(tree, _nest(key, value))
    return tree


def _kept(key: str, old: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what stays below: of another algorithm than the one above nothing does."""
    is_another = key == "algorithm" and {"name"} <= old.keys() & value.keys()
    return {} if is_another and old["name"] != value["name"] else old


def _explain(problem: ErrorDetails) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "value_error":  # two keys that do not go together
        return f"{where}: {problem['msg'].removeprefix('Value error, ')}."
    if problem["type"] != "extra_forbidden":
        return f"{where} = {problem['input']!r}: {problem['msg']}."
    if where in REMOVED:
        return f"{where}: there is no such key any more: {REMOVED[where]}."
    known = _fields_at(problem["loc"][:-1])
    hint = did_you_mean(str(problem["loc"][-1]), known)
    return f"{where}: there is no such key{hint}. Keys here: {', '.join(known)}."


def _fields_at(location: tuple[str | int, ...]) -> list[str]:
    section: type[BaseModel] = ExperimentConfig
    for part in location:
        annotation = section.model_fields[str(part)].annotation
        for one in (annotation, *get_args(annotation)):  # a section, or one that may be left out
            if isinstance(one, type) and issubclass(one, BaseModel):
                section = one
    return list(section.model_fields)


def did_you_mean(word: str, known: list[str]) -> str:
    """Return ` (did you mean 'x'?)` for the known word nearest to `word`, or nothing."""
    near = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _by_key(tree: Mapping[str, object], above: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= _by_key(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = value
    return found
