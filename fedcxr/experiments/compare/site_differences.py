"""Each site's own question: what did the federation change for its own patients?

On a site's held-out patients, on whom nothing was trained or chosen: federated minus the site's own
training, and minus centralized. The means are over the labels that enough of its patients have and
lack, by the rule of the comparison's endpoint, so that one rare label does not take the interval.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fedcxr.experiments.compare.arms import CENTRALIZED, FEDERATED, LOCAL, Training
from fedcxr.experiments.compare.at_sites import read_site_predictions
from fedcxr.experiments.compare.endpoint import count_patients
from fedcxr.experiments.compare.scored_arms import ScoredArms
from fedcxr.experiments.compare.secondary import estimate_to_json
from fedcxr.metrics.estimate import MIN_SEEDS
from fedcxr.metrics.studies import as_scored
from fedcxr.runs.predictions import Predictions
from partitions.plan import PartitionPlan

REFERENCES = (LOCAL, CENTRALIZED)


def site_differences(
    plan: PartitionPlan,
    by_arm: Mapping[str, Sequence[Training]],
    *,
    score_by: str,
    min_positives: int,
    level: float,
) -> list[dict[str, Any]]:
    """Return a row for each site and reference as it stands in `comparison.json`.

    Args:
        plan: the federation's partition.
        by_arm: the trainings of each arm; nothing comes of it without a federation.
        score_by: `image` or `study`.
        min_positives: patients with a finding, and likewise without, that a label needs.
        level: of the intervals.
    """
    references = [name for name in REFERENCES if name in by_arm]
    if FEDERATED not in by_arm or not references:
        return []
    sites = [site.site_id for site in plan.sites]
    held = {
        training.name: read_site_predictions(training.folder, sites)
        for name in (FEDERATED, *references)
        for training in by_arm[name]
    }
    rows = []
    for site in sites:
        # of the local arm, the models that this site trained
        own = [
            (training, as_scored(found, score_by))
            for name in (FEDERATED, *references)
            for training in by_arm[name]
            if training.site in ("", site) and (found := held[training.name].get(site))
        ]
        rows += [
            {"site_id": site, "against": name, **_difference(own, name, min_positives, level)}
            for name in references
        ]
    return rows


def _difference(
    own: Sequence[tuple[Training, Predictions]], against: str, min_positives: int, level: float
) -> dict[str, Any]:
    """Return federated minus another arm on one site's patients."""
    if not own:
        return _nothing("the site has no held-out patients", patients=0)
    test = own[0][1]
    patients = len(set(test.patient_id.tolist()))
    counted = count_patients(test.target, test.patient_id, test.labels)
    columns = [
        place
        for place, label in enumerate(counted)
        if min(label.positives, label.negatives) >= min_positives
    ]
    if not columns:
        reason = f"no label that {min_positives} of its patients have, and as many lack"
        return _nothing(reason, patients)
    arms = ScoredArms.of(test, [(training, found.probs) for training, found in own], level)
    pair = (FEDERATED, against)
    is_of_methods = len(arms.seeds(FEDERATED)) >= MIN_SEEDS
    tested = arms.of_methods if is_of_methods else arms.of_models
    return {
        "patients": patients,
        "labels": [test.labels[column] for column in columns],
        "about": "methods" if is_of_methods else "models",
        **estimate_to_json(tested("auroc", pair, columns)),
    }


def _nothing(reason: str, patients: int) -> dict[str, Any]:
    return {
        "patients": patients,
        "labels": [],
        "about": None,
        "value": None,
        "ci": None,
        "reason": reason,
    }
