"""One arm minus another: how far apart they are, for whom that is said, and the verdict."""

from typing import Literal

from pydantic import NonNegativeFloat

from fedcxr.metrics.non_inferiority import Decided, Word
from fedcxr.metrics.superiority import DecidedGain
from fedcxr.results.details import DifferenceDetails
from fedcxr.results.score import Score
from fedcxr.section import Section

About = Literal["methods", "models"]
"""What a difference is about: two ways of training, for other patients and trainings, or the very
models that were trained, for other patients."""


Replicated = Literal["trainings", "partitions", "folds"]
"""What was repeated to learn how far methods vary: partitions, each with all its trainings, where
there are several; the folds of a cross-validation, which test other patients each."""


class Verdict(Section):
    """The word of a test of non-inferiority, or of superiority, and what it rests on."""

    word: Word
    reason: str


class LabelDifference(Score):
    """The difference in AUROC of one label."""

    p: float | None
    p_holm: float | None
    """Adjusted over the labels."""
    word: Decided | DecidedGain | None
    """By the label's own interval; None without one."""
    lower_bound: float | None
    """Holds together with those of the other labels of the endpoint (see `metrics.label_bounds`);
    None where the verdict is not one of non-inferiority, for labels are tested after it alone."""


class Variance(Section):
    """What a study to come can be planned from: see `fedcxr plan-study`."""

    patients: NonNegativeFloat | None
    """Of the difference over test patients; None without an interval, and over folds."""
    patients_df: float | None
    trainings: NonNegativeFloat | None
    """Of one training's difference over trainings, on one partition; None with a single one."""
    seeds: int
    """On each partition."""
    partitions: NonNegativeFloat | None = None
    """Of the difference over partitions, beyond what trainings make it; None where there is one,
    or one training on each."""
    partitions_df: float | None = None
    folds: NonNegativeFloat | None = None
    """Over folds: of one fold's difference, patients and trainings in one; None without."""
    test_share: float | None = None
    """Over folds: patients that one tests for each that it trains on, as the interval takes it."""


class Difference(Section):
    """An arm minus the arm that it is held against."""

    arm: str
    against: str
    about: About
    macro_auroc: Score
    macro_auroc_models: Score
    """Of these very models, whatever `about` is."""
    macro_ap: Score
    five_auroc: Score | None
    """Over CheXpert's competition labels; None where the data lack one of them."""
    by_label: dict[str, LabelDifference]
    variance: Variance
    verdict: Verdict
    worse_labels: tuple[str, ...]
    """Labels whose own interval lies wholly below 0, not adjusted for their number, lest a loss be
    hidden: one that the macro mean does not show."""
    inferior_labels: tuple[str, ...]
    """Those of them whose interval lies wholly below minus the margin."""
    power: str | None
    """What the test set is too small for; None if it is large enough."""
    by_seed: tuple[float | None, ...]
    """Of each training, partition by partition."""
    replicated: Replicated = "trainings"
    """What a difference of methods is for other ones of, beside other patients."""
    replicates: int = 1
    by_partition: tuple[float | None, ...] = ()
    """Means over the trainings on each, or on each fold; none where there is one partition."""
    details: DifferenceDetails | None = None
    """Beside the areas; None on data from elsewhere."""

    @property
    def details_about(self) -> About:
        """What `details` are about: over folds they are of the trainings on the first fold."""
        return "models" if self.replicated == "folds" and self.variance.seeds == 1 else self.about

    @property
    def is_of_methods(self) -> bool:
        """It is about the two ways of training, and not about the trained models alone."""
        return self.about == "methods"
