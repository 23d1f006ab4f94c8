"""How a model does on each sex, age band or view, and how far its error rates lie apart.

Each group of images gets its AUROC and, at one threshold fixed for all on validation data, its true
and false positive rate. An AUROC alone can hide that a group is called sick too often; the rates
show it. All intervals are from the same draws of patients. Not for very many attributes: among many
gaps some are wide by chance, and nothing here corrects for looking at all of them.

Sources: Hardt et al. 2016, "Equality of Opportunity in Supervised Learning" (gaps of both rates);
Seyyed-Kalantari et al. 2021, "Underdiagnosis bias of artificial intelligence algorithms applied to
chest radiographs in under-served patient populations"; `confusion` for the intervals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.metrics.auroc import FloatArray, check_scores
from fedcxr.metrics.confusion import (
    FN,
    FP,
    TN,
    TP,
    check_draws,
    confusion_cells,
    estimate,
    measure,
    patients_behind,
    resampled_counts,
)
from fedcxr.metrics.estimate import Estimate
from fedcxr.metrics.regime import load_regime
from fedcxr.metrics.scored_models import score_one

UNKNOWN = "unknown"
"""The group of images whose attribute is not known; it has rows, but is in no gap."""

RULE = (
    "A group is left out of a label unless it has at least {min_positives} positive and at least "
    "{min_negatives} negative images, and both kinds come from at least two patients each."
)
"""To be filled in; `Subgroups.rule` is the sentence with its numbers."""

GAP_NOTE = (
    "A gap is the largest rate less the smallest over the groups that were kept. It is never "
    "negative, so chance alone makes the gap and its interval too large, the more so the more "
    "groups there are and the fewer images they have."
)

_NAN = float("nan")
_AGES = ((40, "0-39"), (60, "40-59"), (80, "60-79"))  # first age beyond the band
_RATES = ("sensitivity", "fpr")


@dataclass(frozen=True, slots=True)
class SubgroupRow:
    """One group of an attribute, for one label."""

    attribute: str
    group: str
    label: str
    images: int  # with a known target, as are the next three
    patients: int
    positives: int
    negatives: int
    auroc: Estimate
    tpr: Estimate
    fpr: Estimate
    reason: str | None  # why the group is left out; None if it is kept


@dataclass(frozen=True, slots=True)
class Gap:
    """How far the rates of an attribute's groups lie apart, for one label."""

    attribute: str
    label: str
    tpr_gap: Estimate
    fpr_gap: Estimate


@dataclass(frozen=True, slots=True)
class Subgroups:
    """All groups and gaps, and by which rule groups were left out."""

    rule: str
    rows: tuple[SubgroupRow, ...]  # by attribute, group and label
    gaps: tuple[Gap, ...]  # by attribute and label


@dataclass(frozen=True, slots=True)
class _Table:
    """G groups, of all attributes together, by L labels."""

    names: list[tuple[str, str]]  # (G) attribute and group
    images: NDArray[np.intp]  # (2, G, L) positives and negatives
    patients: NDArray[np.intp]  # (G, L)
    left_out: dict[tuple[int, int], str | None]  # why the group has no numbers for the label
    rates: dict[str, FloatArray]  # (G, L), nan where there is no threshold
    draws: dict[str, FloatArray]  # (R, G, L)


def subgroups(
    target: ArrayLike,
    probs: ArrayLike,
    groups: Mapping[str, ArrayLike],
    patient_id: ArrayLike,
    *,
    labels: Sequence[str],
    thresholds: ArrayLike,
    resamples: int,
    seed: int,
    level: float = 0.95,
    min_positives: int = 10,
    min_negatives: int = 10,
) -> Subgroups:
    """Return AUROC and rates of every group, and the gaps between the groups of an attribute.

    Args:
        target: (N, L) in {0, 1, nan}; nan is left out.
        probs: (N, L) scores.
        groups: by attribute, (N,) the name of each image's group; empty = `UNKNOWN`.
        patient_id: (N,) whose image each row is.
        labels: the L names.
        thresholds: (L,) an image is called positive from there on; nan = no threshold, no rates.
        resamples: how many times the patients are drawn, the same draws for all groups.
        seed: root seed of the draws.
        level: share of resamples inside an interval.
        min_positives: images that a group needs, see `RULE`.
        min_negatives: likewise.

    Raises:
        RunError: a score is not finite.
        ValueError: arguments that do not agree or are out of range.
    """
    truth, scores = check_scores(target, probs, labels)
    cuts = np.asarray(thresholds, dtype=np.float64)
    minima = (min_positives, min_negatives)
    if cuts.shape != (len(labels),) or min(minima) < 1:
        raise ValueError(f"need {len(labels)} thresholds and minima >= 1: {cuts.shape}, {minima}")
    patient = check_draws(len(truth), patient_id, resamples, level)
    rule = RULE.format(min_positives=min_positives, min_negatives=min_negatives)
    names, inside = _members(groups, len(truth))
    if not names or not labels:
        return Subgroups(rule, (), ())
    cells = confusion_cells(truth, scores, cuts)[:, None] & inside[:, :, None, None]  # (N, G, L, 4)
    counts, draws = resampled_counts(cells, patient, resamples, seed)
    table = _tabulate(names, counts, draws, cuts=cuts, minima=minima)
    kept = [at for at, reason in table.left_out.items() if reason is None]
    of_group = {at: np.where(inside[:, at[0]], truth[:, at[1]], np.nan) for at in kept}
    areas = {at: _area(own, scores[:, at[1]], patient, level) for at, own in of_group.items()}
    rows = [
        _row(table, at, labels[at[1]], area=areas.get(at), level=level) for at in table.left_out
    ]
    gaps = [
        Gap(attribute, label, *(_gap(table, attribute, k, name=n, level=level) for n in _RATES))
        for attribute in groups
        for k, label in enumerate(labels)
    ]
    return Subgroups(rule, tuple(rows), tuple(gaps))


def age_band(age: float | None) -> str:
    """Return the band of an age in years.

    >>> [age_band(age) for age in (0, 39.9, 40, 79, 80, float("nan"), None)]
    ['0-39', '0-39', '40-59', '60-79', '80+', 'unknown', 'unknown']
    """
    if age is None or np.isnan(age):
        return UNKNOWN
    return next((band for beyond, band in _AGES if age < beyond), "80+")


def _members(
    groups: Mapping[str, ArrayLike], num_images: int
) -> tuple[list[tuple[str, str]], NDArray[np.bool_]]:
    """Return the (attribute, group) pairs, by attribute and name, and who is in each, (N, G)."""
    names, inside = [], []
    for attribute, values in groups.items():
        of_image = np.asarray(values, dtype=np.str_)
        if of_image.shape != (num_images,):
            raise ValueError(f"groups[{attribute!r}] must be ({num_images},): {of_image.shape}")
        of_image = np.where(of_image == "", UNKNOWN, of_image)
        for name in np.unique(of_image):
            names.append((attribute, str(name)))
            inside.append(of_image == name)
    return names, np.stack(inside, axis=1) if inside else np.empty((num_images, 0), dtype=np.bool_)


def _tabulate(
    names: list[tuple[str, str]],
    counts: FloatArray,
    draws: FloatArray,
    *,
    cuts: FloatArray,
    minima: tuple[int, int],
) -> _Table:
    """Return what the cells, (P, G, L, 4) and (R, G, L, 4), say of every group and label."""
    cells = counts.sum(axis=0)
    images = np.stack([cells[..., [TP, FN]].sum(-1), cells[..., [FP, TN]].sum(-1)]).astype(np.intp)
    behind = np.stack([patients_behind(name, counts) for name in ("sensitivity", "specificity")])
    return _Table(
        names=names,
        images=images,
        patients=patients_behind("accuracy", counts),
        left_out={
            (row, column): _left_out(images[:, row, column], behind[:, row, column], minima)
            for row in range(len(names))
            for column in range(len(cuts))
        },
        rates={name: np.where(np.isnan(cuts), np.nan, measure(name, cells)) for name in _RATES},
        draws={name: measure(name, draws) for name in _RATES},
    )


def _left_out(
    images: NDArray[np.intp], patients: NDArray[np.intp], minima: tuple[int, int]
) -> str | None:
    """Return which part of the rule leaves a group out, from its positives and negatives."""
    for kind, num, least in zip(("positive", "negative"), images, minima, strict=True):
        if num < least:
            return f"left out: {kind} images: {num}, needed: {least}"
    for kind, num in zip(("positive", "negative"), patients, strict=True):
        if num < 2:
            return f"left out: all {kind} images are of one patient"
    return None


def _area(
    truth: FloatArray, scores: FloatArray, patient: NDArray[np.intp], level: float
) -> Estimate:
    """Return the AUROC of a group, whose targets are nan outside it; a gate for its interval."""
    found = score_one(truth, scores, patient, level)
    known = ~np.isnan(truth)
    positives = min(len(np.unique(patient[truth == state])) for state in (0, 1))
    cluster = float(known.sum()) / len(np.unique(patient[known]))
    is_held, why = load_regime("auroc").covered(positives, cluster, found.value)
    return found if is_held or found.ci is None else replace(found, ci=None, parts=(), reason=why)


def _row(
    table: _Table, at: tuple[int, int], label: str, *, area: Estimate | None, level: float
) -> SubgroupRow:
    """Return one group and label; `area` is None where the group is left out."""
    attribute, name = table.names[at[0]]
    reason = table.left_out[at]
    positives, negatives = (int(num) for num in table.images[:, at[0], at[1]])
    tpr, fpr = (_rate(table, at, rate, level) for rate in _RATES)
    return SubgroupRow(
        attribute=attribute,
        group=name,
        label=label,
        images=positives + negatives,
        patients=int(table.patients[at]),
        positives=positives,
        negatives=negatives,
        auroc=area or Estimate(_NAN, None, reason),
        tpr=tpr,
        fpr=fpr,
        reason=reason,
    )


def _rate(table: _Table, at: tuple[int, int], name: str, level: float) -> Estimate:
    if (reason := table.left_out[at]) is not None:
        return Estimate(_NAN, None, reason)
    value = float(table.rates[name][at])
    if np.isnan(value):
        return Estimate(_NAN, None, "no threshold")
    return estimate(value, table.draws[name][:, at[0], at[1]], level)


def _gap(table: _Table, attribute: str, column: int, *, name: str, level: float) -> Estimate:
    """Return the gap of one rate; a resample that lacks the rate of one group is left out."""
    kept = [
        row
        for row, (of, group) in enumerate(table.names)
        if of == attribute and group != UNKNOWN and table.left_out[row, column] is None
    ]
    if len(kept) < 2:
        return Estimate(_NAN, None, "no gap: fewer than two groups are large enough")
    rates = table.rates[name][kept, column]
    if np.isnan(rates).any():
        return Estimate(_NAN, None, "no gap: no threshold")
    draws = table.draws[name][:, kept, column]  # (R, groups)
    return estimate(float(np.ptp(rates)), np.ptp(draws, axis=1), level)
