"""For which cross-validations the interval over folds keeps its promise, by the self-test.

More patients do not make this interval safer: they leave the chance of the training patients, which
folds share, and of which the folds' spread tells little (Bengio and Grandvalet 2004: no estimator
of this variance is unbiased for all). So a cross-validation is judged by the cells on either side
of it, and one that is larger than all of them has no interval.

Source: Bengio and Grandvalet 2004, "No Unbiased Estimator of the Variance of K-Fold
Cross-Validation", Journal of Machine Learning Research 5, 1089-1105.
"""

from collections.abc import Collection
from dataclasses import dataclass

from fedcxr.metrics.regime import Regime, load_regime
from fedcxr.metrics.studies import IMAGES, Units

INTERVAL = "folds"
"""Of the self-test."""
USUAL_FOLDS = 5
"""Of the cells that try every number of images and every AUROC, with one training of each arm: they
speak for other numbers, too."""

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class FoldStudy:
    """What a cross-validation is judged by."""

    folds: int
    trainings: int  # of each arm in a fold
    training_sd: float | None  # of an arm's AUROC over them; None for a single one
    cluster: float  # images a patient, on average
    auroc: float  # of the better arm
    units: Units = IMAGES  # what is scored

    def covers(
        self, fewest: int, *, rarest: str = "", regime: Regime | None = None
    ) -> tuple[bool, str]:
        """Return whether the interval over folds is shown, and why or why not.

        Args:
            fewest: patients with the rarest finding, or without the commonest, in the fold that has
                fewest of them.
            rarest: those patients in words, with the label.
            regime: what the self-test found; the stored one if not given.
        """
        regime = regime or load_regime(INTERVAL)
        who = f"{rarest or f'{fewest} patients have the rarest finding'} in one fold"
        near: dict[str, Range] = {}
        for key, (value, told) in self._asked(fewest, who).items():
            tried = {getattr(cell, key) for cell, _ in regime.cells}
            within = _near(key, tried, value)
            if within is None:
                return False, (
                    f"{told}; the self-test of the statistics has tried the interval over folds "
                    f"from {min(tried):g} to {max(tried):g}"
                )
            near[key] = within
        for cell, tally in regime.cells:
            is_near = all(low <= getattr(cell, key) <= high for key, (low, high) in near.items())
            if is_near and tally.rejected(regime.level, one_sided=True):
                return False, (
                    f"{who}; the interval over folds did not hold in the self-test of the "
                    f"statistics for {cell.folds} folds with {cell.positives} each, "
                    f"{cell.seeds} training{'s' * (cell.seeds > 1)} of each arm on a fold and a "
                    f"standard deviation of {cell.training_sd:g} over trainings"
                )
        return True, f"{who}; the interval over folds was shown to hold there"

    def is_reachable(self) -> bool:
        """Return whether such a study has its interval with some other number of patients."""
        sizes = {cell.positives for cell, _ in load_regime(INTERVAL).cells}
        return any(self.covers(size)[0] for size in sizes)

    def _asked(self, fewest: int, who: str) -> dict[str, tuple[float | None, str]]:
        """Return what is looked up in the cells, with the words for it, by the cells' field."""
        return {
            "folds": (self.folds, f"there are {self.folds} folds"),
            "seeds": (self.trainings, f"each arm has {self.trainings} trainings on each fold"),
            "training_sd": (
                self.training_sd,
                f"over trainings on one fold an arm's AUROC has the standard deviation "
                f"{self.training_sd or 0.0:.3f}",
            ),
            "positives": (fewest, who),
            "cluster": (
                self.cluster,
                f"the test set has {self.cluster:.1f} {self.units[1]} a patient",
            ),
            "auroc": (self.auroc, f"the AUROC is {self.auroc:.3f}"),
        }


def _near(key: str, tried: Collection[float], value: float | None) -> Range | None:
    """Return between which tried values the cells are asked; None for a value beyond them all.

    >>> _near("positives", [10, 40, 200], 60), _near("positives", [10, 40, 200], 9)
    ((40, 200), None)
    >>> _near("folds", [3, 5, 10], 3), _near("seeds", [1, 3], 2), _near("training_sd", [0.01], None)
    ((3, 5), (1, 3), (0.01, 0.01))
    """
    least, most = min(tried), max(tried)
    if value is None:
        return least, most
    is_below = key in ("folds", "seeds", "positives") and value < least
    if not value <= most or is_below:  # nan is beyond them, too
        return None
    high = min(one for one in tried if one >= value)
    if key == "folds":
        low = max(one for one in tried if one <= value)
        return min(low, USUAL_FOLDS), max(high, USUAL_FOLDS)
    if key == "positives":
        return max(one for one in tried if one <= value), high
    return least, high
