"""Which data set a folder holds: recognised by the names of its tables and by their headers."""

from collections.abc import Callable
from pathlib import Path

from fedcxr.data.labels import CHEXPERT_LABELS, NIH14_LABELS
from fedcxr.data.readers import site_folder
from fedcxr.data.readers.chexpert_places import subfolders
from fedcxr.data.readers.chexpert_tables import LABEL_TABLES, TEST_CSVS, TRAIN_CSV, VALID_CSVS
from fedcxr.data.readers.csv_file import read_header
from fedcxr.data.readers.nih14 import ENTRY_GLOB, entry_tables, is_entry_header
from fedcxr.data.readers.nih14_onehot import is_onehot_header, onehot_tables
from fedcxr.data.readers.presets import PRESETS, preset_file, presets_in
from fedcxr.data.readers.site_folder import SITE_CSV, site_labels_of
from fedcxr.errors import DataError, some
from fedcxr.filenames import DATASET_YAML

CHEXPERT, NIH14, NIH14_ONEHOT = "chexpert", "nih14", "nih14-onehot"
OWN, SITE = "own", site_folder.LAYOUT

KINDS = {
    **{CHEXPERT: "chexpert", NIH14: "nih14", NIH14_ONEHOT: "nih14", OWN: OWN, SITE: SITE},
    **{name: name for name in PRESETS},
}
"""By layout, whose labels and patients these are."""


def labels_of(folder: Path, layout: str) -> tuple[str, ...]:
    """Return the labels of the data set in a folder.

    Raises:
        ConfigError: its `dataset.yaml` is wrong.
        RecordError: its `site.csv` is.
    """
    if layout == OWN or layout in PRESETS:
        from fedcxr.config.dataset_file import read_dataset_file  # pydantic, for these layouts

        file = preset_file(layout) if layout in PRESETS else folder / DATASET_YAML
        return tuple(read_dataset_file(file).says.labels)
    if layout == SITE:
        return site_labels_of(folder)
    return CHEXPERT_LABELS if layout == CHEXPERT else NIH14_LABELS


def recognise(root: Path, label_table: str | None = None) -> tuple[Path, str]:
    """Return the folder that holds the tables, `root` itself or a child of it, and the layout.

    A `dataset.yaml` or `site.csv` in the folder itself comes before all else. A table to train on
    anywhere comes before other training labels, and those before tables that one can only evaluate
    on: the AIMI download has train.csv in a batch folder and cheXbert's labels one folder above.

    Args:
        root: as the user names it.
        label_table: a table that also makes its folder a CheXpert.

    Raises:
        DataError: there is no data set, or more than one.
    """
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder. Name the data set's folder.")
    children = [root / name for name in subfolders(root)]

    def has_other_labels(folder: Path) -> list[str]:
        names = [*LABEL_TABLES, *([label_table] if label_table else [])]
        return [CHEXPERT] if any((folder / name).is_file() for name in names) else []

    found = _in([root], _described)
    for layouts in (_trainable, has_other_labels, _evaluable):
        found = found or _in([root], layouts) or _in(children, layouts)
    if len(found) == 1:
        return found[0]
    if not found:
        names = some(sorted(path.name for path in root.iterdir())) or "nothing"
        raise DataError(
            f"{root}: neither CheXpert ({TRAIN_CSV}) nor NIH ChestX-ray14 ({ENTRY_GLOB}, or "
            f"one-hot tables), {', '.join(PRESETS)}, nor {DATASET_YAML} or {SITE_CSV}, is here or "
            f"one folder below; "
            f"there is {names}. Name the folder with the table; for a table of your own "
            f"`fedcxr init-data {root}` proposes a {DATASET_YAML}."
        )
    places = some([f"{folder} ({layout})" for folder, layout in found])
    raise DataError(f"{root}: several data sets: {places}. Name one of them.")


def _in(folders: list[Path], layouts: Callable[[Path], list[str]]) -> list[tuple[Path, str]]:
    return [(folder, layout) for folder in folders for layout in layouts(folder)]


def _described(folder: Path) -> list[str]:
    """Return the layouts that a folder says by a file of one name."""
    files = {DATASET_YAML: OWN, SITE_CSV: SITE}
    return [layout for name, layout in files.items() if (folder / name).is_file()]


def _trainable(folder: Path) -> list[str]:
    """Return the layouts of the tables to train on; NIH's are told by their columns too."""
    described = _described(folder)
    if described:
        return described
    is_chexpert = (folder / TRAIN_CSV).is_file() and not _is_nih(folder / TRAIN_CSV)
    return [
        *([CHEXPERT] if is_chexpert else []),
        *([NIH14] if entry_tables(folder) else []),
        *([NIH14_ONEHOT] if onehot_tables(folder) else []),
        *presets_in(folder),
    ]


def _evaluable(folder: Path) -> list[str]:
    names = (*VALID_CSVS, *TEST_CSVS)
    headers = [read_header(folder / name) for name in names if (folder / name).is_file()]
    return [CHEXPERT] if any("Path" in header or "Study" in header for header in headers) else []


def _is_nih(csv_path: Path) -> bool:
    header = read_header(csv_path)
    return is_onehot_header(header) or is_entry_header(header)
