"""The pilot that a study is planned from: one difference of a finished comparison."""

from dataclasses import dataclass
from pathlib import Path

from fedcxr.errors import ArtefactError, ConfigError, some
from fedcxr.metrics.study_power import Variances
from fedcxr.results.comparison import FILE, Comparison, read_comparison
from fedcxr.results.differences import Difference
from fedcxr.results.tables.score_tables import pair_title


@dataclass(frozen=True, slots=True)
class Pilot:
    """One arm minus another, and what a plan needs of it."""

    name: str
    """Of the comparison."""
    arm: str
    against: str
    title: str
    """Both arms, as the pages call them."""
    difference: float | None
    """As it was found; a plan does not use it."""
    margin: float | None
    level: float
    is_synthetic: bool
    variances: Variances


def read_pilot(folder: Path, arm: str | None = None) -> Pilot:
    """Return the pilot in a comparison's folder.

    Args:
        folder: the comparison's.
        arm: whose difference; the comparison's main one if not given.

    Raises:
        ConfigError: there is no difference of that arm.
        ArtefactError: no comparison, a damaged one, or one that does not tell the variances: of
            an older fedcxr, with one seed, over folds, without a difference or with too small a
            test set.
    """
    path = folder / FILE
    if not path.is_file():
        raise ArtefactError(
            f"{folder}: no finished comparison (no {FILE}). Give the folder that `fedcxr compare` "
            f"printed; one that was stopped is finished by `fedcxr resume`."
        )
    comparison = read_comparison(folder)
    difference = _difference(comparison, path, arm)
    return Pilot(
        name=comparison.name,
        arm=difference.arm,
        against=difference.against,
        title=pair_title(comparison, difference),
        difference=difference.macro_auroc.value,
        margin=comparison.statistics.margin,
        level=comparison.statistics.level,
        is_synthetic=comparison.data.synthetic,
        variances=_variances(comparison, difference, path),
    )


def _difference(comparison: Comparison, path: Path, arm: str | None) -> Difference:
    if comparison.statistics.question == "superiority":
        raise ArtefactError(
            f"{path}: asks whether an arm is better, and plan-study plans tests of "
            "non-inferiority. Give it a comparison by `fedcxr compare`."
        )
    if comparison.primary is None:
        raise ArtefactError(
            f"{path}: differences is empty: there is one arm alone. Compare two or more arms: "
            f"`fedcxr compare --arms federated,centralized`."
        )
    if arm is None:
        return comparison.primary
    own = [each for each in comparison.differences if each.arm == arm]
    if not own:
        known = list(dict.fromkeys(each.arm for each in comparison.differences))
        raise ConfigError(
            f"--pair {arm}: {path} has no difference of that arm. It has those of {some(known)}."
        )
    return own[0]


def _variances(comparison: Comparison, difference: Difference, path: Path) -> Variances:
    found = difference.variance
    where = f"{path}: variance of {difference.arm} minus {difference.against}"
    if difference.replicated == "folds":
        raise ArtefactError(
            f"{where}: it is over {difference.replicates} folds of a cross-validation, where the "
            "chance of patients and that of trainings cannot be told apart, and a study cannot be "
            "planned from one. Take a comparison on one test set as the pilot: without --folds, or "
            "with --fold."
        )
    if found.seeds < 2:
        raise ArtefactError(
            f"{where}: seeds is {found.seeds}: one training of each arm does not tell how far "
            f"trainings vary. Compare with two seeds or more: `fedcxr compare --seeds 3`."
        )
    if found.patients is None or found.patients_df is None or found.trainings is None:
        raise ArtefactError(
            f"{where}: patients is null: too few test patients have the finding, or lack it, or "
            f"the arms are alike. Compare on a larger test set."
        )
    if found.patients_df < 1:
        raise ArtefactError(
            f"{where}: patients_df is {found.patients_df:g}, expected a number from 1. The file "
            "was changed after the run; judge it again with `fedcxr report`."
        )
    return Variances(
        patients=found.patients,
        patients_df=found.patients_df,
        trainings=found.trainings,
        seeds=found.seeds,
        num_patients=comparison.data.test_patients,
        partitions=found.partitions,
        partitions_df=found.partitions_df,
    )
