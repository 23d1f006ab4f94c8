"""What the trainings of a comparison predicted, read as it is scored, and checked to be alike."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fedcxr.errors import ArtefactError
from fedcxr.metrics.studies import as_scored
from fedcxr.runs.predictions import Predictions, read_predictions


def read_scored(file: Path, split: str = "test") -> Predictions:
    """Return a file's predictions of a split, a row an image or a study, as the run scores.

    Raises:
        ArtefactError: the file is missing or damaged.
    """
    found, score_by = read_predictions(file, split)
    return as_scored(found, score_by)


def same_patients(scored: Mapping[str, Predictions]) -> Predictions:
    """Return the first training's test set once all others are seen to have the same.

    Args:
        scored: by training.

    Raises:
        ArtefactError: one has other images or labels.
    """
    (first_name, first), *others = scored.items()
    for name, found in others:
        same = (
            found.labels == first.labels
            and np.array_equal(found.image_id, first.image_id)
            and np.array_equal(found.target, first.target, equal_nan=True)
        )
        if not same:
            raise ArtefactError(
                f"{name} was judged on other images or labels than {first_name}. "
                "A file was changed after the run; compare anew."
            )
    return first
