"""Every arm's models at every site: macro AUROC on each site's own held-out patients."""

from collections.abc import Mapping, Sequence

import numpy as np

from fedcxr.experiments.compare.arms import Training
from fedcxr.experiments.compare.predict_held_out import read_site_predictions
from fedcxr.metrics.auroc import macro, score_labels
from fedcxr.metrics.studies import as_scored
from fedcxr.results.at_sites import SiteMatrix, SiteSize, SiteValue
from fedcxr.runs.predictions import Predictions
from partitions.plan import PartitionPlan


def site_matrix(
    plan: PartitionPlan, by_arm: Mapping[str, Sequence[Training]], score_by: str
) -> SiteMatrix:
    """Return the sites by models table.

    Args:
        plan: the federation's partition.
        by_arm: the trainings of each arm; those of one site are a model of their own.
        score_by: `image` or `study`.
    """
    models: dict[str, list[Training]] = {}
    for name, trainings in by_arm.items():
        for training in trainings:
            own = f"{name} {training.site}" if training.site else name
            models.setdefault(own, []).append(training)
    sites = [site.site_id for site in plan.sites]
    cells: dict[tuple[str, str], list[tuple[float | None, int]]] = {}
    held: dict[str, Predictions] = {}
    for model, trainings in models.items():
        for training in trainings:
            held = read_site_predictions(training.folder, sites)
            for site in sites:
                found = _macro(held.get(site), score_by)
                cells.setdefault((site, model), []).append(found)
    values = {at: _mean([value for value, _ in found]) for at, found in cells.items()}
    return SiteMatrix(
        sites=tuple(_size(site.site_id, held.get(site.site_id), site.holds) for site in plan.sites),
        models=tuple(models),
        macro_auroc=tuple(tuple(values[site, model] for model in models) for site in sites),
        labels=tuple(tuple(cells[site, model][0][1] for model in models) for site in sites),
        worst={model: _worst({s: values[s, model] for s in sites}) for model in models},
    )


def _macro(found: Predictions | None, score_by: str) -> tuple[float | None, int]:
    if found is None:
        return None, 0
    scored = as_scored(found, score_by)
    return macro(score_labels(scored.target, scored.probs, scored.labels))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _size(site_id: str, held: Predictions | None, holds: str) -> SiteSize:
    if held is None:
        return SiteSize(site_id=site_id, images=0, patients=0, holds=holds)
    patients = len(set(held.patient_id.tolist()))
    return SiteSize(site_id=site_id, images=len(held.image_id), patients=patients, holds=holds)


def _worst(by_site: Mapping[str, float | None]) -> SiteValue | None:
    known = {site: value for site, value in by_site.items() if value is not None}
    if not known:
        return None
    site = min(known, key=known.__getitem__)
    return SiteValue(site_id=site, value=known[site])
