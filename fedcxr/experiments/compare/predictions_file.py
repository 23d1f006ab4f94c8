"""What all trainings of a comparison said of its held-out and external images, as one file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from fedcxr.experiments.compare.arms import Training
from fedcxr.experiments.compare.external_sets import EXTERNAL
from fedcxr.experiments.compare.predict_held_out import external_file
from fedcxr.runs.long_predictions import (
    FILE,
    TrainingPredictions,
    can_write_parquet,
    write_long_predictions,
)
from fedcxr.runs.predictions import read_prediction_sets, read_predictions


def write_predictions_file(folder: Path, trainings: Sequence[Training]) -> None:
    """Write `predictions.parquet` into a comparison's folder, if what writes it is installed."""
    if can_write_parquet():
        write_long_predictions(folder / FILE, _all_predictions(trainings))


def _all_predictions(trainings: Sequence[Training]) -> Iterator[TrainingPredictions]:
    for one in trainings:
        sets, _ = read_prediction_sets(one.folder / "predictions.npz", ("test", "val"))
        for split, found in sets.items():
            yield TrainingPredictions(one.arm, one.seed, one.site, split, found)
        for kept in one.external:
            found, _ = read_predictions(external_file(one.folder, kept))
            split = f"{EXTERNAL}/{kept.name}"
            yield TrainingPredictions(one.arm, one.seed, one.site, split, found)
