"""CheXlocalize's outlines: every mask decodes to its image's size, and both files tell the same."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcxr.data.identity import normal_id
from fedcxr.data.labels import NEGATIVE, POSITIVE
from fedcxr.data.quality.findings import NOTICE, PROBLEM, Finding, finding_of
from fedcxr.data.readers.chexlocalize import (
    TASKS,
    Annotation,
    Rle,
    decode_rle,
    image_key,
    read_annotations,
    read_segmentations,
)
from fedcxr.data.records import DataSet, Record
from fedcxr.errors import RecordError

LAYOUT = "chexlocalize"

_KEY = re.compile(r"(patient\d+)_(study\d+)_(.+)")
_IS_DRAWN = {True: POSITIVE, False: NEGATIVE}


@dataclass(frozen=True, slots=True)
class Outlines:
    """What the outline files of a folder say."""

    findings: tuple[Finding, ...]
    dataset: DataSet
    """A record for each image of the radiologists' masks; a finding is positive where drawn."""


def outline_files(folder: Path) -> list[Path]:
    """Return the files of masks and contours in a folder, masks first."""
    return [
        *sorted(folder.glob("*segmentations*.json")),
        *sorted(folder.glob("*annotations*.json")),
    ]


def read_outlines(folder: Path) -> Outlines:
    """Return the outlines of a folder, with what is wrong with them as findings."""
    broken: list[str] = []
    drawn: dict[str, dict[str, dict[str, bool]]] = {}
    sizes: dict[str, dict[str, tuple[int, int]]] = {}
    for path in outline_files(folder):
        try:
            if "annotations" in path.name:
                annotations = read_annotations(path)
                drawn[path.name] = {key: _contours(one) for key, one in annotations.items()}
                sizes[path.name] = {key: one.size for key, one in annotations.items()}
            else:
                masks = read_segmentations(path)
                drawn[path.name] = {key: _masks(one, broken) for key, one in masks.items()}
                sizes[path.name] = {
                    key: next(iter(one.values())).size for key, one in masks.items() if one
                }
        except RecordError as err:
            broken.append(str(err))
    findings = (
        *finding_of(
            "outline",
            PROBLEM,
            broken,
            "Outlines that cannot be read",
            text="A file of outlines, or a mask in it, is damaged: its runs do not fill the image.",
            mend="Fetch the file again.",
        ),
        *_disagreements(drawn, sizes),
    )
    return Outlines(findings, _dataset(folder, drawn))


def unknown_keys(outlines: Outlines, dataset: DataSet) -> tuple[Finding, ...]:
    """Return the outlined images that the tables beside them do not name."""
    known = {image_key(record.path) for record in dataset.records}
    missing = [r.path for r in outlines.dataset.records if image_key(r.path) not in known]
    return finding_of(
        "outline-without-image",
        NOTICE,
        missing,
        "Outlines of images that no table names",
        text="These images have outlines and no labels here.",
        mend="Nothing, if the tables are meant to leave them out.",
    )


def _masks(masks: Mapping[str, Rle], broken: list[str]) -> dict[str, bool]:
    """Return whether each finding has a pixel; masks that do not decode go to `broken`."""
    drawn = {}
    for label, mask in masks.items():
        try:
            drawn[label] = bool(decode_rle(mask).any())
        except RecordError as err:
            broken.append(str(err))
    return drawn


def _contours(annotation: Annotation) -> dict[str, bool]:
    return {label: bool(contours) for label, contours in annotation.contours.items()}


def _disagreements(
    drawn: Mapping[str, Mapping[str, Mapping[str, bool]]],
    sizes: Mapping[str, Mapping[str, tuple[int, int]]],
) -> tuple[Finding, ...]:
    """Return where gt_annotations_val.json and gt_segmentations_val.json tell different things."""
    wrong: list[str] = []
    for name in drawn:
        other = name.replace("annotations", "segmentations")
        if "annotations" not in name or other not in drawn:
            continue
        for key in drawn[name].keys() & drawn[other].keys():
            mine, theirs = drawn[name][key], drawn[other][key]
            if sizes[name].get(key) != sizes[other].get(key):
                wrong.append(f"{key}: sizes {sizes[name].get(key)} and {sizes[other].get(key)}")
            wrong += [
                f"{key}: {label} is drawn in one file only"
                for label in mine.keys() | theirs.keys()
                if mine.get(label, False) != theirs.get(label, False)
            ]
        wrong += [f"{key}: in one file only" for key in drawn[name].keys() ^ drawn[other].keys()]
    return finding_of(
        "outlines-disagree",
        PROBLEM,
        sorted(wrong),
        "Contours and masks that disagree",
        text="The annotations and the segmentations of an image should tell the same.",
        mend="Fetch both files again.",
    )


def _dataset(folder: Path, drawn: Mapping[str, Mapping[str, Mapping[str, bool]]]) -> DataSet:
    labels = tuple(TASKS.values())
    truth = _truth_first([*drawn])
    records = [
        record
        for name in truth[:1]
        for key, mine in drawn[name].items()
        if (record := _record(key, mine, labels)) is not None
    ]
    notes = ("CheXlocalize's outlines without tables: a finding is positive where it is drawn.",)
    return DataSet(folder, LAYOUT, labels, tuple(records), notes=notes)


def _truth_first(names: Sequence[str]) -> list[str]:
    """Return the files, the radiologists' masks before machines' and before contours."""
    return sorted(names, key=lambda name: (not name.startswith("gt_"), "annotations" in name, name))


def _record(key: str, drawn: Mapping[str, bool], labels: Sequence[str]) -> Record | None:
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    patient, study, view = match.groups()
    return Record(
        patient_id=normal_id(patient),
        study_id=f"{normal_id(patient)}/{normal_id(study)}",
        path=f"{patient}/{study}/{view}.jpg",
        view="lateral" if "lateral" in view else "frontal",
        projection="",
        sex="",
        age=None,
        split="",
        labels=tuple(_IS_DRAWN[drawn.get(label, False)] for label in labels),
        source="chexpert",
    )
