"""Names and tables of a synthetic data set, as CheXpert and NIH ChestX-ray14 have them."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.labels import BLANK
from fedcxr.data.synthetic.casemix import FACTORS, FINDINGS, TEST_FRACTION
from fedcxr.data.synthetic.masks import FILE_NAME as MASKS_FILE
from fedcxr.data.synthetic.masks import MaskCrop, write_masks
from fedcxr.data.synthetic.mentions import mention
from fedcxr.data.synthetic.plan import Plan
from fedcxr.data.synthetic.signs import SIGNS
from fedcxr.seeding import derive_rng

GENERATOR_VERSION = 2
"""Raised when the same parameters give other bytes."""

CHEXPERT_FOLDER = "CheXpert-v1.0-small"
FIRST_VALID_PATIENT = 64541
"""Number of the first patient of CheXpert's valid set."""
FEW_POSITIVES = 10
"""A label with fewer test positives than this has no AUROC worth the name."""

NIH_FRAME_PX = 1024
"""NIH's boxes are in pixels of a 1024 × 1024 frame, whatever the image's size."""
NIH_BOX_NAMES = {
    "Atelectasis": "Atelectasis",
    "Cardiomegaly": "Cardiomegaly",
    "Effusion": "Effusion",
    "Infiltration": "Infiltrate",
    "Mass": "Mass",
    "Nodule": "Nodule",
    "Pneumonia": "Pneumonia",
    "Pneumothorax": "Pneumothorax",
}
"""The findings that NIH drew boxes for, as BBox_List_2017.csv spells them."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where everything of a data set goes."""

    root: Path
    names: tuple[str, ...]
    """POSIX path of each image relative to `root`."""
    patient_ids: tuple[str, ...]
    """Of each patient, as the layout names them."""
    images: tuple[Path, ...] = field(repr=False)

    def write_tables(self, plan: Plan, masks: list[MaskCrop]) -> None:
        """Write the official tables, then ours; `masks` are those of the plan's strokes."""
        boxes = np.array([crop.box(plan.size_px) for crop in masks]).reshape(-1, 4)
        if plan.layout == "chexpert":
            _write_chexpert(self, plan)
        else:
            _write_nih14(self, plan, boxes)
        _write_extras(self, plan, boxes)
        seen = [crop for crop in masks if crop.inside.size]
        write_masks(self.root / MASKS_FILE, seen, plan.size_px)
        text = json.dumps(_summary(plan, boxes), indent=1) + "\n"
        (self.root / "synthetic.json").write_text(text, encoding="utf-8")


def chexpert_files(plan: Plan, out: Path) -> Files:
    """Return the names of a data set in CheXpert's layout."""
    cases = plan.cases
    train = int(np.count_nonzero(~cases.is_test))
    number = np.where(
        cases.is_test,
        max(FIRST_VALID_PATIENT, train + 1) + np.cumsum(cases.is_test) - 1,
        np.cumsum(~cases.is_test),
    )
    patient_ids = tuple(f"patient{n:05d}" for n in number)
    names = tuple(
        f"{'valid' if cases.is_test[who] else 'train'}/{patient_ids[who]}/study{study}"
        f"/view{view}_{'lateral' if lateral else 'frontal'}.jpg"
        for who, study, view, lateral in zip(
            cases.views.patient,
            cases.views.study_num,
            cases.views.view_num,
            cases.views.lateral,
            strict=True,
        )
    )
    return _files(out / CHEXPERT_FOLDER, names, patient_ids)


def nih14_files(plan: Plan, out: Path) -> Files:
    """Return the names of a data set in NIH ChestX-ray14's layout."""
    cases = plan.cases
    names = tuple(
        f"images/{who + 1:08d}_{follow_up - 1:03d}.png"
        for who, follow_up in zip(cases.views.patient, cases.views.study_num, strict=True)
    )
    return _files(out, names, tuple(str(who + 1) for who in range(len(cases.site))))


def _files(root: Path, names: tuple[str, ...], patient_ids: tuple[str, ...]) -> Files:
    images = tuple(root / name for name in names)
    return Files(root, names, patient_ids, images)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_chexpert(files: Files, plan: Plan) -> None:
    cases = plan.cases
    said = mention(cases.truth, cases.severity, derive_rng(plan.seed, "synthetic", "mentions"))
    is_test = cases.is_test[cases.views.patient]
    states = np.where(is_test[:, None], plan.truth(), said[cases.views.study])
    header = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *plan.labels]
    for table, chosen in (("train.csv", ~is_test), ("valid.csv", is_test)):
        rows = (
            [
                f"{CHEXPERT_FOLDER}/{files.names[i]}",
                "Female" if cases.female[cases.views.patient[i]] else "Male",
                int(cases.age[cases.views.patient[i]]),
                "Lateral" if cases.views.lateral[i] else "Frontal",
                "" if cases.views.lateral[i] else ("AP" if cases.views.ap[i] else "PA"),
                *("" if state == BLANK else f"{state:.1f}" for state in states[i]),
            ]
            for i in np.flatnonzero(chosen)
        )
        _write_csv(files.root / table, header, rows)


def _write_nih14(files: Files, plan: Plan, boxes: NDArray[np.float64]) -> None:
    cases, truth = plan.cases, plan.truth()
    short = [Path(name).name for name in files.names]
    # The commas inside the brackets are unquoted in NIH's own file: 11 columns.
    header = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    )
    rows = (
        [
            short[i],
            "|".join(np.array(plan.labels)[truth[i]]) or "No Finding",
            int(cases.views.study_num[i]) - 1,
            int(cases.views.patient[i]) + 1,
            int(cases.age[cases.views.patient[i]]),
            "F" if cases.female[cases.views.patient[i]] else "M",
            "AP" if cases.views.ap[i] else "PA",
            *(plan.size_px, plan.size_px, 0.143, 0.143),
        ]
        for i in range(len(plan))
    )
    _write_csv(files.root / "Data_Entry_2017.csv", header.split(","), rows)
    is_test = cases.is_test[cases.views.patient]
    for table, chosen in (("train_val_list.txt", ~is_test), ("test_list.txt", is_test)):
        # NIH's own lists end without a newline.
        text = "\n".join(short[i] for i in np.flatnonzero(chosen))
        (files.root / table).write_text(text, encoding="utf-8")
    _write_csv(
        files.root / "BBox_List_2017.csv",
        ["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]", "", "", ""],
        (
            [short[image], NIH_BOX_NAMES[plan.labels[label]], *(NIH_FRAME_PX * box).tolist()]
            for image, label, box in zip(plan.strokes.image, plan.strokes.label, boxes, strict=True)
            if plan.labels[label] in NIH_BOX_NAMES and box[2] > 0
        ),
    )


def _write_extras(files: Files, plan: Plan, boxes: NDArray[np.float64]) -> None:
    strokes, cases = plan.strokes, plan.cases
    _write_csv(
        files.root / "boxes.csv",
        ["path", "label", "x", "y", "width", "height"],
        (
            [files.names[image], plan.labels[label], *(f"{value:.5f}" for value in box)]
            for image, label, box in zip(strokes.image, strokes.label, boxes, strict=True)
            if box[2] > 0
        ),
    )
    _write_csv(
        files.root / "truth.csv",
        ["path", *plan.labels],
        ([name, *row] for name, row in zip(files.names, plan.truth().astype(int), strict=True)),
    )
    _write_csv(
        files.root / "sites.csv",
        ["patient_id", "site"],
        (
            [who, f"site-{site:02d}"]
            for who, site in zip(files.patient_ids, cases.site, strict=True)
        ),
    )


def _summary(plan: Plan, boxes: NDArray[np.float64]) -> dict[str, object]:
    """Return what `synthetic.json` holds."""
    cases, truth = plan.cases, plan.truth()
    tested = truth[cases.is_test[cases.views.patient] & ~cases.views.lateral].sum(axis=0)
    positives = dict(zip(plan.labels, tested.tolist(), strict=True))
    findings = FINDINGS[plan.layout]
    sizes = boxes[:, 2] * boxes[:, 3]
    return {
        "generator_version": GENERATOR_VERSION,
        "layout": plan.layout,
        "patients": len(cases.site),
        "images": len(plan),
        "size_px": plan.size_px,
        "seed": plan.seed,
        "num_sites": len(cases.sites.gain),
        "test_fraction": TEST_FRACTION,
        "contrast": {name: SIGNS[finding.sign].contrast for name, finding in findings.items()},
        "contrast_unit": "largest change of density; lung is about 0.2, bone and heart about 0.75",
        "signs": {name: finding.sign for name, finding in findings.items()},
        "median_box_area": {
            name: round(float(np.median(chosen)), 4)
            for k, name in enumerate(plan.labels)
            if (chosen := sizes[(plan.strokes.label == k) & (sizes > 0)]).size
        },
        "test_frontal_positives": positives,
        "few_test_positives": [n for n, count in positives.items() if count < FEW_POSITIVES],
        "factors": list(FACTORS),
        "sites": {
            name: np.round(values, 4).tolist() for name, values in asdict(cases.sites).items()
        },
    }
