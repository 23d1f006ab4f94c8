"""Subsets of patients in which every label is about as frequent as in the whole.

Iterative stratification: the rarest label is dealt out first, because a rare one that was dealt
badly cannot be mended later; each of its patients goes to the subset that still lacks most of it.

Source: Sechidis, Tsoumakas, Vlahavas 2011, "On the stratification of multi-label data", ECML PKDD,
algorithm 1.

Deviations: a subset that is full takes nobody, so that sizes are exact; of labels that are equally
rare the first comes first; desires are counted in whole numbers, P times the paper's, so that a tie
is a tie on every machine.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def stratify(
    positive: NDArray[np.bool_], sizes: Sequence[int], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the subset of each patient, (P,); subset k has exactly `sizes[k]` patients.

    Args:
        positive: (P, L), whether any image of the patient shows the label.
        sizes: of the K subsets, P in all.
        rng: the only source of chance: the order of the patients, and what decides ties.
    """
    num_patients = len(positive)
    order = rng.permutation(num_patients)
    dealer = _Dealer(positive, sizes, rng.random(num_patients).tolist())
    while (label := dealer.rarest()) is not None:
        for patient in order[positive[order, label]].tolist():
            dealer.deal(patient, label)
    subset_of = np.array(dealer.subset_of, dtype=np.int64)
    # Patients without a label come in the random order, and fill what is free.
    left = order[subset_of[order] < 0]
    subset_of[left] = np.repeat(np.arange(len(sizes)), dealer.room)
    return subset_of


class _Dealer:
    """The state of the algorithm. Plain lists: numpy costs more than such small sums."""

    def __init__(
        self, positive: NDArray[np.bool_], sizes: Sequence[int], chance: list[float]
    ) -> None:
        patients, labels = np.nonzero(positive)
        ends = np.cumsum(np.bincount(patients, minlength=len(positive)))
        self._labels, self._ends = labels.tolist(), [0, *ends.tolist()]
        self._chance = chance
        self._left = positive.sum(axis=0).tolist()
        """(L,) patients with the label who are not dealt yet."""
        self._want = [[count * size for size in sizes] for count in self._left]
        """(L, K) how many more patients with the label each subset wants, times P."""
        self.room = list(sizes)
        """(K,) how many more patients each subset takes."""
        self.subset_of = [-1] * len(positive)

    def rarest(self) -> int | None:
        """Return the label that fewest undealt patients have, None when none has any."""
        counts = [(count, label) for label, count in enumerate(self._left) if count]
        return min(counts)[1] if counts else None

    def deal(self, patient: int, label: int) -> None:
        """Give the patient to the subset that wants `label` most, unless they are dealt already."""
        if self.subset_of[patient] >= 0:
            return
        want, room = self._want[label], self.room
        most = max((want[k], free) for k, free in enumerate(room) if free)
        tied = [k for k, free in enumerate(room) if free and (want[k], free) == most]
        chosen = tied[int(self._chance[patient] * len(tied))]
        self.subset_of[patient] = chosen
        room[chosen] -= 1
        for own in self._labels[self._ends[patient] : self._ends[patient + 1]]:
            self._want[own][chosen] -= len(self.subset_of)
            self._left[own] -= 1
