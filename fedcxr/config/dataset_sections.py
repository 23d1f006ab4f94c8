"""The keys of `dataset.yaml`: a section each, as pydantic models.

Every value is text as it is spelled, since identifiers and cells are text. How the file is read,
and what its words may not say twice, is in `dataset_file.py`.
"""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt, model_validator

from fedcxr.section import Section

MAX_LABELS = 256

_LABEL = re.compile(r"\w[\w ()/&'+:-]{0,62}[\w)]|\w")
_TAKEN = frozenset(
    ("image_id", "patient_id", "study_id", "split", "view", "projection", "sex", "age", "path")
)
"""Columns of the tables that fedcxr writes, where labels stand beside them."""


ALL_OTHERS = "*"
"""In place of words: every cell that no other rule covers."""

_PLACE = re.compile(r"\{(?P<column>[^{}:]+)(?::(?P<part>stem|\.[1-9]))?\}")


def _as_column(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


def _as_path(value: object) -> object:
    if not isinstance(value, str):
        return value
    return {"template" if "{" in value else "column": value}


def _as_tables(value: object) -> object:
    return {"": value} if isinstance(value, str) else value


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
Folders = Annotated[tuple[Inside, ...], BeforeValidator(_as_words), Field(min_length=1)]
Tables = Annotated[
    dict[Literal["", "train", "val", "test"], Inside],
    BeforeValidator(_as_tables),
    Field(min_length=1),
]
"""Files by the split that their rows are of; one alone has no name."""


class PathColumn(Section):
    """Where the images lie."""

    column: Name | None = None
    template: Name | None = None
    """A path of several columns: `p{subject}/{file:stem}.png`; `{x:.3}` is a cell's first three
    characters, `{x:stem}` a file name without its ending, `{split}` that of `table`."""
    folder: Folders = ("",)
    """What the cells are relative to; of several the one that has the images."""
    suffix: str = Field(default="", pattern=r"^(\.[A-Za-z0-9]+)?$")
    """What to add to each cell, such as .dcm."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.column is None) == (self.template is None):
            raise ValueError("name either the column or a template of columns")
        if self.template is not None and set("{}") & set(_PLACE.sub("", self.template)):
            raise ValueError(
                "a template has columns in braces, as {name}, {name:stem} or {name:.3}"
            )
        return self

    def places(self) -> list[tuple[str, str]]:
        """Return the columns of the template, each with what is taken of a cell."""
        found = _PLACE.finditer(self.template or "")
        return [(one["column"], one["part"] or "") for one in found]

    def filled(self, cells: tuple[str, ...]) -> str:
        """Return the path of a row, from its cells in the order of `places`."""
        rest = iter(cells)
        return _PLACE.sub(lambda _: next(rest), self.template or "")


class ViewColumn(Section):
    """Which images are frontal and which lateral; without a column the DICOM header says it."""

    column: Name | None = None
    projection: Name | None = None
    """Column that says AP or PA, where `column` does not."""
    frontal: Words = ("frontal", "AP", "PA")
    lateral: Words = ("lateral", "LL", "RL", "LAT")
    other: Words = ()
    """Cells of views that are neither, whose images are left out; `*` = all other cells."""
    unknown: Literal["frontal", "lateral", "left out"] | None = None
    """What an image is of which neither table nor header says it; none = an error."""


class SexColumn(Section):
    """Cells of the patients' sex."""

    column: Name
    F: Words = ("F", "Female")
    M: Words = ("M", "Male")
    blank: Words = ("", "U", "O", "Unknown")


class AgeColumn(Section):
    """Years."""

    column: Name
    date: Name | None = None
    """Column of the day of the study, where `column` has the year of birth."""


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
    """Words that are no label here; `*` = all others."""
    incomplete: Words = ()
    """Words of a list that is not whole: what it does not name is blank, not absent."""
    strip: str = ""
    """Characters around each word that do not count, such as brackets and quotes."""


class DicomRules(Section):
    """Which DICOM files are chest films."""

    modality: Words = ("CR", "DX", "DR", "RG")
    body_part: Words = ("CHEST", "THORAX", "LUNG", "LUNGS", "HEART", "RIB", "RIBS", "")


class JoinedTable(Section):
    """A further table, whose columns are added to the rows that have the same keys."""

    table: Inside
    on: Annotated[Words, Field(min_length=1)]
    """Columns that both have; one row of this table for each of their values."""
    missing: Literal["error", "blank"] = "error"
    """What a row without a partner gets."""


class BoxTable(Section):
    """Rectangles around findings, a row each; a row without numbers has none."""

    table: Tables | None = None
    """None = the table of the images itself."""
    on: Words = ()
    """Columns that both tables have and that tell the image."""
    label: Name | None = None
    """Column of the finding, in the words of the labels' columns or names."""
    of: Name | None = None
    """In its place: the label that all boxes are of."""
    x: Name
    y: Name
    width: Name | None = None
    height: Name | None = None
    right: Name | None = None
    bottom: Name | None = None
    frame_px: tuple[PositiveInt, PositiveInt] | None = None
    """Width and height of the picture that the numbers are of; none = of each image itself."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.label is None) == (self.of is None):
            raise ValueError("name either the column `label`, or the label that all are `of`")
        sizes = (self.width is None, self.height is None)
        corners = (self.right is None, self.bottom is None)
        if (sizes, corners) not in (((False,) * 2, (True,) * 2), ((True,) * 2, (False,) * 2)):
            raise ValueError("name the columns `width` and `height`, or `right` and `bottom`")
        if (self.table is None) != (not self.on):
            raise ValueError("`table` and `on` belong together; leave out both for the same table")
        return self

    def sides(self) -> tuple[str, str, str, str]:
        """Return the four columns of numbers."""
        return (self.x, self.y, self.width or self.right or "", self.height or self.bottom or "")


class DatasetConfig(Section):
    """All of `dataset.yaml`."""

    table: Tables
    """The CSV file, a row an image; or by split the file of its images."""
    join: tuple[JoinedTable, ...] = ()
    aliases: dict[str, Name] = Field(default_factory=dict)
    """Other spellings of columns, each with the one that is used here."""
    rows: Literal["one", "majority"] = "one"
    """Of an image: one row, or several (a reader or a box each) of which most decide."""
    path: Annotated[PathColumn, BeforeValidator(_as_path)]
    patient: Name | None = None
    study: Name | None = None
    view: Annotated[ViewColumn, BeforeValidator(_as_column)] = ViewColumn()
    sex: Annotated[SexColumn, BeforeValidator(_as_column)] | None = None
    age: Annotated[AgeColumn, BeforeValidator(_as_column)] | None = None
    site: Name | None = None
    split: Annotated[SplitColumn, BeforeValidator(_as_column)] | None = None
    labels: Annotated[
        dict[str, Annotated[LabelRules, BeforeValidator(_as_label)]],
        Field(min_length=1, max_length=MAX_LABELS),
    ]
    values: ValueRules = ValueRules()
    findings: Annotated[FindingsColumn, BeforeValidator(_as_column)] | None = None
    boxes: BoxTable | None = None
    dicom: DicomRules = DicomRules()
    notes: Words = ()
    """What a reader of the report must know of these data."""

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
        if "" in self.table and len(self.table) > 1:
            raise ValueError("table: one file, or files by their split: train, val and test")
        if "" not in self.table and self.split is not None:
            raise ValueError("split: the files under `table` are of a split each; leave it out")
        if self.boxes is not None and self.boxes.of not in (None, *self.labels):
            raise ValueError(f"boxes: there is no label {self.boxes.of!r}")
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
