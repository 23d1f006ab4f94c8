"""What an arm's models say at thresholds, of calibration, and by group; and two arms' differences.

Every number of an arm is the mean over all its models, each at its own thresholds.
"""

from fedcxr.results.score import Score
from fedcxr.section import Section


class Curves(Section):
    """The ROC curve and the precision-recall curve of one label, means over the arm's models.

    Averaged vertically, at the same false positive rates and recalls for all.
    """

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    tpr_low: tuple[float, ...]
    """Of the lowest model at each place; empty where there is one model."""
    tpr_high: tuple[float, ...]
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    precision_low: tuple[float, ...]
    precision_high: tuple[float, ...]


class Rates(Section):
    """What is found and missed at thresholds, or by how much two arms differ in it."""

    sensitivity: Score
    specificity: Score
    ppv: Score
    npv: Score
    f1: Score
    ppv_at_prevalence: Score


class OperatingPoint(Rates):
    """One label at each model's own threshold, which was fixed on validation patients."""

    label: str
    point: str
    """`youden`, `sens90` or `spec90`."""
    threshold: float | None
    """Mean over the models; None where one has none."""
    threshold_range: tuple[float, float] | None
    """Of the models, lowest and highest."""
    prevalence: float | None
    """As stated in the settings, for `ppv_at_prevalence`."""
    tp: float | None
    """Images, or studies: mean over the models, as are the next three."""
    fp: float | None
    tn: float | None
    fn: float | None
    reason: str | None
    """Why there is no threshold."""


class PointDifference(Rates):
    """How far two arms are apart at one operating point of a label."""

    label: str
    point: str


class Bin(Section):
    """One point of a reliability diagram: means over the models, bin by bin."""

    predicted: float
    observed: float
    count: int
    ci: tuple[float, float]


class CalibrationDifference(Section):
    """How well the probabilities of one label are meant, or by how much two arms differ in it."""

    brier: Score
    slope: Score
    intercept: Score
    """At slope 1."""


class CalibrationNumbers(CalibrationDifference):
    """The same of one arm."""

    ece: Score


class LabelCalibration(CalibrationNumbers):
    """The calibration of one label as it is, and after the temperatures."""

    reason: str | None
    bins: tuple[Bin, ...]
    tempered: CalibrationNumbers | None


class LabelCalibrationDifference(CalibrationDifference):
    """Two arms' difference in the calibration of a label, as it is and after the temperatures."""

    tempered: CalibrationDifference | None


class Calibration(Section):
    """Calibration on the test set."""

    temperature: float | None
    """Fitted on validation patients for each model: the mean; None where one has none."""
    temperature_range: tuple[float, float] | None
    reason: str | None
    """Why there is no temperature."""
    by_label: dict[str, LabelCalibration]


class DecisionCurve(Section):
    """Net benefit of one label for those who treat from a probability on.

    Of the probabilities after the temperature: `at` says from which on.
    """

    at: tuple[float, ...]
    net_benefit: tuple[Score, ...]


class ArmDecisionCurve(DecisionCurve):
    """The same of one arm, beside treating everyone; treating no one has a net benefit of 0."""

    treat_all: tuple[float | None, ...]


class GroupScores(Section):
    """One label in one group of patients, or by how much two arms differ there."""

    attribute: str
    group: str
    label: str
    auroc: Score
    tpr: Score
    fpr: Score
    """Both at each model's own threshold, fixed on validation patients: the Youden point."""
    auroc_gap: Score | None
    """The group minus all others of known group; None where there are no others."""
    tpr_gap: Score | None
    fpr_gap: Score | None


class Group(GroupScores):
    """The same of one arm, with the group's size."""

    images: int
    patients: int
    positives: int
    negatives: int
    reason: str | None
    """Why the group is left out."""


class Subgroups(Section):
    """Who was scored how, by group of patients."""

    rule: str
    rows: tuple[Group, ...]


class ArmDetails(Section):
    """All of it, of one arm."""

    curves: dict[str, Curves]
    operating_points: tuple[OperatingPoint, ...]
    calibration: Calibration
    decision_curves: dict[str, ArmDecisionCurve]
    subgroups: Subgroups


NO_DETAILS = ArmDetails(
    curves={},
    operating_points=(),
    calibration=Calibration(temperature=None, temperature_range=None, reason=None, by_label={}),
    decision_curves={},
    subgroups=Subgroups(rule="", rows=()),
)
"""Of a run without predictions."""


class DifferenceDetails(Section):
    """All of it, of one arm minus another: about what their difference in AUROC is about."""

    operating_points: tuple[PointDifference, ...]
    calibration: dict[str, LabelCalibrationDifference]
    decision_curves: dict[str, DecisionCurve]
    subgroups: tuple[GroupScores, ...]
