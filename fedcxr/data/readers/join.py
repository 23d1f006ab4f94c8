"""Several data sets as one: CheXpert is some hospitals' data and NIH ChestX-ray14 is others'.

A patient, study or image is named `source/…`, so that two sources may number theirs alike. The
labels are CheXpert's where a CheXpert is among the sources, and a label that a source does not
have is masked there: unknown, never negative.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path

from fedcxr.data.labels import MASKED, NIH14_IN_CHEXPERT, synonym_of
from fedcxr.data.records import Box, DataSet, Record
from fedcxr.errors import LeakError

LAYOUT = "joined"
MAX_SOURCES = 8
"""Of one kind."""
SAME_FRACTION = 0.05
"""Two sources of one kind with more of their images in common than this share patients; by chance
one image in hundreds has the same sex, age and labels as its namesake elsewhere."""
SAME_LABELS_FRACTION = 0.5
"""The same where one of them, a one-hot table, tells neither sex nor age."""

_NUMBER = re.compile(r"-[0-9]+$")
"""Of the second source of a kind and those after it."""


def source_names(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return a name for each source: its kind, numbered from the second of a kind on.

    >>> source_names(["chexpert", "nih14", "chexpert"])
    ('chexpert', 'nih14', 'chexpert-2')
    """
    counts = [kinds[: i + 1].count(kind) for i, kind in enumerate(kinds)]
    return tuple(kind if n == 1 else f"{kind}-{n}" for kind, n in zip(kinds, counts, strict=True))


def names_of_patient(record: Record) -> set[str]:
    """Return every identifier that the record's patient has, alone and in any join.

    For telling whether a model knows a patient of data that were read in another company. A join
    numbers two sources of a kind by their order, so all numbers are among the names: a namesake of
    another source is taken for the patient rather than the patient for a stranger.
    """
    kind = _NUMBER.sub("", record.source)
    own = record.patient_id.removeprefix(f"{record.source}/")
    numbered = source_names([kind] * MAX_SOURCES)
    return {own, *(f"{source}/{own}" for source in numbered)}


def joined_labels(
    sources: Sequence[tuple[str, Sequence[str]]],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the labels that all sources share, and all that any of them has.

    They are in CheXpert's order where one is among the sources, and else in that of the first.

    Args:
        sources: of each, the kind and the labels that it has.

    >>> from fedcxr.data.labels import CHEXPERT_LABELS, NIH14_LABELS
    >>> joined_labels([("chexpert", CHEXPERT_LABELS), ("nih14", NIH14_LABELS)])[0]
    ('Cardiomegaly', 'Edema', 'Consolidation', 'Pneumonia', 'Atelectasis', 'Pneumothorax', \
'Pleural Effusion')
    """
    kinds = [kind for kind, _ in sources]
    by_rank = sorted(sources, key=lambda source: source[0] != "chexpert")
    named = [list(_joined_names(kind, kinds, own)) for kind, own in by_rank]
    union = tuple(dict.fromkeys(chain.from_iterable(named)))
    return tuple(label for label in union if all(label in own for own in named)), union


def in_the_words_of(labels: Sequence[str], dataset: DataSet) -> DataSet:
    """Return the data set with its labels named as in `labels` where the two mean the same.

    >>> nih = DataSet(Path(), "nih14", ("Effusion", "Mass"), ())
    >>> in_the_words_of(["Pleural Effusion", "Mass"], nih).labels
    ('Pleural Effusion', 'Mass')
    """
    named = (
        other if label not in labels and (other := synonym_of(label)) in labels else label
        for label in dataset.labels
    )
    return replace(dataset, labels=tuple(named))


def own_labels(
    kind: str, kinds: Sequence[str], labels: Sequence[str], known: Sequence[str]
) -> dict[str, str]:
    """Return which of the joined `labels` a source has, each with the source's name for it.

    Args:
        kind: of the source.
        kinds: of all sources.
        labels: of the join.
        known: the labels that the source has.

    >>> from fedcxr.data.labels import NIH14_LABELS
    >>> own_labels("nih14", ["chexpert", "nih14"], ["Pleural Effusion", "Fracture"], NIH14_LABELS)
    {'Pleural Effusion': 'Effusion'}
    """
    names = _joined_names(kind, kinds, known)
    return {label: names[label] for label in labels if label in names}


def _joined_names(kind: str, kinds: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Return what the join calls each label of a source, with the source's own name for it."""
    if kind != "nih14" or "chexpert" not in kinds:
        return {label: label for label in known}
    return {NIH14_IN_CHEXPERT.get(label, label): label for label in known}


def join(
    parts: Mapping[str, DataSet], names: Mapping[str, Mapping[str, str]], labels: Sequence[str]
) -> DataSet:
    """Return the data sets as one, in their order.

    Args:
        parts: by source, the data set, read with the labels that it has.
        names: by source, the joined labels it has, each with its own name for it.
        labels: the labels of the result.

    Raises:
        LeakError: two of the parts are copies of one data set.
    """
    _refuse_copies(parts)
    records: list[Record] = []
    boxes: list[Box] = []
    notes: list[str] = []
    for source, part in parts.items():
        records += _records(source, part, names[source], labels)
        ours = {own: label for label, own in names[source].items()}
        boxes += [
            replace(box, path=f"{source}/{box.path}", label=ours[box.label]) for box in part.boxes
        ]
        notes += [f"{source}: {note}" for note in part.notes]
        absent = [label for label in labels if label not in names[source]]
        if absent:
            notes.append(f"{source}: has no {', '.join(absent)}: masked, not negative.")
    return DataSet(
        # A name for the join, in plans and reports; the files are found through `roots`.
        root=Path("+".join(parts)),
        layout=LAYOUT,
        labels=tuple(labels),
        records=tuple(records),
        boxes=tuple(boxes),
        notes=tuple(notes),
        official=tuple(one for part in parts.values() for one in part.official),
        roots=tuple((source, part.root) for source, part in parts.items()),
    )


def _records(
    source: str, part: DataSet, names: Mapping[str, str], labels: Sequence[str]
) -> list[Record]:
    """Return a source's records under its name, with the joined labels."""
    column = [part.labels.index(names[label]) if label in names else -1 for label in labels]
    return [
        replace(
            record,
            patient_id=f"{source}/{record.patient_id}",
            study_id=f"{source}/{record.study_id}",
            path=f"{source}/{record.path}",
            labels=tuple(MASKED if c < 0 else record.labels[c] for c in column),
        )
        for record in part.records
    ]


def _refuse_copies(parts: Mapping[str, DataSet]) -> None:
    """Refuse CheXpert-v1.0 beside CheXpert-v1.0-small: each patient would be at two hospitals.

    The numbers alone tell nothing, since every CheXpert-shaped tree starts at patient00001: the
    labels have to agree too, and sex and age where both sources have them.
    """
    for (one, first), (other, second) in combinations(parts.items(), 2):
        if _NUMBER.sub("", one) != _NUMBER.sub("", other):
            continue  # data sets of two kinds name nothing alike
        has_people = _has_people(first) and _has_people(second)
        left, right = _rows(first, has_people), _rows(second, has_people)
        same = len(left & right)
        if same > (SAME_FRACTION if has_people else SAME_LABELS_FRACTION) * min(
            len(left), len(right)
        ):
            raise LeakError(
                f"{one} ({first.root}) and {other} ({second.root}): {same} images have the same "
                f"study, name and labels in both{', sex and age too' * has_people}: the same "
                f"patients would be in two places. Name one of them."
            )


def _has_people(dataset: DataSet) -> bool:
    return any(record.sex or record.age is not None for record in dataset.records)


def _rows(dataset: DataSet, has_people: bool) -> set[tuple[object, ...]]:
    return {
        (r.study_id, r.path.rpartition("/")[2], r.labels, *((r.sex, r.age) if has_people else ()))
        for r in dataset.records
    }
