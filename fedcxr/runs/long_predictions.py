"""The predictions of all trainings as one long Parquet file: a row an image and label.

For R, pandas and whatever else reads Parquet. It is written by DuckDB, which is not installed with
fedcxr but with its extra `parquet`.
"""

import importlib.util
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedcxr.atomic import write_bytes_atomically
from fedcxr.runs.predictions import Predictions

if TYPE_CHECKING:
    import pandas as pd

FILE = "predictions.parquet"


@dataclass(frozen=True, slots=True)
class TrainingPredictions:
    """What one trained model said of the images of one split."""

    arm: str
    seed: int
    site: str
    """Whose model it is; blank where it is not one site's."""
    split: str
    found: Predictions


def can_write_parquet() -> bool:
    """Return whether DuckDB is installed."""
    return importlib.util.find_spec("duckdb") is not None


def write_long_predictions(path: Path, trainings: Iterable[TrainingPredictions]) -> None:
    """Write a row for each image and label; the same predictions give the same bytes.

    Columns: arm, seed, site, split, image_id, study_id, patient_id, label, target (0, 1 or null
    where it is not known), probability. Scores by study are the maximum over its images.

    Raises:
        ImportError: DuckDB is not installed; see `can_write_parquet`.
    """
    import duckdb  # an extra, and only here

    with tempfile.TemporaryDirectory() as scratch, duckdb.connect() as database:
        database.execute("SET threads = 1")  # the order of the rows is that of the trainings
        is_made = False
        for each in trainings:
            database.register("rows", _long(each))
            verb = "INSERT INTO predictions" if is_made else "CREATE TABLE predictions AS"
            database.execute(f"{verb} SELECT * FROM rows")
            database.unregister("rows")
            is_made = True
        made = Path(scratch) / FILE
        database.execute(f"COPY predictions TO '{made}' (FORMAT parquet, COMPRESSION zstd)")
        write_bytes_atomically(path, made.read_bytes())


def long_frame(trainings: Iterable[TrainingPredictions]) -> "pd.DataFrame":
    """Return the rows that `write_long_predictions` writes, as a DataFrame."""
    import pandas as pd

    return pd.concat([_long(each) for each in trainings], ignore_index=True)


def _long(each: TrainingPredictions) -> "pd.DataFrame":
    import pandas as pd

    found = each.found
    images, labels = found.probs.shape
    target = found.target.ravel()
    known = ~np.isnan(target)
    by_image = {
        name: np.repeat(np.asarray(getattr(found, name), dtype=object), labels)
        for name in ("image_id", "study_id", "patient_id")
    }
    return pd.DataFrame(
        {
            "arm": each.arm,
            "seed": np.int64(each.seed),
            "site": each.site,
            "split": each.split,
            **by_image,
            "label": np.tile(np.asarray(found.labels, dtype=object), images),
            "target": pd.arrays.IntegerArray(np.where(known, target, 0).astype(np.int8), ~known),
            "probability": found.probs.ravel(),
        }
    )
