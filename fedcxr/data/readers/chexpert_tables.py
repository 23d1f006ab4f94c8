"""Which tables a CheXpert folder has, under the names that its copies give them.

Irvin et al.'s train.csv and valid.csv; Stanford's later labels of the same train images, of which
one may be chosen; the 2022 test labels, by study; and CheXlocalize's val and test labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcxr.data.labels import CHEXPERT_LABELS
from fedcxr.data.readers.chexpert_places import BATCH, subfolders
from fedcxr.errors import DataError, some

TRAIN_CSV = "train.csv"
LABEL_TABLES = ("train_cheXbert.csv", "train_visualCheXbert.csv")
"""Stanford's other labels of the train images: cheXbert's keep -1 and blank, visualCheXbert's are
0 or 1 throughout."""
VALID_CSVS = ("valid.csv", "val_labels.csv")
"""Of CheXpert and of CheXlocalize."""
TEST_CSVS = ("groundtruth.csv", "test/groundtruth.csv", "test_labels.csv", "test.csv")
"""Where copies keep the labels of the 2022 test set; the first one found is read."""

ALIASES = {
    **{label.replace(" ", "_"): label for label in CHEXPERT_LABELS},
    "Frontal_Lateral": "Frontal/Lateral",
    "AP_PA": "AP/PA",
    "Airspace Opacity": "Lung Opacity",  # CheXlocalize's name for it
}
"""Other spellings of the columns."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one CheXpert folder."""

    home: Path
    """The root of the record paths."""
    train: Path | None
    """None where there are only images to evaluate on."""
    valid: Path | None
    test: Path | None
    notes: tuple[str, ...]


def find_tables(folder: Path, label_table: str | None = None) -> Tables:
    """Return the tables of the CheXpert data set whose tables lie in `folder`.

    Args:
        folder: with train.csv or another of CheXpert's tables; of the AIMI download it may be
            the batch folder that holds them, and the root is then the folder of the batches.
        label_table: the name of the table of training labels; it may also lie one folder up or
            down. None = train.csv.

    Raises:
        DataError: the table of training labels is not there, or is one of two to choose from.
    """
    home = folder
    if BATCH.search(folder.name) and not (folder / "train").is_dir():
        home = folder.parent
    notes: list[str] = []
    if label_table is not None:
        train: Path | None = _named_table(folder, home, label_table)
        if label_table != TRAIN_CSV:
            notes.append(f"The training labels are those of {label_table}, not of {TRAIN_CSV}.")
    else:
        train = _default_table(folder, notes)
    valid, test = (_first(folder, names, notes) for names in (VALID_CSVS, TEST_CSVS))
    return Tables(home, train, valid, test, tuple(notes))


def _first(folder: Path, names: Sequence[str], notes: list[str]) -> Path | None:
    """Return the first table that is there; others beside it are told of in the notes."""
    there = [name for name in names if (folder / name).is_file()]
    if len(there) > 1:
        notes.append(f"The table is {there[0]}; {some(there[1:])} beside it is not read.")
    return folder / there[0] if there else None


def _named_table(folder: Path, home: Path, name: str) -> Path:
    below = [home / child for child in subfolders(home)]
    places = dict.fromkeys([folder, home, folder.parent, *below])
    for place in places:
        if (place / name).is_file():
            return place / name
    there = sorted({path.name for path in (folder, home) for path in path.glob("*.csv")})
    raise DataError(
        f"{folder}: no table {name} here, one folder up or one down; there is "
        f"{some(there) or 'no CSV file'}. Put it beside {TRAIN_CSV}, or give --label-table one of "
        f"these."
    )


def _default_table(folder: Path, notes: list[str]) -> Path | None:
    if (folder / TRAIN_CSV).is_file():
        return folder / TRAIN_CSV
    others = [name for name in LABEL_TABLES if (folder / name).is_file()]
    if len(others) > 1:
        raise DataError(
            f"{folder}: no {TRAIN_CSV}, and both {' and '.join(others)}. Say which labels to "
            f"train on with --label-table."
        )
    if not others:
        return None
    notes.append(f"There is no {TRAIN_CSV}: the training labels are those of {others[0]}.")
    return folder / others[0]
