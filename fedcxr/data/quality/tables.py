"""Contradictions inside the tables: rows that cannot both be right, and labels that teach nothing.

Everything here is judged from the records alone; no image is opened.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from fedcxr.data.identity import normal_id, patient_in_name, shown_patient
from fedcxr.data.labels import (
    BLANK,
    MASKED,
    NEGATIVE,
    NO_FINDING,
    POSITIVE,
    SUPPORT_DEVICES,
    UNCERTAIN,
)
from fedcxr.data.quality.findings import NOTICE, PROBLEM, Finding, finding_of
from fedcxr.data.readers.split_names import split_order
from fedcxr.data.records import DataSet, Record

_STUDY = re.compile(r"/study([0-9]{1,18})$")
_VISIT = re.compile(r"[0-9]{1,18}")


def table_findings(dataset: DataSet) -> tuple[Finding, ...]:
    """Return what contradicts itself in the records, and which labels have a single class."""
    records = dataset.records
    return (
        *_wrong_patient(records),
        *_wrong_view(records),
        *_no_finding_conflicts(dataset),
        *_one_class(dataset),
        *_never_negative(dataset),
        *_study_disagrees(dataset),
        *_sex_changes(records),
        *_age_goes_back(records),
    )


def _wrong_patient(records: Sequence[Record]) -> tuple[Finding, ...]:
    def is_wrong(record: Record) -> bool:
        named = patient_in_name(record.path)
        return named not in ("", normal_id(record.patient_id.rpartition("/")[2]))

    return finding_of(
        "patient-mismatch",
        PROBLEM,
        [record.path for record in records if is_wrong(record)],
        "Images of another patient",
        text="The file's name says another patient than the table's patient column.",
        mend="Fetch the table again; whichever is wrong, one patient can end up in two splits.",
    )


def _wrong_view(records: Sequence[Record]) -> tuple[Finding, ...]:
    other = {"frontal": "lateral", "lateral": "frontal"}
    wrong = [
        f"{record.path} (table: {record.view})"
        for record in records
        if other.get(record.view, "\0") in record.path.rpartition("/")[2].lower()
    ]
    return finding_of(
        "view-mismatch",
        PROBLEM,
        wrong,
        "Views that contradict the name",
        text="The file's name says frontal and the table lateral, or the reverse.",
        mend="Look at these images and correct the column, or the name.",
    )


def _no_finding_conflicts(dataset: DataSet) -> tuple[Finding, ...]:
    if NO_FINDING not in dataset.labels:
        return ()
    states = dataset.states()
    no_finding = states[:, dataset.labels.index(NO_FINDING)] == POSITIVE
    pathologies = [
        i for i, label in enumerate(dataset.labels) if label not in (NO_FINDING, SUPPORT_DEVICES)
    ]
    positive = no_finding & (states[:, pathologies] == POSITIVE).any(axis=1)
    hedged = no_finding & ~positive & (states[:, pathologies] == UNCERTAIN).any(axis=1)
    named = [
        f"{dataset.records[i].path} ("
        + ", ".join(dataset.labels[k] for k in pathologies if states[i, k] == POSITIVE)
        + ")"
        for i in np.flatnonzero(positive)
    ]
    return (
        *finding_of(
            "no-finding-conflict",
            NOTICE,  # label noise: labelers other than CheXpert's own judge each label by itself
            named,
            "No Finding beside a finding",
            text=(
                "No Finding is positive where a pathology is positive too. By CheXpert's rule it "
                "is positive only where none is (Irvin et al. 2019, section 2)."
            ),
            mend="Fetch the table again, or leave the label out with --labels.",
        ),
        *finding_of(
            "no-finding-hedged",
            NOTICE,
            [dataset.records[i].path for i in np.flatnonzero(hedged)],
            "No Finding beside an uncertain finding",
            text=(
                "No Finding is positive where a pathology is uncertain; CheXpert's own tables "
                "never say so."
            ),
            mend="Nothing, if another labeler made this table.",
        ),
    )


def _one_class(dataset: DataSet) -> tuple[Finding, ...]:
    """Return the labels that no AUROC can be computed for, in the splits that have images."""
    states = dataset.states()
    splits = np.array([record.split for record in dataset.records], dtype=object)
    names = split_order({*splits.tolist()} - {""})
    groups = [(f" in {name}", states[splits == name]) for name in names] or [("", states)]
    lacking = []
    for place, some_states in groups:
        for k, label in enumerate(dataset.labels):
            column = some_states[:, k]
            if (column == MASKED).all():
                continue
            if not (column == POSITIVE).any():
                lacking.append(f"{label}: no positive image{place}")
            elif not np.isin(column, (NEGATIVE, BLANK)).any():
                lacking.append(f"{label}: no negative image{place}")
    return finding_of(
        "one-class-label",
        NOTICE,
        lacking,
        "Labels with one class",
        text="A label without positives cannot be learned, and an AUROC needs both classes: where "
        "the test images lack one, the label is left out of the mean, with the reason.",
        mend="Nothing, or leave the label out with --labels.",
    )


def _never_negative(dataset: DataSet) -> tuple[Finding, ...]:
    if NO_FINDING not in dataset.labels:
        return ()
    column = dataset.states()[:, dataset.labels.index(NO_FINDING)]
    train = np.array([record.split in ("train", "") for record in dataset.records], dtype=bool)
    mine = column[train]
    if not (mine == POSITIVE).any() or (mine == NEGATIVE).any() or not (mine == BLANK).any():
        return ()
    return (
        Finding(
            "no-finding-never-negative",
            NOTICE,
            int((mine == BLANK).sum()),
            "No Finding is never negative",
            (
                "In the training table No Finding is 1 or blank, never 0: CheXpert's labeler "
                "writes 1 where nothing else was found and a blank otherwise. With blank: ignore "
                "a run takes a blank as negative where another finding is positive, and leaves "
                "it out elsewhere."
            ),
            "Nothing: by default (blank: zeros) its blanks are negative.",
        ),
    )


def _study_disagrees(dataset: DataSet) -> tuple[Finding, ...]:
    labels: dict[str, set[tuple[int, ...]]] = defaultdict(set)
    first: dict[str, str] = {}
    for record in dataset.records:
        labels[record.study_id].add(record.labels)
        first.setdefault(record.study_id, record.path)
    return finding_of(
        "study-labels-differ",
        NOTICE,
        [first[study] for study, found in labels.items() if len(found) > 1],
        "Studies whose views differ in labels",
        text="The views of a study share one report, and so should share their labels.",
        mend="Nothing, if the labels were read from the images and not from reports.",
    )


def _sex_changes(records: Sequence[Record]) -> tuple[Finding, ...]:
    return _patients_where(
        records,
        lambda mine: len({record.sex for record in mine} - {""}) > 1,
        "sex-changes",
        "Patients whose sex changes",
        "The sex differs between images of one patient: a slip, or two people under one number.",
    )


def _age_goes_back(records: Sequence[Record]) -> tuple[Finding, ...]:
    def goes_back(mine: Sequence[Record]) -> bool:
        visits = [(visit, r.age) for r in mine if (visit := _visit(r)) is not None]
        ages = [age for _, age in sorted(visits, key=lambda visit: visit[0]) if age is not None]
        return any(later < earlier for earlier, later in pairwise(ages))

    return _patients_where(
        records,
        goes_back,
        "age-goes-back",
        "Patients who grow younger",
        "The age falls from one visit to the next: a slip, or two people under one number.",
    )


def _patients_where(
    records: Sequence[Record],
    is_odd: Callable[[Sequence[Record]], bool],
    kind: str,
    title: str,
    text: str,
) -> tuple[Finding, ...]:
    by_patient: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_patient[record.patient_id].append(record)
    odd = [
        f"{shown_patient(patient)}: {mine[0].path} and {len(mine) - 1} more"
        for patient, mine in by_patient.items()
        if len(mine) > 1 and is_odd(mine)
    ]
    mend = "Nothing, unless partitions are made by it; look at the patient's images if in doubt."
    return finding_of(kind, NOTICE, odd, title, text=text, mend=mend)


def _visit(record: Record) -> int | None:
    """Return the number of the visit, in the order of time; None where the source has none.

    CheXpert's studies are numbered so. NIH's files are not: its table has a column for it, which
    `quality/read.py` keeps as the attribute.
    """
    if _VISIT.fullmatch(record.attribute):
        return int(record.attribute)
    match = _STUDY.search(record.study_id)
    return int(match[1]) if match else None
