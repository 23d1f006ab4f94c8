"""What is known of whether a patient is in two of a run's sets: compared, where and when."""

from datetime import datetime
from typing import Any

from partitions.plan import PartitionPlan

NOT_VERIFIABLE = (
    "the sites' tables stay with them, so nobody could compare these with one another or with the "
    "server's"
)


def disjointness(plan: PartitionPlan) -> dict[str, Any]:
    """Return as it stands in summary.json what was compared when the plan was opened.

    Args:
        plan: just opened.
    """
    proof = plan.proof
    sets = list(proof.sets) if proof else []
    return {
        "verified": bool(proof) and not plan.is_export,
        "compared": "patients and images, by their tokens",
        "key_fingerprint": plan.key_fingerprint,
        "sets": len(sets),
        "pairs_checked": proof.pairs_checked if proof else 0,
        "where": f"the tables of {plan.folder.name}, read back from the disk",
        "at": datetime.now().astimezone().isoformat(timespec="seconds"),
        "reason": NOT_VERIFIABLE if plan.is_export else None,
    }
