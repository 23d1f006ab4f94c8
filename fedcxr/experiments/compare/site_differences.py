"""Each site's own question: what did the federation change for its own patients?

On a site's held-out patients, on whom nothing was trained or chosen: federated minus the site's own
training, and minus centralized. The means are over the labels that enough of its patients have and
lack, by the rule of the comparison's endpoint, so that one rare label does not take the interval.
"""

from collections.abc import Mapping, Sequence

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.experiments.compare.arms import CENTRALIZED, FEDERATED, LOCAL, Training
from fedcxr.experiments.compare.endpoint import count_patients
from fedcxr.experiments.compare.predict_held_out import read_site_predictions
from fedcxr.metrics.studies import Units, as_scored, units_of
from fedcxr.results.at_sites import SiteDifference
from fedcxr.results.judging.scored_arms import ScoredArms
from fedcxr.results.score import Score
from fedcxr.runs.predictions import Predictions
from partitions.plan import PartitionPlan

REFERENCES = (LOCAL, CENTRALIZED)


def site_differences(
    plan: PartitionPlan,
    by_arm: Mapping[str, Sequence[Training]],
    config: ExperimentConfig,
    level: float,
) -> tuple[SiteDifference, ...]:
    """Return a row for each site and reference.

    Args:
        plan: the federation's partition.
        by_arm: the trainings of each arm; nothing comes of it without a federation.
        config: of the comparison.
        level: of the intervals.
    """
    references = [name for name in REFERENCES if name in by_arm]
    if FEDERATED not in by_arm or not references:
        return ()
    sites = [site.site_id for site in plan.sites]
    held = {
        training.name: read_site_predictions(training.folder, sites)
        for name in (FEDERATED, *references)
        for training in by_arm[name]
    }
    rows: list[SiteDifference] = []
    for site in sites:
        # of the local arm, the models that this site trained
        own = [
            (training, as_scored(found, config.data.score_by))
            for name in (FEDERATED, *references)
            for training in by_arm[name]
            if training.site in ("", site) and (found := held[training.name].get(site))
        ]
        rows += [
            _difference(
                own,
                site,
                name,
                min_positives=config.compare.min_positives,
                level=level,
                units=units_of(config.data.score_by),
            )
            for name in references
        ]
    return tuple(rows)


def _difference(
    own: Sequence[tuple[Training, Predictions]],
    site: str,
    against: str,
    *,
    min_positives: int,
    level: float,
    units: Units,
) -> SiteDifference:
    """Return federated minus another arm on one site's patients."""
    if not own:
        return _nothing(site, against, 0, "the site has no held-out patients")
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
        return _nothing(site, against, patients, reason)
    probs = [(training, found.probs) for training, found in own]
    arms = ScoredArms.of(test, probs, level, units)
    pair = (FEDERATED, against)
    return SiteDifference(
        site_id=site,
        against=against,
        patients=patients,
        labels=tuple(test.labels[column] for column in columns),
        about="methods" if arms.is_of_methods(pair) else "models",
        **dict(Score.of(arms.difference("auroc", pair, columns))),
    )


def _nothing(site: str, against: str, patients: int, reason: str) -> SiteDifference:
    return SiteDifference(
        site_id=site,
        against=against,
        patients=patients,
        labels=(),
        about=None,
        value=None,
        reason=reason,
    )
