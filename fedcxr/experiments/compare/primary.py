"""Two arms held against each other: differences with intervals, p values, and the verdict."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.experiments.compare.arm_scores import macro_by_seed, undefined_among
from fedcxr.experiments.compare.arms import Training
from fedcxr.experiments.compare.endpoint import Endpoint, count_patients
from fedcxr.experiments.compare.secondary import estimate_to_json, in_unit
from fedcxr.metrics.delong import TTest
from fedcxr.metrics.macro_difference import Placed
from fedcxr.metrics.non_inferiority import holm, power_note, verdict
from fedcxr.metrics.paired import ArmScores, PairedDraws, difference
from fedcxr.metrics.regime import load_regime
from fedcxr.metrics.seeds import training_claim
from fedcxr.report.comparison.protocol_words import none_eligible, patients_words
from fedcxr.runs.predictions import Predictions


def difference_entry(
    name: str,
    against: str,
    by_arm: Mapping[str, Sequence[Training]],
    test: Predictions,
    models: "PlacedArms",
    draws: PairedDraws,
    *,
    margin: float,
    endpoint: Endpoint,
    competition_columns: Sequence[int],
    level: float,
    unit: str = "images",
) -> dict[str, Any]:
    """Return one arm minus another as it stands in `comparison.json`.

    Args:
        name: the arm.
        against: the arm that it is held against.
        by_arm: the trainings of each arm.
        test: the truth of the test patients.
        models: of all arms.
        draws: of all arms.
        margin: of non-inferiority.
        endpoint: the labels that the verdict is about.
        competition_columns: columns of the competition labels, or none.
        level: of the intervals.
        unit: what the rows of `test` are: images, or studies.
    """
    columns = endpoint.columns(test.labels)
    pair = _Pair(models, name, against, level)
    whole = pair.tested(columns)
    rarest = _rarest(test, columns)
    by_seed = [macro_by_seed(draws.auroc[arm], by_arm[arm], columns) for arm in (name, against)]
    return {
        "arm": name,
        "against": against,
        "macro_auroc": _test_to_json(whole),
        "macro_auroc_bca": estimate_to_json(
            difference(draws.auroc, name, against, columns=columns, level=level)
        ),
        "macro_ap": estimate_to_json(
            difference(draws.ap, name, against, columns=columns, level=level)
        ),
        "five_auroc": _competition_auroc(pair, test.labels, competition_columns, draws.auroc[name]),
        "by_label": _by_label(pair, test.labels),
        "verdict": in_unit(_verdict(whole.ci, margin, test, rarest, endpoint), unit),
        "power": _power(whole, margin, test, rarest, level, unit),
        "training_claim": _claim(by_seed[0], by_seed[1], whole, level),
        "by_seed": [a - b for a, b in zip(*by_seed, strict=True)],
    }


@dataclass(frozen=True, slots=True)
class PlacedArms:
    """The models of all arms on the same test images, or studies, each put in order once."""

    placed: Placed
    arm: NDArray[np.str_]
    """(K,) whose each model is."""

    @classmethod
    def of(cls, test: Predictions, stacks: Mapping[str, NDArray[np.float64]]) -> "PlacedArms":
        """Return them from the (S, N, L) probabilities of each arm's models."""
        placed = Placed.of(test.target, np.concatenate(list(stacks.values())), test.patient_id)
        return cls(placed, np.repeat(list(stacks), [len(stack) for stack in stacks.values()]))


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two of the arms."""

    models: PlacedArms
    first: str
    second: str
    level: float

    def tested(self, columns: Sequence[int]) -> TTest:
        """Return the first arm minus the second over these labels, means over their models."""
        ours, theirs = (self.models.arm == name for name in (self.first, self.second))
        contrast = ours / ours.sum() - theirs / theirs.sum()
        return self.models.placed.test(contrast, columns=columns, level=self.level)


def _claim(
    first: Sequence[float], second: Sequence[float], whole: TTest, level: float
) -> dict[str, Any]:
    """Return what the seeds say of training in general."""
    variance = whole.se**2 if whole.se > 0 else None
    value, ci, reason = training_claim(first, second, variance, level)
    known = math.isfinite(value)
    return {"value": value if known else None, "ci": list(ci) if ci else None, "reason": reason}


def _by_label(pair: _Pair, labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the difference of every label, with its p adjusted by Holm's rule."""
    tests = [pair.tested([column]) for column in range(len(labels))]
    return {
        label: {
            **_test_to_json(test),
            "p": test.p if math.isfinite(test.p) else None,
            "p_holm": adjusted if math.isfinite(adjusted) else None,
        }
        for label, test, adjusted in zip(
            labels, tests, holm([test.p for test in tests]), strict=True
        )
    }


def _competition_auroc(
    pair: _Pair, labels: Sequence[str], competition_columns: Sequence[int], scores: ArmScores
) -> dict[str, Any] | None:
    """Return the difference over the competition labels: over all of them, or none.

    Args:
        pair: the two arms.
        labels: of the test set.
        competition_columns: columns of the competition labels, or none.
        scores: AUROC of either arm: both lack the same labels.
    """
    if not competition_columns:
        return None
    if reason := undefined_among(scores, labels, competition_columns):
        return {"value": None, "ci": None, "reason": reason}
    return _test_to_json(pair.tested(competition_columns))


def _test_to_json(test: TTest) -> dict[str, Any]:
    """Return a tested difference as the file holds it."""
    if not math.isfinite(test.difference):
        return {"value": None, "ci": None, "reason": "no label has both classes"}
    if not math.isfinite(test.ci[0]):
        reason = "no interval: too few patients have the finding, or lack it, or the arms are alike"
        return {"value": test.difference, "ci": None, "reason": reason}
    return {"value": test.difference, "ci": list(test.ci), "reason": None}


@dataclass(frozen=True, slots=True)
class _Rarest:
    """The label of which fewest patients are in one class: nearly always the rarest finding."""

    label: str = "the rarest finding"
    patients: int = 0
    """In that class."""
    told: str = ""
    positives: int = 0
    """Rows of the test set: images, or studies."""
    negatives: int = 0


def _rarest(test: Predictions, columns: Sequence[int]) -> _Rarest:
    """Return the rarest of some labels."""
    labels = [test.labels[column] for column in columns]
    found = []
    for column, each in zip(
        columns, count_patients(test.target[:, columns], test.patient_id, labels), strict=True
    ):
        target = test.target[:, column]
        rows = int((target == 1).sum()), int((target == 0).sum())
        few = min(each.positives, each.negatives)
        told = patients_words(few, each.label, with_it=few == each.positives)
        found.append(_Rarest(each.label, few, told, *rows))
    return min(found, key=lambda row: row.patients, default=_Rarest())


def _power(
    whole: TTest, margin: float, test: Predictions, rarest: _Rarest, level: float, unit: str
) -> str | None:
    """Return the note on a test set that is too small to decide, None for one that is not."""
    return power_note(
        whole.ci,
        whole.se,
        margin,
        rarest.positives,
        rarest.negatives,
        len(set(test.patient_id.tolist())),
        level=level,
        unit=unit,
        finding=rarest.label,
    )


def _verdict(
    ci: tuple[float, float] | None,
    margin: float,
    test: Predictions,
    rarest: _Rarest,
    endpoint: Endpoint,
) -> dict[str, str]:
    """Return the word and its reason; without a label in the endpoint there is nothing to judge."""
    if not endpoint.labels:
        few = [each.model_dump() for each in endpoint.left_out]
        return {"word": "withheld", "reason": none_eligible(few, endpoint.min_positives)}
    found = verdict(
        ci,
        margin,
        regime=load_regime(),
        positives=rarest.patients,
        cluster=len(test.patient_id) / max(1, len(set(test.patient_id.tolist()))),
        rarest=rarest.told,
    )
    return {"word": found.word, "reason": found.reason}
