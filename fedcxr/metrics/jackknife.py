"""Both areas, and without each patient in turn: what one patient more or less does to them.

The variance of every area comes from these values. Leaving out 9,000 patients one by one would
cost as much as 9,000 areas; here all of it comes from running counts at the label's steps, the
scores that its positives have (see `areas`).

Sources: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 11. The way to
compute it is our own: for the AUROC, the pairs that a patient is part of are taken off; for the
average precision, sums along the curve as it is with so many positives and negatives less.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedcxr.metrics.areas import Areas, Places, find_places, ratio
from fedcxr.metrics.auroc import FloatArray

Counts = NDArray[np.int64]


class _Stops(NamedTuple):
    """Where each patient's rows come in: one stop a patient and step, both rising. E stops."""

    patient: NDArray[np.intp]  # (E,)
    step: NDArray[np.intp]  # (E,)
    hits: Counts  # (E,) the patient's positives that come in here
    alarms: Counts  # (E,) the patient's negatives that come in here
    tied: Counts  # (E,) those of them with the very score of the step
    hits_so_far: Counts  # (E,) the patient's, this stop included
    alarms_so_far: Counts  # (E,)
    is_last: NDArray[np.bool_]  # (E,) the patient's last stop


def jackknife(
    truth: FloatArray, scores: FloatArray, patient: NDArray[np.intp], *, with_ap: bool = True
) -> Areas:
    """Return (1 + P,) both areas: with all patients, then without each; nan where not defined.

    Args:
        truth: (N,) in {0, 1, nan}.
        scores: (N,) finite.
        patient: (N,) in 0 to P - 1, the last of them met.
        with_ap: else the average precision is nan, which saves half the time.

    Raises:
        ValueError: the patients are not as many as the rows.

    >>> found = jackknife(np.array([0.0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]), np.arange(4))
    >>> found.auroc
    array([0.75, 0.5 , 1.  , 1.  , 0.5 ])
    >>> found.ap.round(3)
    array([0.833, 0.833, 1.   , 1.   , 0.5  ])
    """
    if truth.shape != patient.shape:
        raise ValueError(f"patient must be {truth.shape}, got {patient.shape}")
    num_patients = int(patient.max(initial=-1)) + 1
    known = ~np.isnan(truth)
    if not known.all():
        truth, scores, patient = truth[known], scores[known], patient[known]
    places = find_places(truth, scores)
    hits = np.bincount(places.step[truth == 1], minlength=places.num_steps)  # (G,)
    alarms = np.bincount(places.step[truth == 0], minlength=places.num_steps + 1)  # (G + 1,)
    tied = np.bincount(places.step[places.tied], minlength=places.num_steps)  # (G,)
    stops = _stops(truth, places, patient)
    own_hits = _by_patient(stops.hits, stops, num_patients)
    own_alarms = _by_patient(stops.alarms, stops, num_patients)
    positives = hits.sum() - np.append(0.0, own_hits)  # (1 + P,) left
    negatives = alarms.sum() - np.append(0.0, own_alarms)
    wins = _wins(hits, alarms, tied, stops, own_alarms)
    auroc = ratio(wins, positives * negatives)
    if not with_ap:
        return Areas(auroc, np.full(1 + num_patients, np.nan))
    total = _precision_sums(hits, alarms, stops, num_patients)
    return Areas(auroc, ratio(total, positives))


def _stops(truth: FloatArray, places: Places, patient: NDArray[np.intp]) -> _Stops:
    """Return where each patient's rows come in; all of known target."""
    width = places.num_steps + 1
    code, stop = np.unique(patient * width + places.step, return_inverse=True)

    def count(rows: NDArray[np.bool_]) -> Counts:
        return np.bincount(stop[rows], minlength=len(code))

    whose = code // width
    is_last = np.append(whose[1:] != whose[:-1], True)[: len(code)]
    first = np.searchsorted(whose, whose)  # (E,) the patient's first stop

    def so_far(own: Counts) -> Counts:
        total = np.cumsum(own)
        since: Counts = total - (total - own)[first]
        return since

    hits, alarms = count(truth == 1), count(truth == 0)
    return _Stops(
        patient=whose,
        step=code % width,
        hits=hits,
        alarms=alarms,
        tied=count(places.tied),
        hits_so_far=so_far(hits),
        alarms_so_far=so_far(alarms),
        is_last=is_last,
    )


def _wins(
    hits: Counts, alarms: Counts, tied: Counts, stops: _Stops, own_alarms: FloatArray
) -> FloatArray:
    """Return (1 + P,) the pairs won with all and without each, a tie counting one half; exact.

    All pairs, less those of the patient's positives and those of the patient's negatives; the
    pairs among the patient's own have then gone twice and are put back once.
    """
    num_patients = len(own_alarms)
    beaten = np.append(alarms.sum() - np.cumsum(alarms[:-1]) + tied / 2, 0.0)  # by a hit, (G + 1,)
    found = np.append(np.cumsum(hits), hits.sum())  # (G + 1,)
    above = found - np.append(hits, 0)  # (G + 1,) hits over a negative, all but the tied
    by_own_hits = stops.hits * beaten[stops.step]
    over_own_alarms = stops.alarms * above[stops.step]
    over_own_alarms = over_own_alarms + stops.tied * (found - above)[stops.step] / 2
    among_own = stops.hits * (own_alarms[stops.patient] - stops.alarms_so_far + stops.tied / 2)
    less = _by_patient(by_own_hits + over_own_alarms - among_own, stops, num_patients)
    return float(hits @ beaten[:-1]) - np.append(0.0, less)


def _precision_sums(hits: Counts, alarms: Counts, stops: _Stops, num_patients: int) -> FloatArray:
    """Return (1 + P,) the precision summed over the positives, with all and without each patient.

    From one stop of a patient to the next, the curve without the patient has `a` positives and
    `b` negatives less than the full one. Stops with the same (a, b) share one running sum.
    """
    num_steps = len(hits)
    found, called = np.cumsum(hits), np.cumsum(hits) + np.cumsum(alarms[:-1])  # (G,)
    whole = np.append(0.0, np.cumsum(hits * (found / called)))  # (G + 1,) up to each step
    end = np.append(stops.step[1:], num_steps)[: len(stops.step)]
    end[stops.is_last] = num_steps
    kept = np.zeros(len(end))  # (E,) from this stop to the next
    for rows in _alike(stops):
        a, b = stops.hits_so_far[rows[0]], stops.alarms_so_far[rows[0]]
        low = stops.step[rows].min()
        counts = found[low:] - a
        left = called[low:] - a - b
        valid = (counts > 0) & (left >= counts)  # where not, no stop of these is there yet
        precision = np.divide(counts, left, out=np.zeros(len(counts)), where=valid)
        sums = np.append(0.0, np.cumsum(hits[low:] * precision))
        start = stops.step[rows] - low
        kept[rows] = sums[end[rows] - low] - sums[start]
        has = stops.hits[rows] > 0
        kept[rows[has]] -= stops.hits[rows[has]] * precision[start[has]]
    first = np.flatnonzero(np.append(True, stops.is_last[:-1])[: len(end)])
    total = np.full(num_patients, whole[-1])
    total[stops.patient[first]] = whole[stops.step[first]]
    return np.append(whole[-1], total + _by_patient(kept, stops, num_patients))


def _alike(stops: _Stops) -> list[NDArray[np.intp]]:
    """Return the stops that have the same counts so far, together."""
    width = stops.alarms_so_far.max(initial=0) + 1
    code = stops.hits_so_far * width + stops.alarms_so_far
    order = np.argsort(code, kind="stable")
    turns = np.flatnonzero(np.diff(code[order])) + 1
    return np.split(order, turns) if len(order) else []


def _by_patient(values: NDArray[np.number], stops: _Stops, num_patients: int) -> FloatArray:
    """Return (P,) the sum over each patient's stops."""
    total = np.bincount(stops.patient, weights=values, minlength=num_patients)
    return total.astype(np.float64, copy=False)
