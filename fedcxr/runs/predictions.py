"""What a model said of images: all that any figure of a report can be computed from again.

Arrays only, never a pickled object. Probabilities are by image; `metrics.studies.as_scored` joins
the images of a study where the run scores studies.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.atomic import write_bytes_atomically
from fedcxr.errors import ArtefactError

ATTRIBUTES = ("sex", "age", "view", "projection")
"""Of each image's patient and picture; `age` in years, nan = not known."""

_IDS = ("image_id", "study_id", "patient_id")


@dataclass(frozen=True, slots=True)
class Predictions:
    """Probabilities of N images and L labels, with the truth and whose they are."""

    labels: tuple[str, ...]
    probs: NDArray[np.float32] = field(repr=False)
    """(N, L)."""
    target: NDArray[np.float32] = field(repr=False)
    """(N, L) in {0, 1, nan}; nan = not known."""
    image_id: NDArray[np.str_] = field(repr=False)
    study_id: NDArray[np.str_] = field(repr=False)
    patient_id: NDArray[np.str_] = field(repr=False)
    attributes: Mapping[str, NDArray[np.generic]] = field(default_factory=dict, repr=False)
    """(N,) each, by the names of `ATTRIBUTES`."""

    def positive_and_known(self, column: int) -> tuple[int, int]:
        """Return how many images have a label, and of how many it is known."""
        target = self.target[:, column]
        return int((target == 1).sum()), int((~np.isnan(target)).sum())


def write_predictions(path: Path, sets: Mapping[str, Predictions], score_by: str) -> None:
    """Write test images under the plain names, and other sets under `<set>_<name>`.

    Args:
        path: the npz file.
        sets: by split, `test` among them; all of the same labels.
        score_by: `image` or `study`.
    """
    arrays: dict[str, NDArray[np.generic]] = {"score_by": np.array(score_by)}
    for split, found in sets.items():
        start = "" if split == "test" else f"{split}_"
        arrays["labels"] = np.array(found.labels)
        for name in ("probs", "target", *_IDS):
            arrays[start + name] = getattr(found, name)
        arrays |= {start + name: values for name, values in found.attributes.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # its stub knows no strings
    write_bytes_atomically(path, buffer.getvalue())


def read_predictions(path: Path, split: str = "test") -> tuple[Predictions, str]:
    """Return the predictions of a split by image, and how the run scores.

    Raises:
        ArtefactError: the file is missing, damaged, or lacks the split.
    """
    found, score_by = read_prediction_sets(path, [split])
    return found[split], score_by


def read_prediction_sets(
    path: Path, splits: Sequence[str], *, all_there: bool = True
) -> tuple[dict[str, Predictions], str]:
    """Return the predictions of some splits, the file read once, and how the run scores.

    Args:
        path: the npz file.
        splits: `test`, or what the others are called.
        all_there: whether a split that the file lacks is an error; it is left out otherwise.

    Raises:
        ArtefactError: as `read_predictions`.
    """
    found: dict[str, Predictions] = {}
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            score_by = str(file["score_by"]) if "score_by" in file else "image"
            labels = tuple(str(label) for label in file["labels"])
            for split in splits:
                start = "" if split == "test" else f"{split}_"
                if all_there or f"{start}probs" in file:
                    found[split] = _read_set(file, start, labels)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as err:
        raise ArtefactError(
            f"{path}: not the predictions of a run ({err}). Evaluate the run again: "
            f"`fedcxr resume {path.parent}`."
        ) from err
    return found, score_by


def _read_set(file: Mapping[str, NDArray[Any]], start: str, labels: tuple[str, ...]) -> Predictions:
    arrays = {name: file[start + name] for name in ("probs", "target", *_IDS)}
    given = {name: file[start + name] for name in ATTRIBUTES if start + name in file}
    found = Predictions(labels, **arrays, attributes=given)
    if found.probs.shape != found.target.shape or found.probs.shape[1:] != (len(labels),):
        raise ValueError(
            f"probs {found.probs.shape} and target {found.target.shape} do not fit "
            f"{len(labels)} labels"
        )
    return found
