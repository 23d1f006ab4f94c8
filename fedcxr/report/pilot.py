"""The pilot that a study is planned from: one difference of a finished comparison.

Every number is checked here, at the door; what the file lacks is told with its key.
"""

from dataclasses import dataclass
from pathlib import Path

from fedcxr.errors import ArtefactError, ConfigError, some
from fedcxr.metrics.study_power import Variances
from fedcxr.report.comparison.read_comparison import (
    FILE,
    Comparison,
    Difference,
    Tree,
    read_comparison,
)
from fedcxr.report.wording import as_number


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
            an older fedcxr, with one seed, without a difference or with too small a test set.
    """
    path = folder / FILE
    if not path.is_file():
        raise ArtefactError(
            f"{folder}: no finished comparison (no {FILE}). Give the folder that `fedcxr compare` "
            f"printed; one that was stopped is finished by `fedcxr resume`."
        )
    comparison = read_comparison(folder)
    difference = _difference(comparison, arm)
    name = str(comparison.tree.get("name") or folder.name)
    return Pilot(
        name=name,
        arm=difference.arm.name,
        against=difference.against.name,
        title=f"{difference.arm.title} minus {difference.against.title}",
        difference=difference.score("macro_auroc").value,
        margin=comparison.margin,
        level=comparison.level,
        is_synthetic=comparison.is_synthetic,
        variances=_variances(comparison, difference),
    )


def _difference(comparison: Comparison, arm: str | None) -> Difference:
    if not comparison.differences:
        raise ArtefactError(
            f"{comparison.path}: differences is empty: there is one arm alone. Compare two or more "
            f"arms: `fedcxr compare --arms federated,centralized`."
        )
    if arm is None and comparison.primary is not None:
        return comparison.primary
    own = [each for each in comparison.differences if each.arm.name == arm]
    if not own:
        known = list(dict.fromkeys(each.arm.name for each in comparison.differences))
        raise ConfigError(
            f"--pair {arm}: {comparison.path} has no difference of that arm. It has those of "
            f"{some(known)}."
        )
    return own[0]


def _variances(comparison: Comparison, difference: Difference) -> Variances:
    found = difference.tree.get("variance")
    where = f"{comparison.path}: variance of {difference.arm.name} minus {difference.against.name}"
    if found is None:
        raise ArtefactError(
            f"{where}: missing: it was judged by an older fedcxr. Judge it again, without "
            f"training: `fedcxr report {comparison.path.parent}`."
        )
    seeds = _number(found, "seeds", where, least=1)
    if seeds < 2:
        raise ArtefactError(
            f"{where}: seeds is {seeds:g}: one training of each arm does not tell how far "
            f"trainings vary. Compare with two seeds or more: `fedcxr compare --seeds 3`."
        )
    if found.get("patients") is None:
        raise ArtefactError(
            f"{where}: patients is null: too few test patients have the finding, or lack it, or "
            f"the arms are alike. Compare on a larger test set."
        )
    partitions = partitions_df = None
    if found.get("partitions") is not None:
        partitions = _number(found, "partitions", where)
        partitions_df = _number(found, "partitions_df", where, least=1)
    return Variances(
        patients=_number(found, "patients", where),
        patients_df=_number(found, "patients_df", where, least=1),
        trainings=_number(found, "trainings", where),
        seeds=int(seeds),
        num_patients=_test_patients(comparison),
        partitions=partitions,
        partitions_df=partitions_df,
    )


def _number(found: Tree, key: str, where: str, *, least: float = 0.0) -> float:
    number = as_number(found.get(key))
    if number is None or number < least:
        raise ArtefactError(
            f"{where}: {key} is {found.get(key)!r}, expected a number from {least:g}. The file was "
            f"changed after the run; judge it again with `fedcxr report`."
        )
    return number


def _test_patients(comparison: Comparison) -> int:
    number = as_number(comparison.part("data").get("test_patients"))
    if number is None or number < 1:
        raise ArtefactError(
            f"{comparison.path}: data.test_patients is {number}, expected a number from 1. The "
            f"file was changed after the run; judge it again with `fedcxr report`."
        )
    return int(number)
