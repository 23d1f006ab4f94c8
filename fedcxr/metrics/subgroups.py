"""How models do on each sex, age band or view, and how far each group lies from all the others.

Each group of images gets its AUROC and, at one threshold fixed for all on validation data, its true
and false positive rate. An AUROC alone can hide that a group is called sick too often; the rates
show it. A gap is the group's value minus that of all other images of known group: signed, so that
chance does not make it larger, as it does the largest value less the smallest. Not for very many
attributes: among many gaps some are wide by chance, and nothing here corrects for looking at all.

Sources: Hardt et al. 2016, "Equality of Opportunity in Supervised Learning" (gaps of both rates);
Seyyed-Kalantari et al. 2021, "Underdiagnosis bias of artificial intelligence algorithms applied to
chest radiographs in under-served patient populations".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.metrics.auroc import FloatArray
from fedcxr.metrics.patient_images import PatientImages
from fedcxr.metrics.scored_areas import check_models, score_models
from fedcxr.metrics.scored_models import Reasons, ScoredModels
from fedcxr.metrics.scored_rates import call_images, score_rate
from fedcxr.metrics.studies import IMAGES, Units

UNKNOWN = "unknown"
"""The group of images whose attribute is not known; it has rows, but is in no gap."""

GroupMeasure = Literal["auroc", "sensitivity", "fpr"]
GROUP_MEASURES: tuple[GroupMeasure, ...] = ("auroc", "sensitivity", "fpr")
MIN_IMAGES = 10
"""Positive images, and negative ones, that a group needs: see `rule_words`."""

_AGES = ((40, "0-39"), (60, "40-59"), (80, "60-79"))  # first age beyond the band


@dataclass(frozen=True, slots=True)
class ScoredGroup:
    """One group of an attribute: K models on its images, for L labels."""

    attribute: str
    group: str
    whose: PatientImages
    left_out: tuple[str | None, ...]  # (L,) why the group has no numbers for a label
    scored: Mapping[GroupMeasure, ScoredModels]
    gaps: Mapping[GroupMeasure, ScoredModels]  # the group less the rest; none of `UNKNOWN`


def score_groups(
    target: ArrayLike,
    models: ArrayLike,
    patient_id: ArrayLike,
    groups: Mapping[str, ArrayLike],
    *,
    labels: Sequence[str],
    cuts: ArrayLike,
    reasons: Reasons | None = None,
    min_images: int = MIN_IMAGES,
    units: Units = IMAGES,
) -> Iterator[ScoredGroup]:
    """Yield every group of every attribute, scored: one at a time, since each takes much memory.

    Args:
        target: (N, L) in {0, 1, nan}; nan is left out.
        models: (K, N, L) scores.
        patient_id: (N,) whose image each row is.
        groups: by attribute, (N,) the name of each image's group; empty = `UNKNOWN`.
        labels: the L names.
        cuts: (K, L) an image is called positive from there on; nan = no threshold, no rates.
        reasons: why there is none.
        min_images: positive images that a group needs, and negative ones, see `rule_words`.
        units: what the rows are called.

    Raises:
        RunError: a score is not finite.
        ValueError: arguments that do not agree or are out of range.
    """
    truth, scores, patient = check_models(target, models, patient_id, labels)
    if min_images < 1:
        raise ValueError(f"min_images must be >= 1, got {min_images}")

    def score(inside: NDArray[np.bool_]) -> _Part:
        own = np.where(inside[:, None], truth, np.nan)
        return _score_part(own, scores, patient, labels, cuts, reasons, min_images, units)

    for attribute, values in groups.items():
        of_image = np.asarray(values, dtype=np.str_)
        if of_image.shape != (len(truth),):
            raise ValueError(f"groups[{attribute!r}] must be ({len(truth)},): {of_image.shape}")
        of_image = np.where(of_image == "", UNKNOWN, of_image)
        names = [str(name) for name in np.unique(of_image)]
        parts = {name: score(of_image == name) for name in names}
        known = [name for name in names if name != UNKNOWN]
        for name in names:
            gaps: dict[GroupMeasure, ScoredModels] = {}
            if name != UNKNOWN and len(known) > 1:
                others = [other for other in known if other != name]
                rest = parts[others[0]] if len(others) == 1 else score(np.isin(of_image, others))
                gaps = _gaps(parts[name], rest)
            part = parts[name]
            yield ScoredGroup(attribute, name, part.whose, part.left_out, part.scored, gaps)


def rule_words(units: Units, min_images: int = MIN_IMAGES) -> str:
    """Return when a group is left out of a label, and what a gap is."""
    return (
        f"A group is left out of a label unless it has at least {min_images} positive and at least "
        f"{min_images} negative {units[1]}, and both kinds come from at least two patients each. A "
        f"gap is the group's value minus that of all other {units[1]} of known group, which must "
        "be as many; nothing corrects for looking at several groups and findings."
    )


def age_band(age: float | None) -> str:
    """Return the band of an age in years.

    >>> [age_band(age) for age in (0, 39.9, 40, 79, 80, float("nan"), None)]
    ['0-39', '0-39', '40-59', '60-79', '80+', 'unknown', 'unknown']
    """
    if age is None or np.isnan(age):
        return UNKNOWN
    return next((band for beyond, band in _AGES if age < beyond), "80+")


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of the images, scored."""

    whose: PatientImages
    left_out: tuple[str | None, ...]
    scored: dict[GroupMeasure, ScoredModels]


def _score_part(
    own: FloatArray,
    scores: FloatArray,
    patient: NDArray[np.intp],
    labels: Sequence[str],
    cuts: ArrayLike,
    reasons: Reasons | None,
    min_images: int,
    units: Units,
) -> _Part:
    """Return the models' scores where targets (N, L) are known, label by label if enough are."""
    whose = PatientImages.of(own, patient)
    left_out = tuple(
        _left_out(whose, column, min_images, units[1]) for column in range(len(labels))
    )
    kept = np.where([why is None for why in left_out], own, np.nan)
    called = call_images(kept, scores, patient, labels, cuts, reasons=reasons, units=units)
    found: dict[GroupMeasure, ScoredModels] = {
        "auroc": score_models(kept, scores, patient, labels, measures=["auroc"])["auroc"],
        "sensitivity": score_rate(called, "sensitivity"),
        "fpr": score_rate(called, "fpr"),
    }
    return _Part(whose, left_out, {name: _without(each, left_out) for name, each in found.items()})


def _without(scored: ScoredModels, left_out: Sequence[str | None]) -> ScoredModels:
    """Return scores whose reasons say what was left out."""
    reasons = tuple(
        tuple(why or own for why, own in zip(left_out, of_model, strict=True))
        for of_model in scored.reasons
    )
    return replace(scored, reasons=reasons)


def _left_out(whose: PatientImages, column: int, min_images: int, many: str) -> str | None:
    """Return which part of the rule leaves these images out of a label."""
    kinds = (("positive", whose.positives[column]), ("negative", whose.negatives[column]))
    for kind, images in kinds:
        if images.sum() < min_images:
            return f"left out: {kind} {many}: {images.sum()}, needed: {min_images}"
    for kind, images in kinds:
        if np.count_nonzero(images) < 2:
            return f"left out: all {kind} {many} are of one patient"
    return None


def _gaps(group: _Part, rest: _Part) -> dict[GroupMeasure, ScoredModels]:
    """Return the group less the rest; the reason tells which of the two is too small."""
    of_rest = [why and f"no gap: the other groups are {why}" for why in rest.left_out]
    return {
        name: group.scored[name].minus(_without(rest.scored[name], of_rest), f"{name}_gap")
        for name in GROUP_MEASURES
    }
