"""Label vocabularies, the four states of a label, and how states become targets.

A radiologist's report can affirm a finding, deny it, hedge, or not mention it. The four are kept
apart as small integers until a stated policy turns them into targets in {0, 1, nan}.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

POSITIVE = 1
NEGATIVE = 0
UNCERTAIN = -1
BLANK = -2

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

STATE_NAMES = {POSITIVE: "positive", NEGATIVE: "negative", UNCERTAIN: "uncertain", BLANK: "blank"}

_POLICY_VALUE = {"ignore": np.nan, "zeros": 0.0, "ones": 1.0}


def to_targets(
    states: NDArray[np.int8],
    labels: Sequence[str],
    *,
    uncertain: str = "ignore",
    blank: str = "zeros",
    uncertain_by_label: Mapping[str, str] | None = None,
    blank_by_label: Mapping[str, str] | None = None,
) -> NDArray[np.float32]:
    """Return targets in {0, 1, nan} from label states, nan = not known.

    Args:
        states: (N, L) of POSITIVE, NEGATIVE, UNCERTAIN or BLANK.
        labels: the L names.
        uncertain: what UNCERTAIN becomes: `ignore` (nan), `zeros` or `ones`.
        blank: what BLANK becomes.
        uncertain_by_label: exceptions to `uncertain`, by name.
        blank_by_label: exceptions to `blank`, by name.

    Returns:
        (N, L) float32.

    Source: Irvin et al. 2019, "CheXpert", §3.1 (U-Ignore, U-Zeros, U-Ones).

    >>> to_targets(np.array([[1, 0, -1, -2]], dtype=np.int8), list("abcd"), uncertain="ones")
    array([[1., 0., 1., 0.]], dtype=float32)
    """
    target = states.astype(np.float32)
    for column, label in enumerate(labels):
        on_uncertain = (uncertain_by_label or {}).get(label, uncertain)
        on_blank = (blank_by_label or {}).get(label, blank)
        target[states[:, column] == UNCERTAIN, column] = _POLICY_VALUE[on_uncertain]
        target[states[:, column] == BLANK, column] = _POLICY_VALUE[on_blank]
    return target


def count_states(states: NDArray[np.int8], labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return how often each label is positive, negative, uncertain and blank.

    >>> count_states(np.array([[1], [-2]], dtype=np.int8), ["Edema"])
    {'Edema': {'positive': 1, 'negative': 0, 'uncertain': 0, 'blank': 1}}
    """
    return {
        label: {
            name: int(np.count_nonzero(states[:, column] == state))
            for state, name in STATE_NAMES.items()
        }
        for column, label in enumerate(labels)
    }
