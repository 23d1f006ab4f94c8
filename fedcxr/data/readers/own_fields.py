"""What is known of each image of a folder of one's own: from its row, else from its header.

What must be known and nobody says, the patient and the view, is refused; the rest is unknown, and
the notes have the numbers.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

from fedcxr.config.dataset_file import DatasetFile
from fedcxr.data.readers.dicom_facts import DicomFacts
from fedcxr.data.readers.own_cells import OwnTable
from fedcxr.data.readers.own_tables import SPLIT
from fedcxr.errors import RecordError
from fedcxr.filenames import DATASET_YAML

OTHER_VIEW = "other"

_PROJECTIONS = {"ap": "AP", "pa": "PA", "ll": "LL", "rl": "RL"}


@dataclass(frozen=True, slots=True)
class OwnImages:
    """The table, the headers of its files, and what is to be said of both."""

    own: OwnTable
    paths: tuple[str, ...]
    facts: Mapping[str, DicomFacts]
    notes: list[str] = field(default_factory=list)
    of_headers: dict[str, int] = field(default_factory=dict)
    """What is of the headers, each with the number of images of which they do not say it."""

    @property
    def file(self) -> DatasetFile:
        """Return the file that says what the columns mean."""
        return self.own.file

    def headers(self) -> Iterator[DicomFacts | None]:
        """Return what each row's header says; none where there is no DICOM file."""
        return (self.facts.get(path) for path in self.paths)

    def note(self, key: str, lacking: int) -> None:
        """Keep that something is of the headers, or of nobody, and of how many images."""
        if self.facts:
            self.of_headers[key] = lacking
        elif lacking:
            self.notes.append(f"{DATASET_YAML}: no {key}: unknown in all images.")

    def all_notes(self) -> tuple[str, ...]:
        """Return the notes; first what is of the headers, with how many images do not say it."""
        said = [
            f"{key} ({lacking} do not say it)" if lacking else key
            for key, lacking in self.of_headers.items()
        ]
        first = [f"Of the DICOM headers: {', '.join(said)}."] if said else []
        return (*first, *self.notes)


def patients_of(read: OwnImages) -> list[str]:
    """Return whom each image is of, as `normal_id` spells it; RecordError where nobody says it."""
    column = read.file.says.patient
    if column is not None:
        cells = read.own.identifiers(column, ("patient",))
        read.own.refuse(
            [i for i, cell in enumerate(cells) if not cell], column, ("patient",), "an identifier"
        )
        return cells
    found = [header.patient if header else "" for header in read.headers()]
    _refuse_unsaid(read, [i for i, one in enumerate(found) if not one], "patient", "PatientID")
    read.note("patient", 0)
    return found


def studies_of(read: OwnImages, patients: Sequence[str]) -> list[str]:
    """Return the study of each image, unique in the data set; of no study, one of its own."""
    column = read.file.says.study
    if column is not None:
        found = read.own.cells(column)
    else:
        found = [header.study if header else "" for header in read.headers()]
    lacking = found.count("")
    if column is None and lacking < len(found):
        read.note("study", 0)
    if lacking:
        read.notes.append(f"{lacking} images say no study; each counts as one of its own.")
    stems = (path.rpartition(".")[0] or path for path in read.paths)
    return [
        f"{patient}/{study or stem}"
        for patient, study, stem in zip(patients, found, stems, strict=True)
    ]


def views_of(read: OwnImages) -> list[str]:
    """Return the view of each image; empty where unknown, and `OTHER_VIEW`, are left out."""
    rule = read.file.says.view
    of_header = [header.view if header else "" for header in read.headers()]
    if rule.column is None:
        found = of_header
        read.note("view", found.count(""))
    else:
        words = {
            "frontal": rule.frontal,
            "lateral": rule.lateral,
            "": ("",),
            OTHER_VIEW: rule.other,
        }
        of_table = read.own.named(rule.column, words, ("view",))
        found = [said or view for said, view in zip(of_table, of_header, strict=True)]
        other = [
            position
            for position, (said, view) in enumerate(zip(of_table, of_header, strict=True))
            if said and view and said != view
        ]
        if other:
            read.notes.append(
                f"{len(other)} images are of another view by their DICOM header than by the table, "
                f"which counts ({read.own.tables.rows(other)})."
            )
    lacking = [i for i, view in enumerate(found) if not view]
    if rule.unknown is None:
        _refuse_unsaid(read, lacking, "view", "ViewPosition or PatientOrientation")
        return found
    if lacking:
        read.notes.append(f"{len(lacking)} images say no view: {rule.unknown}, as view.unknown is.")
    stands_for = "" if rule.unknown == "left out" else rule.unknown
    return [view or stands_for for view in found]


def _refuse_unsaid(read: OwnImages, bad: Sequence[int], key: str, element: str) -> None:
    """Raise where neither the table nor a header says something that must be known."""
    if not bad:
        return
    has_headers = [i for i in bad if read.paths[i] in read.facts]
    header = (
        f"the DICOM header of {len(has_headers)} of them has no {element}"
        if has_headers
        else "no DICOM file is there that could say it"
    )
    mend = " or what `view.unknown` is: frontal, lateral or left out" if key == "view" else ""
    raise RecordError(
        f"{read.file.at(key)}: {len(bad)} of {len(read.paths)} images of "
        f"{read.own.tables.name} ({read.own.tables.rows(bad)}) say no {key}: {header}; "
        f"the first is {read.paths[bad[0]]}. Name the column that says it"
        f"{mend}, or take these rows out."
    )


def projections_of(read: OwnImages) -> list[str]:
    """Return AP, PA, LL or RL where the view's own cell or the header says it."""
    view = read.file.says.view
    column = view.projection or view.column
    cells: Iterable[str] = read.own.cells(column) if column else repeat("", len(read.paths))
    of_header = (header.projection if header else "" for header in read.headers())
    return [
        _PROJECTIONS.get(cell.casefold(), "") or projection
        for cell, projection in zip(cells, of_header, strict=True)
    ]


def sexes_of(read: OwnImages) -> list[str]:
    """Return F, M or blank."""
    rule = read.file.says.sex
    if rule is not None:
        words = {"F": rule.F, "M": rule.M, "": rule.blank}
        return read.own.named(rule.column, words, ("sex",))
    found = [header.sex if header else "" for header in read.headers()]
    read.note("sex", found.count(""))
    return found


def ages_of(read: OwnImages) -> list[int | None]:
    """Return years, None where nobody says them."""
    rule = read.file.says.age
    if rule is not None:
        return read.own.ages(rule)
    found = [header.age if header else None for header in read.headers()]
    read.note("age", found.count(None))
    return found


def splits_of(own: OwnTable) -> Iterable[str]:
    """Return the split of each row, blank where the table has none."""
    rule = own.file.says.split
    if "" not in own.file.says.table:
        return own.table[SPLIT]
    if rule is None:
        return repeat("", len(own.table))
    words = {"train": rule.train, "val": rule.val, "test": rule.test}
    return own.named(rule.column, words, ("split",))
