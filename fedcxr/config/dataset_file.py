"""What `dataset.yaml` says of a folder of one's own: which column of its table means what.

Every value is text as it is spelled, since identifiers and cells are text. Each key keeps its line,
so that whoever finds that the table is otherwise can name the line to change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fedcxr.config.dataset_sections import (
    AgeColumn,
    BoxTable,
    DatasetConfig,
    DicomRules,
    FindingsColumn,
    JoinedTable,
    LabelRules,
    PathColumn,
    SexColumn,
    SplitColumn,
    ValueRules,
    ViewColumn,
)
from fedcxr.config.load import did_you_mean, parse_yaml, read_yaml_text
from fedcxr.errors import ConfigError


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """A `dataset.yaml` that was read."""

    file: Path
    says: DatasetConfig
    lines: Mapping[tuple[str, ...], int]
    """By key, the line that it stands in, from 1."""

    def at(self, *key: str) -> str:
        """Return where a key stands, for messages, or where it would."""
        name = ".".join(key)
        if key in self.lines:
            return f"{self.file}: line {self.lines[key]} ({name})"
        if key[:-1] in self.lines:
            return f"{self.file}: line {self.lines[key[:-1]]} (no {name} yet)"
        return f"{self.file} (no {name} yet)"


def read_dataset_file(file: Path) -> DatasetFile:
    """Return what a `dataset.yaml` says.

    Raises:
        ConfigError: it cannot be read, or a key is missing, unknown or wrong; each is named with
            its line.
    """
    text = read_yaml_text(file)
    tree = parse_yaml(text, str(file), as_text=True)
    lines = _lines_of(text)
    try:
        says = DatasetConfig.model_validate(tree)
    except ValidationError as err:
        problems = [_explained(one["loc"], one["msg"], one["type"], lines) for one in err.errors()]
        raise ConfigError(f"{file} is wrong:\n  " + "\n  ".join(problems)) from err
    found = DatasetFile(file, says, lines)
    _check_words(found)
    return found


def _check_words(found: DatasetFile) -> None:
    """Raise ConfigError where a word would mean two things, or a label has no column or words."""
    says = found.says
    for label, own in says.labels.items():
        where = found.at("labels", label)
        if says.findings is None and own.column is None:
            raise ConfigError(f"{where}: names no column. Add `column`, or a key `findings`.")
        if says.findings is not None and (own.absent or own.blank):
            raise ConfigError(
                f"{where}: `absent` and `blank` are of labels with a column each; in a column of "
                f"findings what is not listed is absent. Take them out."
            )
        words = says.rules_of(label)
        if says.findings is not None:
            words |= {"none": says.findings.none, "ignored": says.findings.ignored}
            words["incomplete"] = says.findings.incomplete
        _check_once(where, words)
    if says.view.column is not None:
        names = ("frontal", "lateral", "other")
        _check_once(found.at("view"), {name: getattr(says.view, name) for name in names})
    for name, rules in (("sex", says.sex), ("split", says.split)):
        if rules is not None:
            words = rules.model_dump()
            _check_once(found.at(name), {n: w for n, w in words.items() if n != "column"})


def _check_once(where: str, meanings: Mapping[str, tuple[str, ...]]) -> None:
    seen: dict[str, str] = {}
    for meaning, words in meanings.items():
        for word in words:
            other = seen.setdefault(word.casefold(), meaning)
            if other != meaning:
                raise ConfigError(
                    f"{where}: {word!r} would mean both {other} and {meaning}. Keep it in one."
                )


def _lines_of(text: str) -> dict[tuple[str, ...], int]:
    """Return the line of every key; the text is one that `parse_yaml` has taken."""
    lines: dict[tuple[str, ...], int] = {}

    def visit(node: yaml.Node | None, above: tuple[str, ...]) -> None:
        if isinstance(node, yaml.SequenceNode):
            for value in node.value:
                visit(value, above)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*above, str(key.value))
                lines[here] = key.start_mark.line + 1
                visit(value, here)

    visit(yaml.compose(text, yaml.SafeLoader), ())
    return lines


def _explained(
    place: tuple[str | int, ...],
    message: str,
    kind: str,
    lines: Mapping[tuple[str, ...], int],
) -> str:
    key = tuple(str(part) for part in place if not isinstance(part, int) and part)
    known = next((key[:end] for end in range(len(key), 0, -1) if key[:end] in lines), ())
    where = f"line {lines[known]}: " if known else ""
    name = ".".join(key)
    if kind == "extra_forbidden":
        keys = _keys_at(key[:-1])
        hint = did_you_mean(key[-1], keys)
        return f"{where}{name}: there is no such key{hint}. Keys here: {', '.join(keys)}."
    return f"{where}{name or 'labels'}: {message.removeprefix('Value error, ')}."


def _keys_at(place: tuple[str, ...]) -> list[str]:
    sections: dict[str, Any] = {
        "path": PathColumn,
        "view": ViewColumn,
        "sex": SexColumn,
        "split": SplitColumn,
        "labels": LabelRules,
        "values": ValueRules,
        "findings": FindingsColumn,
        "dicom": DicomRules,
        "age": AgeColumn,
        "join": JoinedTable,
        "boxes": BoxTable,
    }
    section = sections.get(place[0], DatasetConfig) if place else DatasetConfig
    return list(section.model_fields)
