"""What uncertain and blank labels become: targets to train on, and the truth to score against.

They are two arrays because they answer two questions. A training target may be made up: a hedged
finding counted as present, or filled in by a model. A score compares with what the report says, so
an uncertain label is never scored, whatever the model was trained on. What a label that is not
mentioned means is the same in both. Plain NumPy: the site, the server and the manifest use this.

"No Finding": CheXpert's labeler writes 1 where no finding is positive or uncertain, and leaves the
cell blank everywhere else; it never writes 0. With `blank: zeros` every blank becomes a negative.
With `blank: ignore` it would have no negative at all, so that nothing could be learned or scored.
There a blank one becomes 0 if another finding of the same image is positive, for that is what the
label denies (a device is no finding), and stays unknown if not.

Source: Irvin et al. 2019, "CheXpert", §3.1 (U-Ignore, U-Zeros, U-Ones, U-SelfTrained, U-MultiClass)
and §2 (the labeler); Pham et al. 2021, "Interpreting chest X-rays via CNNs that exploit
hierarchical disease dependencies and uncertainty labels", §3.3 (smoothed).
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.data import BlankPolicy, DataConfig, LabelPolicy
from fedcxr.config.task import PolicyConfig
from fedcxr.data.labels import (
    BLANK,
    MASKED,
    NO_FINDING,
    POSITIVE,
    SUPPORT_DEVICES,
    UNCERTAIN,
)
from fedcxr.errors import ConfigError, some
from fedcxr.seeding import derive_seed

UNCERTAIN_CLASS = 2.0
"""The training target of an uncertain label under `multi_class`: the third class."""

NOT_A_FINDING = frozenset({NO_FINDING, SUPPORT_DEVICES})
"""Columns that say nothing about whether there is a finding."""

_BLANK_VALUE = {"ignore": np.nan, "zeros": 0.0, "ones": 1.0}
_UNCERTAIN_VALUE = {**_BLANK_VALUE, "multi_class": UNCERTAIN_CLASS, "self_trained": np.nan}


def policy_of(data: DataConfig, *, rounds: int) -> PolicyConfig:
    """Return the policy of a run's configuration; the first model is ready at half of the rounds.

    >>> policy_of(DataConfig(), rounds=10).self_train_after
    5
    """
    return PolicyConfig(
        uncertain=data.uncertain,
        uncertain_by_label=data.uncertain_by_label,
        smooth_low=data.smooth_low,
        smooth_high=data.smooth_high,
        self_train_after=data.self_train_after or max(1, rounds // 2),
        blank=data.blank,
        blank_by_label=data.blank_by_label,
    )


def check_self_training(data: DataConfig, *, rounds: int) -> None:
    """Raise ConfigError if no round is left to train on what the first model predicts."""
    late = [label for label, name in data.uncertain_by_label.items() if name == "self_trained"]
    late += ["every label without a policy of its own"] * (data.uncertain == "self_trained")
    after = policy_of(data, rounds=rounds).self_train_after
    if late and after >= rounds:
        raise ConfigError(
            f"data.self_train_after: {after} of {rounds} rounds; the uncertain ones of "
            f"{some(late)} would never be filled. Give more server.rounds, a smaller "
            f"data.self_train_after, or another policy."
        )


def uncertain_policy(policy: PolicyConfig, label: str) -> LabelPolicy:
    """Return what -1 becomes for one label."""
    return policy.uncertain_by_label.get(label, policy.uncertain)


def blank_policy(policy: PolicyConfig, label: str) -> BlankPolicy:
    """Return what a label that is not mentioned becomes."""
    return policy.blank_by_label.get(label, policy.blank)


def columns_with(policy: PolicyConfig, labels: Sequence[str], name: LabelPolicy) -> tuple[int, ...]:
    """Return the columns whose uncertain labels fall under the policy of that name."""
    return tuple(c for c, label in enumerate(labels) if uncertain_policy(policy, label) == name)


def output_names(policy: PolicyConfig, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the model's outputs: each label, then "uncertain" of each `multi_class`.

    The extra ones follow in the order of the labels, so that the first L columns mean the same with
    and without them (`fedcxr/training/losses.py`).
    """
    three = columns_with(policy, labels, "multi_class")
    return (*labels, *(f"{labels[column]}: uncertain" for column in three))


def num_outputs(policy: PolicyConfig, labels: Sequence[str]) -> int:
    """Return the number of the model's outputs."""
    return len(output_names(policy, labels))


def train_targets(
    states: NDArray[np.int8],
    labels: Sequence[str],
    policy: PolicyConfig,
    *,
    image_id: Sequence[str],
    seed: int,
) -> NDArray[np.float32]:
    """Return what a model is trained on.

    Args:
        states: (N, L) label states.
        labels: the L names.
        policy: for uncertain and blank ones.
        image_id: (N,) names of the images. A smoothed value follows from the image, the label and
            the seed alone, so it is the same in every round, process and order of the rows.
        seed: of the run.

    Returns:
        (N, L) float32: 0, 1, nan where unknown (for `self_trained` until a model has predicted it),
        a value of [smooth_low, smooth_high) for `smoothed`, UNCERTAIN_CLASS for `multi_class`.
    """
    target = score_targets(states, labels, policy)
    for column, label in enumerate(labels):
        rows = np.flatnonzero(states[:, column] == UNCERTAIN)
        name = uncertain_policy(policy, label)
        if name == "smoothed":
            hedged = [image_id[row] for row in rows.tolist()]
            target[rows, column] = _smoothed(hedged, label, policy, seed)
        else:
            target[rows, column] = _UNCERTAIN_VALUE[name]
    return target


def score_targets(
    states: NDArray[np.int8], labels: Sequence[str], policy: PolicyConfig
) -> NDArray[np.float32]:
    """Return the truth that a model is scored against: (N, L) float32 in {0, 1, nan}.

    >>> policy = policy_of(DataConfig(uncertain="ones"), rounds=1)
    >>> score_targets(np.array([[1, 0, -1, -2, -3]], dtype=np.int8), list("abcde"), policy)
    array([[ 1.,  0., nan,  0., nan]], dtype=float32)
    """
    target = states.astype(np.float32)
    target[(states == UNCERTAIN) | (states == MASKED)] = np.nan
    for column, label in enumerate(labels):
        blank = blank_policy(policy, label)
        target[states[:, column] == BLANK, column] = _BLANK_VALUE[blank]
        if label == NO_FINDING and blank == "ignore":
            denied = _has_finding(states, labels) & (states[:, column] == BLANK)
            target[denied, column] = 0.0
    return target


def to_predict(
    states: NDArray[np.int8], labels: Sequence[str], policy: PolicyConfig
) -> NDArray[np.bool_]:
    """Return which (N, L) training targets a first model fills: the uncertain `self_trained`."""
    asked = np.zeros(states.shape, dtype=bool)
    columns = list(columns_with(policy, labels, "self_trained"))
    asked[:, columns] = states[:, columns] == UNCERTAIN
    return asked


def count_targets(target: NDArray[np.float32], labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return how often each label's target is of each kind; the kinds add up to N.

    >>> count_targets(np.float32([[1], [0.7], [2], [np.nan]]), ["Edema"])["Edema"]
    {'positive': 1, 'negative': 0, 'soft': 1, 'uncertain_class': 1, 'unknown': 1}
    """
    kinds = {
        "positive": target == 1.0,
        "negative": target == 0.0,
        "soft": (target > 0.0) & (target < 1.0),
        "uncertain_class": target == UNCERTAIN_CLASS,
        "unknown": np.isnan(target),
    }
    return {
        label: {kind: int(np.count_nonzero(found[:, column])) for kind, found in kinds.items()}
        for column, label in enumerate(labels)
    }


def _has_finding(states: NDArray[np.int8], labels: Sequence[str]) -> NDArray[np.bool_]:
    """Return which images have a positive finding, of the labels at hand."""
    findings = [column for column, label in enumerate(labels) if label not in NOT_A_FINDING]
    found: NDArray[np.bool_] = (states[:, findings] == POSITIVE).any(axis=1)
    return found


def _smoothed(
    image_id: Sequence[str], label: str, policy: PolicyConfig, seed: int
) -> NDArray[np.float32]:
    """Return one value an image, uniform in [smooth_low, smooth_high).

    By a keyed hash: 200,000 of them take 0.1 s, making as many generators 1.5 s.
    """
    key = derive_seed(seed, "smoothed", label).to_bytes(8, "big")
    digests = (hashlib.blake2b(i.encode(), digest_size=8, key=key).digest() for i in image_id)
    bits = np.frombuffer(b"".join(digests), dtype=">u8") >> np.uint64(11)
    low, high = np.float32(policy.smooth_low), np.float32(policy.smooth_high)
    values = policy.smooth_low + bits * 2.0**-53 * (policy.smooth_high - policy.smooth_low)
    # rounding to float32 may reach the upper end, which is not in the range
    drawn: NDArray[np.float32] = np.minimum(values.astype(np.float32), np.nextafter(high, low))
    return drawn
