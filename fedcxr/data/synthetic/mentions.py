"""What a report says of the truth: 1, 0, -1 or blank, in CheXpert's proportions.

A labeller that reads reports affirms most findings, hedges on the mild ones, denies a few that are
absent and leaves the rest unmentioned. The rates follow from the counts of CheXpert's train.csv.
"No Finding" is what the labeller makes of the others: positive where it affirmed and hedged none of
them, Support Devices aside, and blank elsewhere (Irvin et al. 2019, §2.2).
"""

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.labels import (
    BLANK,
    CHEXPERT_LABELS,
    NEGATIVE,
    NO_FINDING,
    POSITIVE,
    SUPPORT_DEVICES,
    UNCERTAIN,
)

# Positive, negative, uncertain, blank in CheXpert's train.csv (223,414 rows).
TRAIN_COUNTS = {
    "No Finding": (22381, 0, 0, 201033),
    "Enlarged Cardiomediastinum": (10798, 21638, 12403, 178575),
    "Cardiomegaly": (27000, 11116, 8087, 177211),
    "Lung Opacity": (105581, 6599, 5598, 105636),
    "Lung Lesion": (9186, 1270, 1488, 211470),
    "Edema": (52246, 20726, 12984, 137458),
    "Consolidation": (14783, 28097, 27742, 152792),
    "Pneumonia": (6039, 2799, 18770, 195806),
    "Atelectasis": (33376, 1328, 33739, 154971),
    "Pneumothorax": (19448, 56341, 3145, 144480),
    "Pleural Effusion": (86187, 35396, 11628, 90203),
    "Pleural Other": (3523, 316, 2653, 216922),
    "Fracture": (9040, 2512, 642, 211220),
    "Support Devices": (116001, 6137, 1079, 100197),
}

UNCERTAIN_TRUE = 0.6
"""Share of the uncertain that are there."""
MAX_UNCERTAIN = 0.35
"""Most of a finding's positives that are hedged; more would leave the rare ones unlearnable."""
MISSED = 0.03
"""Share of the positives that the report leaves out."""
WRONG = 0.005
"""Share of entries with the opposite state."""


def mention(
    truth: NDArray[np.bool_], severity: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.int8]:
    """Return the (N, 14) states that a report labeller makes of the truth.

    Args:
        truth: (N, 14) along `CHEXPERT_LABELS`.
        severity: (N, 14) in [0, 1]; the mild are hedged twice as often as the mean.
        rng: draws which.
    """
    states = np.full(truth.shape, BLANK, dtype=np.int8)
    chance = rng.random(truth.shape)
    wrong = rng.random(truth.shape) < WRONG
    for column, label in enumerate(CHEXPERT_LABELS):
        there = truth[:, column]
        if label == NO_FINDING:
            continue
        unsure, denied, unsure_absent = _rates(label)
        hedge = 2 * unsure * (1 - severity[:, column])
        draw = chance[:, column]
        said = np.where(draw < hedge, UNCERTAIN, np.where(draw > 1 - MISSED, BLANK, POSITIVE))
        kept = np.where(draw < denied, NEGATIVE, BLANK)
        kept[draw > 1 - unsure_absent] = UNCERTAIN
        column_states = np.where(there, said, kept)
        flipped = wrong[:, column]
        column_states[flipped] = np.where(there[flipped], NEGATIVE, POSITIVE)
        states[:, column] = column_states
    findings = [label not in (NO_FINDING, SUPPORT_DEVICES) for label in CHEXPERT_LABELS]
    affirmed = np.isin(states[:, findings], (POSITIVE, UNCERTAIN)).any(axis=1)
    states[~affirmed, CHEXPERT_LABELS.index(NO_FINDING)] = POSITIVE
    return states


def _rates(label: str) -> tuple[float, float, float]:
    """Return how often a present finding is hedged, an absent one denied, an absent one hedged."""
    positive, negative, uncertain, blank = TRAIN_COUNTS[label]
    true_uncertain = UNCERTAIN_TRUE * uncertain
    absent = negative + blank + uncertain - true_uncertain
    hedged = min(MAX_UNCERTAIN, true_uncertain / (positive + true_uncertain))
    return hedged, negative / absent, (uncertain - true_uncertain) / absent
