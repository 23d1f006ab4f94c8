"""What `dataset.yaml` says of a folder of one's own: which column of its table means what.

Every value is text as it is spelled, since identifiers and cells are text. Each key keeps its line,
so that whoever finds that the table is otherwise can name the line to change.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from fedcxr.config.load import did_you_mean, parse_yaml, read_yaml_text
from fedcxr.errors import ConfigError
from fedcxr.section import Section

MAX_LABELS = 256

_LABEL = re.compile(r"\w[\w ()/&'+:-]{0,62}[\w)]|\w")
_TAKEN = frozenset(
    ("image_id", "patient_id", "study_id", "split", "view", "projection", "sex", "age", "path")
)
"""Columns of the tables that fedcxr writes, where labels stand beside them."""


def _as_column(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


def _as_words(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _as_label(value: object) -> object:
    return {"present": value} if isinstance(value, list) else _as_column(value)


def _check_inside(text: str) -> str:
    if text.startswith(("/", "~")) or "\\" in text or ".." in PurePosixPath(text).parts:
        raise ValueError("must lie in the folder of dataset.yaml: relative, with '/' and no '..'")
    return text.strip("/")


Name = Annotated[str, Field(min_length=1)]
Words = Annotated[tuple[str, ...], BeforeValidator(_as_words)]
Inside = Annotated[str, AfterValidator(_check_inside)]


class PathColumn(Section):
    """Where the images lie."""

    column: Name
    folder: Inside = ""
    """What the cells are relative to."""
    suffix: str = Field(default="", pattern=r"^(\.[A-Za-z0-9]+)?$")
    """What to add to each cell, such as .dcm."""


class ViewColumn(Section):
    """Which images are frontal and which lateral; without a column the DICOM header says it."""

    column: Name | None = None
    frontal: Words = ("frontal", "AP", "PA")
    lateral: Words = ("lateral", "LL", "RL", "LAT")
    unknown: Literal["frontal", "lateral", "left out"] | None = None
    """What an image is of which neither table nor header says it; none = an error."""


class SexColumn(Section):
    """Cells of the patients' sex."""

    column: Name
    F: Words = ("F", "Female")
    M: Words = ("M", "Male")
    blank: Words = ("", "U", "O", "Unknown")


class SplitColumn(Section):
    """A division that the data set itself has."""

    column: Name
    train: Words = ("train",)
    val: Words = ("val", "valid", "validation")
    test: Words = ("test",)


class ValueRules(Section):
    """What the cells of a label mean."""

    present: Words = ("1",)
    absent: Words = ("0",)
    uncertain: Words = ("-1",)
    blank: Words = ("",)


class LabelRules(Section):
    """One label: its column, or under `findings` its words; cells that differ from `values`."""

    column: Name | None = None
    present: Words | None = None
    absent: Words | None = None
    uncertain: Words | None = None
    blank: Words | None = None


class FindingsColumn(Section):
    """A column that lists the findings of an image: those that it does not list are absent."""

    column: Name
    separator: Annotated[str, Field(min_length=1)] = "|"
    none: Words = ()
    """Words of an image without any finding."""
    ignored: Words = ()
    """Words that are no label here."""


class DicomRules(Section):
    """Which DICOM files are chest films."""

    modality: Words = ("CR", "DX", "DR", "RG")
    body_part: Words = ("CHEST", "THORAX", "LUNG", "LUNGS", "HEART", "RIB", "RIBS", "")


class DatasetConfig(Section):
    """All of `dataset.yaml`."""

    table: Inside
    """The CSV file, a row an image."""
    path: Annotated[PathColumn, BeforeValidator(_as_column)]
    patient: Name | None = None
    study: Name | None = None
    view: Annotated[ViewColumn, BeforeValidator(_as_column)] = ViewColumn()
    sex: Annotated[SexColumn, BeforeValidator(_as_column)] | None = None
    age: Name | None = None
    site: Name | None = None
    split: Annotated[SplitColumn, BeforeValidator(_as_column)] | None = None
    labels: Annotated[
        dict[str, Annotated[LabelRules, BeforeValidator(_as_label)]],
        Field(min_length=1, max_length=MAX_LABELS),
    ]
    values: ValueRules = ValueRules()
    findings: Annotated[FindingsColumn, BeforeValidator(_as_column)] | None = None
    dicom: DicomRules = DicomRules()

    @model_validator(mode="after")
    def _check(self) -> Self:
        spelled: dict[str, str] = {}
        for label in self.labels:
            if not _LABEL.fullmatch(label) or label in _TAKEN:
                raise ValueError(
                    f"labels: {label!r} cannot name a label: a letter or digit first, then also "
                    f"blanks and any of ()/&'+:-, 64 at most, and none of {', '.join(_TAKEN)}"
                )
            twin = spelled.setdefault("".join(label.split()).casefold(), label)
            if twin != label:
                raise ValueError(f"labels: {twin!r} and {label!r} differ in case or blanks alone")
        return self

    def rules_of(self, label: str) -> dict[str, tuple[str, ...]]:
        """Return the cells that mean `present`, `absent`, `uncertain` and `blank` for a label.

        Under `findings` the words that mean `present` and `uncertain`.
        """
        own = self.labels[label]
        if self.findings is not None:
            present = own.present or (own.column or label,)
            return {"present": present, "uncertain": own.uncertain or ()}
        named = {name: getattr(own, name) for name in type(self.values).model_fields}
        return {
            name: getattr(self.values, name) if words is None else words
            for name, words in named.items()
        }


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
        _check_once(where, words)
    if says.view.column is not None:
        _check_once(found.at("view"), {"frontal": says.view.frontal, "lateral": says.view.lateral})
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
    key = tuple(str(part) for part in place if not isinstance(part, int))
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
    }
    section = sections.get(place[0], DatasetConfig) if place else DatasetConfig
    return list(section.model_fields)
