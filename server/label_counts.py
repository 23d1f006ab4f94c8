"""What the label policies do to a run's data, in numbers: states before, targets after.

Counted over the training images of all sites, which the server has only in a simulation. A real
site keeps its table, and no number of it travels for this: there the states are those of the plan,
validation images included, and the targets stay uncounted, with the reason beside them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fedcxr.collector import paused_collector
from fedcxr.config.task import PolicyConfig
from fedcxr.data.labels import count_states
from fedcxr.data.policies import count_targets, train_targets
from partitions.plan import PartitionPlan

Counts = Mapping[str, Mapping[str, int]]

AT_THE_SITES = "the sites' tables stay with them, so the server cannot count their targets"


def label_counts(
    plan: PartitionPlan, labels: Sequence[str], policy: PolicyConfig, seed: int
) -> dict[str, Any]:
    """Return the counts by label as they stand in manifest.json.

    The targets are those of the first round: what `self_trained` fills later is still unknown.
    """
    if not all(plan.site_csv(site.site_id).is_file() for site in plan.sites):
        return {
            "of": "all images of the sites, train and val",
            "images": sum(site.images for site in plan.sites),
            "before": _add(labels, (site.label_counts for site in plan.sites)),
            "after": None,
            "reason": AT_THE_SITES,
        }
    before, after, images = [], [], 0
    with paused_collector():
        for site in plan.sites:
            table = plan.site_table(site.site_id)
            rows = table.rows("train")
            states = table.states[rows][:, [table.labels.index(label) for label in labels]]
            image_id = [table.image_id[row] for row in rows.tolist()]
            target = train_targets(states, labels, policy, image_id=image_id, seed=seed)
            before.append(count_states(states, labels))
            after.append(count_targets(target, labels))
            images += len(rows)
    return {
        "of": "the sites' training images",
        "images": images,
        "before": _add(labels, before),
        "after": _add(labels, after),
        "reason": None,
    }


def _add(labels: Sequence[str], counts: Iterable[Counts]) -> dict[str, dict[str, int]]:
    """Return the sums over the sites, by label and kind."""
    sums: dict[str, dict[str, int]] = {label: {} for label in labels}
    for of_site in counts:
        for label in labels:
            for kind, number in of_site.get(label, {}).items():
                sums[label][kind] = sums[label].get(kind, 0) + number
    return sums
