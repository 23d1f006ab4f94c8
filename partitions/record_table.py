"""Records as the columns that a run may write: identifiers replaced by keyed tokens."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.records import DataSet, RecordTable
from fedcxr.data.tokens import Tokens


def tokenise(dataset: DataSet, tokens: Tokens, split: list[str]) -> RecordTable:
    """Return the records as a table of tokens, in the records' order.

    Args:
        dataset: N records.
        tokens: of the patient key.
        split: (N,) the split to write beside each.
    """
    records = dataset.records
    patient = {p: tokens.patient(p) for p in {r.patient_id for r in records}}
    study = {s: tokens.study(s) for s in {r.study_id for r in records}}
    return RecordTable(
        labels=dataset.labels,
        image_id=tuple(tokens.image(r.path) for r in records),
        patient_id=tuple(patient[r.patient_id] for r in records),
        study_id=tuple(study[r.study_id] for r in records),
        split=tuple(split),
        view=tuple(r.view for r in records),
        projection=tuple(r.projection for r in records),
        sex=tuple(r.sex for r in records),
        age=tuple(r.age for r in records),
        states=dataset.states(),
    )


def join(tables: Sequence[RecordTable]) -> RecordTable:
    """Return the rows of several tables with the same labels, in the order of their image tokens.

    Where each came from cannot be told from the order. Paths, which are relative to a table's own
    folder, are left out.
    """
    first = tables[0]
    whole = RecordTable(
        labels=first.labels,
        image_id=tuple(x for table in tables for x in table.image_id),
        patient_id=tuple(x for table in tables for x in table.patient_id),
        study_id=tuple(x for table in tables for x in table.study_id),
        split=tuple(x for table in tables for x in table.split),
        view=tuple(x for table in tables for x in table.view),
        projection=tuple(x for table in tables for x in table.projection),
        sex=tuple(x for table in tables for x in table.sex),
        age=tuple(x for table in tables for x in table.age),
        states=np.concatenate([table.states for table in tables]),
    )
    return take(whole, np.argsort(np.array(whole.image_id), kind="stable"))


def take(table: RecordTable, rows: NDArray[np.int64]) -> RecordTable:
    """Return the table's rows at the given positions, in that order."""
    at = rows.tolist()
    return RecordTable(
        labels=table.labels,
        image_id=tuple(table.image_id[i] for i in at),
        patient_id=tuple(table.patient_id[i] for i in at),
        study_id=tuple(table.study_id[i] for i in at),
        split=tuple(table.split[i] for i in at),
        view=tuple(table.view[i] for i in at),
        projection=tuple(table.projection[i] for i in at),
        sex=tuple(table.sex[i] for i in at),
        age=tuple(table.age[i] for i in at),
        states=table.states[rows],
    )
