"""What is known of each patient, from all of their images: a row a patient, made once a partition.

Schemes and splits decide about patients; this is the only place that looks at their images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.labels import MASKED, POSITIVE


@dataclass(frozen=True, slots=True)
class PatientTable:
    """Counts of images, by patient."""

    images: NDArray[np.int64]
    """(P,)"""
    positives: NDArray[np.int64]
    """(P, L) images that show the label."""
    masked: NDArray[np.int64]
    """(P, L) images whose source does not have the label."""

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Return whether any image of the patient shows the label, (P, L)."""
        return self.positives > 0

    def rows(self, patients: NDArray[np.int64]) -> "PatientTable":
        """Return the table of some of the patients, in the given order."""
        return PatientTable(self.images[patients], self.positives[patients], self.masked[patients])


def count_by_patient(
    patient_of: NDArray[np.int64], states: NDArray[np.int8], num_patients: int
) -> PatientTable:
    """Return the counts of each patient.

    Args:
        patient_of: (N,) the patient of each image, in 0 … P-1.
        states: (N, L) label states (`fedcxr/data/labels.py`).
        num_patients: P.
    """

    def count(state: int) -> NDArray[np.int64]:
        counts = np.zeros((num_patients, states.shape[1]), dtype=np.int64)
        for label in range(states.shape[1]):
            having = patient_of[states[:, label] == state]
            counts[:, label] = np.bincount(having, minlength=num_patients)
        return counts

    images = np.bincount(patient_of, minlength=num_patients)
    return PatientTable(images, count(POSITIVE), count(MASKED))


def majority(
    cells: Sequence[str], patient_of: NDArray[np.int64], num_patients: int
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the distinct cells, sorted, and which of them most images of each patient have.

    A blank has no vote: a patient is blank only if all of their images are. Between cells that
    equally many images have, the first in sorted order wins.

    Args:
        cells: (N,) a value of each image.
        patient_of: (N,) the patient of each image, in 0 … P-1; each patient has an image.
        num_patients: P.

    Returns:
        The values that some patient is given, and (P,) positions in them.

    >>> majority(["PA", "", "AP", "PA", ""], np.array([0, 0, 1, 1, 2]), 3)
    (('', 'AP', 'PA'), array([2, 1, 0]))
    """
    distinct = sorted(set(cells) | {""})  # a blank sorts first: it is number 0
    number = {cell: i for i, cell in enumerate(distinct)}
    code = np.array([number[cell] for cell in cells], dtype=np.int64)
    votes, counts = np.unique(patient_of * len(distinct) + code, return_counts=True)
    patient, choice = np.divmod(votes, len(distinct))
    counts[choice == 0] = 0
    order = np.lexsort((choice, -counts, patient))
    _, first = np.unique(patient[order], return_index=True)
    given, code_of = np.unique(choice[order][first], return_inverse=True)
    return tuple(distinct[i] for i in given), code_of.reshape(num_patients)
