"""Label vocabularies, and the states that a label can have.

A radiologist's report can affirm a finding, deny it, hedge, or not mention it. The four are kept
apart as small integers until a stated policy turns them into targets (`fedcxr/data/policies.py`). A
fifth, masked, stands where the source has no such label.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

POSITIVE = 1
NEGATIVE = 0
UNCERTAIN = -1
BLANK = -2
MASKED = -3
"""The source does not have this label at all: never a target, whatever the policy."""

NO_FINDING = "No Finding"
SUPPORT_DEVICES = "Support Devices"
"""Not a finding: an image with nothing but devices on it is one of No Finding."""

CHEXPERT_LABELS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
"""The columns of CheXpert's train.csv, in its order."""

COMPETITION_LABELS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Pleural Effusion",
)
"""The five by which CheXpert's competition was scored (Irvin et al. 2019, §4)."""

NIH14_LABELS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)
"""The 14 findings of NIH ChestX-ray14, as they are spelled in Data_Entry_2017.csv."""

NIH14_IN_CHEXPERT = {
    "Atelectasis": "Atelectasis",
    "Cardiomegaly": "Cardiomegaly",
    "Consolidation": "Consolidation",
    "Edema": "Edema",
    "Effusion": "Pleural Effusion",
    "Pneumonia": "Pneumonia",
    "Pneumothorax": "Pneumothorax",
}
"""The findings that both vocabularies have, by NIH's name: only those that mean the same."""

_SYNONYMS = {**NIH14_IN_CHEXPERT, **{theirs: ours for ours, theirs in NIH14_IN_CHEXPERT.items()}}


def synonym_of(label: str) -> str:
    """Return what the other vocabulary calls a label, or the label itself.

    >>> synonym_of("Effusion"), synonym_of("Pleural Effusion"), synonym_of("Hernia")
    ('Pleural Effusion', 'Effusion', 'Hernia')
    """
    return _SYNONYMS.get(label, label)


STATE_NAMES = {
    POSITIVE: "positive",
    NEGATIVE: "negative",
    UNCERTAIN: "uncertain",
    BLANK: "blank",
    MASKED: "masked",
}


def count_states(states: NDArray[np.int8], labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return how often each label is positive, negative, uncertain, blank and masked.

    >>> count_states(np.array([[1], [-2]], dtype=np.int8), ["Edema"])
    {'Edema': {'positive': 1, 'negative': 0, 'uncertain': 0, 'blank': 1, 'masked': 0}}
    """
    return {
        label: {
            name: int(np.count_nonzero(states[:, column] == state))
            for state, name in STATE_NAMES.items()
        }
        for column, label in enumerate(labels)
    }
