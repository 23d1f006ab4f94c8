"""What protection costs each sex and each age band: macro AUROC in the group, arm by arm.

By the comparison's own rule of who makes a group, and its own intervals. A finding that a group has
too few patients of is left out of that group's mean; arms are held against one another over the
same findings.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.experiments.compare.comparing import all_trainings, read_arms
from fedcxr.experiments.compare.judge import read_models
from fedcxr.metrics.subgroups import ScoredGroup, score_groups
from fedcxr.results.judging.all_models import AllModels, Pair
from fedcxr.results.judging.group_details import groups_of
from fedcxr.results.privacy_sweep import GroupCost
from fedcxr.results.score import Score


def group_costs(folder: Path, against: Mapping[str, str]) -> dict[str, tuple[GroupCost, ...]]:
    """Return by arm what it scores in each group, and how far that is from another arm.

    Args:
        folder: of a finished comparison.
        against: by arm, which one it is held against.

    Raises:
        ArtefactError: predictions are missing or damaged.
    """
    config, arms, plans = read_arms(folder)
    trainings = all_trainings(folder, config, arms, plans)
    _, models = read_models(config, trainings, tuple(against.items()))
    attributes = groups_of(models.test, with_view=False)
    found: dict[str, list[GroupCost]] = {arm: [] for arm in models.names}
    for group in score_groups(
        models.test.target,
        models.probs,
        models.test.patient_id,
        attributes,
        labels=models.test.labels,
        cuts=np.full((len(models.arm), len(models.test.labels)), np.nan),  # no rates are asked for
        units=models.units,
    ):
        inside = attributes[group.attribute] == group.group
        for arm, cost in _of_group(models, group, against, inside).items():
            found[arm].append(cost)
    return {arm: tuple(costs) for arm, costs in found.items()}


def _of_group(
    models: AllModels,
    group: ScoredGroup,
    against: Mapping[str, str],
    inside: NDArray[np.bool_],
) -> dict[str, GroupCost]:
    """Return every arm's scores in a group, over the findings that all arms have there."""
    labels = models.test.labels
    kept = [column for column, why in enumerate(group.left_out) if why is None]
    reason = None if kept else group.left_out[0] or "no finding"
    auroc = models.table(group.scored["auroc"], [kept])
    beyond = _beyond(models, group, kept)

    def score(of: Score) -> Score:
        return of if reason is None else Score(value=None, reason=reason)

    found = {}
    for arm in models.names:
        pair = (arm, against[arm]) if arm in against else None
        found[arm] = GroupCost(
            attribute=group.attribute,
            group=group.group,
            labels=tuple(labels[column] for column in kept),
            patients=len(set(models.test.patient_id[inside].tolist())),
            images=int(inside.sum()),
            auroc=score(auroc.arms[arm][0]),
            cost=None if pair is None else score(auroc.pairs[pair][0]),
            beyond=None if pair is None else beyond.get(pair),
        )
    return found


def _beyond(models: AllModels, group: ScoredGroup, kept: Sequence[int]) -> dict[Pair, Score]:
    """Return by pair the group's difference minus all others'; nothing where there are none."""
    if "auroc" not in group.gaps:
        return {}
    gaps = group.gaps["auroc"]
    both = gaps.defined(kept)
    if not both:
        why = gaps.reason(0, range(len(gaps.value)))
        return {pair: Score(value=None, reason=why) for pair in models.pairs}
    return {pair: found[0] for pair, found in models.table(gaps, [both]).pairs.items()}
