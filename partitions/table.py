"""The CSV file of one site or of one of the server's splits: written, and read back strictly.

A site reads its own file and nothing else of the plan; a real hospital brings the same file, with
one more column, `path`, that says where each image is, relative to the file's folder. A label cell
is 1, 0, -1, blank, or NA where the source of the image does not have the label.
"""

import csv
from dataclasses import replace
from pathlib import Path

from fedcxr.data.identity import normal_ids
from fedcxr.data.labels import BLANK, MASKED
from fedcxr.data.readers.site_folder import COLUMNS, parse_site_table
from fedcxr.data.records import RecordTable
from partitions.patients import prove_disjoint, table_sets

_WRITTEN = {BLANK: "", MASKED: "NA"}


def write_table(table: RecordTable, csv_path: Path) -> None:
    """Write the records, in their order."""
    own = ["path"] if table.path is not None else []
    columns = [
        table.image_id,
        table.patient_id,
        table.study_id,
        table.split,
        table.view,
        table.projection,
        table.sex,
        ["" if age is None else age for age in table.age],
        *([table.path] if table.path is not None else []),
        *([[_WRITTEN.get(s, s) for s in states] for states in table.states.T.tolist()]),
    ]
    with csv_path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *own, *table.labels])
        writer.writerows(zip(*columns, strict=True))


def read_table(csv_path: Path) -> RecordTable:
    """Return the records of a site's or a split's CSV file; its labels are those of the header.

    Raises:
        RecordError: a column is missing, or a cell holds what it may not.
        DataError: a path leads out of the file's folder.
        LeakError: a patient is in two splits of the file.
    """
    table = parse_site_table(csv_path)
    is_own = table.path is not None
    prove_disjoint(table_sets(csv_path.stem, _told_apart(table) if is_own else table))
    return table


def _told_apart(table: RecordTable) -> RecordTable:
    """Return a hospital's own table with its patients as `normal_id` spells them.

    Not the tables of a partition: their tokens are of one length and in one spelling.
    """
    known = normal_ids(table.patient_id)
    return replace(table, patient_id=tuple(known[patient] for patient in table.patient_id))
