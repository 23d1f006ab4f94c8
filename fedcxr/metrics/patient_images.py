"""Whose images a label's positives and negatives are, patient by patient."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

STATES = ((1, "positive"), (0, "negative"))


@dataclass(frozen=True, slots=True)
class PatientImages:
    """The images of P patients by what is known of L labels."""

    patient: NDArray[np.intp]  # (N,) in 0 to P - 1
    positives: NDArray[np.int64]  # (L, P)
    negatives: NDArray[np.int64]  # (L, P)

    @classmethod
    def of(
        cls, truth: NDArray[np.floating], patient: NDArray[np.intp], num_patients: int | None = None
    ) -> "PatientImages":
        """Return them of targets (N, L) in {0, 1, nan}, each row's patient given as a number.

        Args:
            truth: (N, L).
            patient: (N,) from 0 on.
            num_patients: P, if it is more than are met.
        """
        num = num_patients or int(patient.max(initial=-1)) + 1

        def count(state: int) -> NDArray[np.int64]:
            counted = [np.bincount(patient[column == state], minlength=num) for column in truth.T]
            return np.array(counted, dtype=np.int64).reshape(truth.shape[1], num)

        return cls(patient, count(1), count(0))

    @property
    def has_finding(self) -> NDArray[np.bool_]:
        """Return (L, P) whether some image of the patient is positive."""
        return self.positives > 0

    @property
    def images(self) -> NDArray[np.int64]:
        """Return (L, P) the images of known target."""
        return self.positives + self.negatives

    @property
    def patients(self) -> NDArray[np.intp]:
        """Return (L, 2) patients with the finding on some image, and without it on some."""
        return np.stack(
            [np.count_nonzero(each, axis=1) for each in (self.positives, self.negatives)], axis=1
        )

    def missing(self, column: int) -> str | None:
        """Return which class the label lacks, None if it has both."""
        missing = [
            name for (_, name), num in zip(STATES, self.patients[column], strict=True) if not num
        ]
        if len(missing) == 2:
            return "no known target"
        return f"no known {missing[0]}" if missing else None

    def alone(self, column: int) -> str | None:
        """Return which class of the label is all of one patient."""
        for (_, name), num in zip(STATES, self.patients[column], strict=True):
            if num == 1:
                return f"no interval: all {name}s are of one patient"
        return None


def group(patient_id: ArrayLike) -> NDArray[np.intp]:
    """Return (N,) the number of each row's patient, 0 to P - 1 in the order of their names.

    >>> group(["p2", "p1", "p2"])
    array([1, 0, 1])
    """
    _, number = np.unique(np.asarray(patient_id), return_inverse=True)
    return number


def check_patients(patient_id: ArrayLike, num_images: int) -> NDArray[np.intp]:
    """Return each image's patient as a number, (N,).

    Raises:
        ValueError: there is no image, or `patient_id` is not (N,).
    """
    patient = group(patient_id)
    if patient.shape != (num_images,) or not num_images:
        raise ValueError(f"patient_id must be ({num_images},) and not empty: {patient.shape}")
    return patient
