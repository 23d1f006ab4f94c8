"""What an arm's models say at a threshold, of calibration, and by group of patients."""

from fedcxr.results.score import Score
from fedcxr.section import Section


class Curves(Section):
    """The ROC curve and the precision-recall curve of one label, as points."""

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    recall: tuple[float, ...]
    precision: tuple[float, ...]


class OperatingPoint(Section):
    """One label at one threshold, which was fixed on validation patients."""

    label: str
    point: str
    """`youden`, `sens90` or `spec90`."""
    threshold: float | None
    sensitivity: Score
    specificity: Score
    ppv: Score
    npv: Score
    ppv_at_prevalence: Score
    accuracy: Score
    f1: Score
    prevalence: float | None
    """As stated in the settings, for `ppv_at_prevalence`."""
    tp: int | None
    fp: int | None
    tn: int | None
    fn: int | None
    reason: str | None


class Bin(Section):
    """One point of a reliability diagram."""

    predicted: float
    observed: float
    count: int
    ci: tuple[float, float]


class CalibrationNumbers(Section):
    """How well the probabilities of one label are meant."""

    brier: Score
    slope: Score
    intercept: Score
    """At slope 1."""
    ece: Score


class LabelCalibration(CalibrationNumbers):
    """The calibration of one label as it is, and after the temperature."""

    reason: str | None
    bins: tuple[Bin, ...]
    tempered: CalibrationNumbers | None


class Calibration(Section):
    """Calibration on the test set."""

    temperature: float | None
    """Fitted on validation patients."""
    reason: str | None
    """Why there is no temperature."""
    by_label: dict[str, LabelCalibration]


class Group(Section):
    """One label in one group of patients, at the one threshold fixed on validation patients."""

    attribute: str
    group: str
    label: str
    images: int
    patients: int
    positives: int
    negatives: int
    auroc: Score
    tpr: Score
    fpr: Score
    reason: str | None


class Gap(Section):
    """How far apart the groups of an attribute are."""

    attribute: str
    label: str
    tpr_gap: Score
    fpr_gap: Score


class Subgroups(Section):
    """Who was scored how, by group of patients."""

    rule: str
    rows: tuple[Group, ...]
    gaps: tuple[Gap, ...]


class ModelDetails(Section):
    """All of it."""

    curves: dict[str, Curves]
    operating_points: tuple[OperatingPoint, ...]
    calibration: Calibration
    subgroups: Subgroups
