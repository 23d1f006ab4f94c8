"""Public data sets that fedcxr knows: a `dataset.yaml` each, in this package.

Which folder holds one is told by the names of its tables alone.
"""

from pathlib import Path

from fedcxr.data.readers.table_files import find_table

PRESETS = {
    "mimic-cxr-jpg": (
        "mimic-cxr-2.0.0-metadata.csv.gz",
        "mimic-cxr-2.0.0-chexpert.csv.gz",
        "mimic-cxr-2.0.0-split.csv.gz",
    ),
    "padchest": ("PADCHEST_chest_x_ray_images_labels_160K*.csv.gz",),
    "vindr-cxr": ("annotations/image_labels_train.csv", "annotations/image_labels_test.csv"),
    "brax": ("master_spreadsheet_update.csv",),
    "rsna-pneumonia": ("stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"),
    "chexpert-plus": ("df_chexpert_plus_240401.csv", "chexbert_labels/impression_fixed.json"),
}
"""By name, the tables that tell it."""

_FOLDER = Path(__file__).resolve().parent.parent / "presets"


def preset_file(name: str) -> Path:
    """Return the `dataset.yaml` of a public data set."""
    return _FOLDER / f"{name}.yaml"


def presets_in(folder: Path) -> list[str]:
    """Return the public data sets whose tables a folder holds.

    Raises:
        DataError: two tables have the name of one.
    """
    return [
        name
        for name, tables in PRESETS.items()
        if all(find_table(folder, table) is not None for table in tables)
    ]
