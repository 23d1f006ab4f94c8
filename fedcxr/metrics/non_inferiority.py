"""Whether one way of training is as good as another, to within a margin fixed beforehand.

That no difference was found does not show that there is none. Non-inferiority is shown by an
interval of the difference that lies wholly above minus the margin; an interval across it decides
nothing, and `power_note` says how many patients would. One wholly above 0 shows that the first is
better; one above minus the margin and wholly below 0 that it is worse, and not by much. No verdict
at all is given where the interval itself is not to be trusted (see `regime`).

Source: Piaggio et al. 2012, "Reporting of Noninferiority and Equivalence Randomized Trials", JAMA
308, 2594-2604, figure 1; Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import special

from fedcxr.metrics.auroc import Interval
from fedcxr.metrics.estimate import Estimate, Part, half_width
from fedcxr.metrics.root import root
from fedcxr.metrics.superiority import DecidedGain, Question, decide_gain

Decided = Literal["better", "non-inferior", "non-inferior, and worse", "inferior", "inconclusive"]
NON_INFERIOR = ("better", "non-inferior", "non-inferior, and worse")
"""The words that say so."""
Word = Literal[Decided, DecidedGain, "withheld"]


_MANY = {"non-inferiority": " To see how many would: fedcxr plan-study.", "superiority": ""}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The word, and the sentence that says why."""

    word: Word
    reason: str


def verdict(difference: Estimate, margin: float, question: Question = "non-inferiority") -> Verdict:
    """Return whether the first arm is non-inferior, or superior, to the second.

    Args:
        difference: of the first arm's macro AUROC minus the second's; without an interval where
            none can be trusted.
        margin: the largest loss that does not matter, positive, fixed before training; of
            superiority the smallest gain that does.
        question: which of the two is asked.

    Raises:
        ValueError: the margin is not a positive number.
    """
    if not 0 < margin < math.inf:
        raise ValueError(f"the margin must be positive, got {margin}")
    if difference.ci is None:
        return Verdict("withheld", difference.reason or "the difference has no interval")
    low, high = difference.ci
    word = decide_as(question, difference.ci, margin)
    where = _where_gain(margin) if question == "superiority" else _where(margin)
    return Verdict(word, f"the interval, {low:+.4f} to {high:+.4f}, {where[word]}")


def decide_as(question: Question, ci: Interval, margin: float) -> Decided | DecidedGain:
    """Return the word for an interval that is to be trusted, by what is asked."""
    return decide_gain(ci, margin) if question == "superiority" else decide(ci, margin)


def _where(margin: float) -> dict[str, str]:
    """Return by its word where an interval lies."""
    bound = f"{-margin:+.4f}"
    return {
        "better": "lies wholly above 0",
        "non-inferior": f"lies wholly above {bound}",
        "non-inferior, and worse": f"lies wholly above {bound} and wholly below 0",
        "inferior": f"lies wholly below {bound}",
        "inconclusive": f"holds {bound}",
    }


def _where_gain(margin: float) -> dict[str, str]:
    """Return by its word of superiority where an interval lies."""
    return {
        "better": "lies wholly above 0",
        "no better": f"holds 0 and lies wholly below {margin:+.4f}",
        "worse": "lies wholly below 0",
        "inconclusive": f"holds 0 and {margin:+.4f}",
    }


def decide(ci: Interval, margin: float) -> Decided:
    """Return the word for an interval that is to be trusted.

    >>> [decide(ci, 0.01) for ci in ((-0.005, 0.02), (-0.05, -0.02), (-0.02, 0.01))]
    ['non-inferior', 'inferior', 'inconclusive']
    >>> [decide(ci, 0.01) for ci in ((0.001, 0.02), (-0.009, -0.001))]
    ['better', 'non-inferior, and worse']
    """
    low, high = ci
    if low > 0:
        return "better"
    if low > -margin:
        return "non-inferior, and worse" if high < 0 else "non-inferior"
    return "inferior" if high < -margin else "inconclusive"


def holm(p: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number by Holm's rule; nan stays nan and is not counted.

    Args:
        p: in [0, 1], or nan where there was no test.

    Raises:
        ValueError: a p value is out of range.

    >>> holm([0.01, 0.04, float("nan"), 0.03])  # 3 × 0.01, then 2 × 0.03, then at least that
    [0.03, 0.06, nan, 0.06]
    """
    if any(not (0 <= value <= 1 or math.isnan(value)) for value in p):
        raise ValueError(f"p values must be between 0 and 1, got {list(p)}")
    adjusted = [math.nan] * len(p)
    tested = [place for place in range(len(p)) if not math.isnan(p[place])]
    order = sorted(tested, key=p.__getitem__)
    floor = 0.0
    for step, place in enumerate(order):
        floor = max(floor, min(1.0, (len(order) - step) * p[place]))
        adjusted[place] = floor
    return adjusted


def power_note(
    difference: Estimate,
    margin: float,
    positives: int,
    negatives: int,
    patients: int,
    *,
    level: float = 0.95,
    power: float = 0.8,
    unit: str = "images",
    finding: str = "the rarest finding",
    replicated: str = "trainings",
    question: Question = "non-inferiority",
) -> str | None:
    """Return that the study is too small to decide, and what size would do; None if it is not.

    Too small: half the interval is wider than the margin, and the interval decides nothing. The
    size is for arms that do not differ at all, whatever was found: power from the observed
    difference would only say the p value again. So it is that of either question: their interval
    lies below plus the margin as it lies above minus the margin.

    Args:
        difference: as in `verdict`.
        margin: as in `verdict`.
        positives: images, or studies, with the rarest finding.
        negatives: those without it.
        patients: of the test set.
        level: of the interval.
        power: chance of showing non-inferiority of equal arms.
        unit: what positives and negatives are: images, or studies.
        finding: the name of the rarest one.
        replicated: what was repeated beside patients: trainings, or partitions.
        question: of the two.

    >>> from fedcxr.metrics.estimate import symmetric
    >>> found = symmetric(0.0, (Part(0.02**2, math.inf),), 0.95)
    >>> note = power_note(found, 0.01, 40, 300, 200)
    >>> "About 6,300 such patients" in note  # 200 × ((1.960 + 0.842) × 2)^2 = 6279
    True
    """
    stands = (
        f"The test set is too small to decide: with {patients:,} patient{'s' * (patients != 1)}, "
        f"and {finding} on {positives:,} of {positives + negatives:,} {unit}"
    )
    if difference.ci is None:
        return f"{stands}, the difference has no interval."
    wide = _too_wide(difference.ci, margin, level, question)
    if wide is None:
        return None
    of_patients, *trainings = difference.parts
    factor = _more_patients(of_patients.variance, trainings, margin, level, power)
    if factor is None:
        return (
            f"The {replicated} are too few to decide: {wide}, and no number of test patients would "
            f"do, so far do the {replicated} lie apart.{_MANY[question]}"
        )
    show = f"no gain of {margin:.3f} between" if question == "superiority" else f"{question} of"
    need = f"About {_two_digits(patients * factor):,} such patients would be needed to show {show}"
    return f"{stands}, {wide}. {need} arms that do not differ, at {100 * power:g} % power."


def fold_power_note(
    difference: Estimate,
    margin: float,
    *,
    patients: int,
    folds: int,
    level: float = 0.95,
    question: Question = "non-inferiority",
) -> str | None:
    """Return that a cross-validation is too small to decide; None if it is not.

    No size is told: how far folds lie apart is the chance of patients and of trainings in one.

    Args:
        difference: as in `verdict`.
        margin: as in `verdict`.
        patients: that are tested, in all folds.
        folds: how many there are.
        level: of the interval.
        question: what is asked.
    """
    stands = f"The study is too small to decide: with {patients:,} patients in {folds} folds"
    if difference.ci is None:
        return f"{stands}, the difference has no interval."
    wide = _too_wide(difference.ci, margin, level, question)
    return f"{stands}, {wide}. How many patients would do, folds do not tell." if wide else None


def _too_wide(ci: Interval, margin: float, level: float, question: Question) -> str | None:
    """Return that an interval cannot decide, in words; None where it can, or is no wider."""
    low, high = ci
    half = (high - low) / 2
    if half <= margin or decide_as(question, ci, margin) != "inconclusive":
        return None
    return f"the {100 * level:g} % interval is ±{half:.3f}, wider than the margin of {margin:.3f}"


def _more_patients(
    variance: float, trainings: Sequence[Part], margin: float, level: float, power: float
) -> float | None:
    """Return how many times as many patients would do; None if no number does."""
    tail, beta = (1 + level) / 2, float(special.ndtri(power))

    def lacking(log_factor: float) -> float:
        # with so many patients Student's t is no other than the normal quantile
        patients = Part(variance / math.exp(log_factor), math.inf)
        parts = (patients, *trainings)
        spread = math.sqrt(sum(part.variance for part in parts))
        return half_width(parts, 2 * tail - 1) + beta * spread - margin

    least, most = 0.0, math.log(1e6)
    if lacking(most) > 0:
        return None
    return math.exp(root(lacking, least, most)) if lacking(least) > 0 else 1.0


def _two_digits(count: float) -> int:
    """Return the count rounded up to two digits.

    >>> [_two_digits(count) for count in (6279.2, 98.1, 7.2)]
    [6300, 99, 8]
    """
    step: int = 10 ** max(0, math.floor(math.log10(count)) - 1)
    return math.ceil(count / step) * step
