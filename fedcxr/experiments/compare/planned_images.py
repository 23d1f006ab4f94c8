"""What an arm adds to its sites' images: as the sites told, and by the plan."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.policies import policy_of, train_targets
from fedcxr.experiments.compare.arms import Arm, Training
from fedcxr.results.added_images import AddedImages, SiteAdded
from fedcxr.results.reading import read_summary
from fedcxr.training.private_plan import trains_vae
from fedcxr.training.samples import plan_public_samples, plan_samples, plan_seed
from partitions.changes import read_contents
from partitions.plan import read_plan


def added_images(
    arm: Arm, trainings: Sequence[Training], labels: Sequence[str]
) -> AddedImages | None:
    """Return what an arm added, None where it adds nothing.

    Args:
        arm: with VAEs, or a control of them.
        trainings: of it, finished; in the local arm site by site.
        labels: that are trained.
    """
    if not arm.config.vae.enabled:
        return None
    sums, real, made = Counter[str](), Counter[str](), Counter[str]()
    told: list[SiteAdded] = []
    for training in trainings:
        said = {each.site_id: each for each in read_summary(training.folder).vae or ()}
        told += [
            SiteAdded(seed=training.seed, partition=training.partition, told=each)
            for each in said.values()
        ]
        for site_id, target, patients in _targets(training, labels):
            planned = _planned(training, site_id, target, labels, patients=patients)
            sums.update({"real": len(target), "planned": len(planned)})
            real.update(_positives(target, labels))
            if site_id not in said or not said[site_id].numbers.status:
                made.update(_positives(planned, labels))
    seeds = len({training.seed for training in trainings})
    counts = [one.told.numbers.samples for one in told]
    known = [count for count in counts if count is not None]
    return AddedImages(
        kind=arm.config.vae.added,
        real=sums["real"] / seeds,
        planned=sums["planned"] / seeds,
        images=sum(known) / seeds if len(known) == len(counts) else None,
        real_positives={label: real[label] / seeds for label in labels},
        positives={label: made[label] / seeds for label in labels},
        sites=tuple(told),
    )


def _targets(
    training: Training, labels: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.float32], int]]:
    """Yield each site: what its images train on at first, (N, L), and the number of patients."""
    config = training.config
    plan = read_plan(Path(str(config.partition.folder)))
    read = read_contents(plan.folder)
    policy = policy_of(config.data, rounds=config.server.rounds)
    columns = [plan.labels.index(label) for label in labels]
    for site in plan.sites:
        table = plan.site_table(site.site_id)
        rows = [row for row in table.rows("train") if not read or table.image_id[row] in read]
        yield (
            site.site_id,
            train_targets(
                table.states[rows][:, columns],
                labels,
                policy,
                image_id=[table.image_id[row] for row in rows],
                seed=config.seed,
            ),
            len({table.patient_id[row] for row in rows}),
        )


def _planned(
    training: Training,
    site_id: str,
    target: NDArray[np.float32],
    labels: Sequence[str],
    *,
    patients: int,
) -> NDArray[np.float32]:
    """Return (S, L) the label vectors that a site adds from the first round on."""
    vae = training.config.vae
    if training.config.privacy.level == "patient":
        asked = plan_public_samples(vae, labels, patients=patients).target
        return asked if trains_vae(vae, patients) else asked[:0]
    if len(target) < vae.min_images:
        return target[:0]
    seed = plan_seed(training.config.seed, site_id, 1)
    return plan_samples(target, vae, labels, seed=seed).target


def _positives(target: NDArray[np.float32], labels: Sequence[str]) -> dict[str, int]:
    return dict(zip(labels, (target == 1).sum(axis=0).tolist(), strict=True))
