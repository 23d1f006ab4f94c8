"""What is known of whether a patient is in two of a run's sets: compared, where and when."""

from datetime import datetime
from typing import Any

from partitions.overlap import Comparison
from partitions.plan import PartitionPlan
from partitions.plan_folder import GLOBAL

OVERLAP_JSON = "overlap.json"
"""In the run folder: the sites' comparison of their patients, where there is one."""

NOT_VERIFIABLE = (
    "the sites' tables stay with them, so nobody could compare these with one another or with the "
    "server's"
)


def disjointness(plan: PartitionPlan, checked: Comparison | None = None) -> dict[str, Any]:
    """Return as it stands in summary.json what was compared when the plan was opened.

    Args:
        plan: just opened.
        checked: of an exported plan, what the sites found by comparing tokens: no two share a
            patient. It is their word; the server saw no table.
    """
    proof = plan.proof
    if checked is not None and plan.is_export:
        return _checked(checked)
    sets = list(proof.sets) if proof else []
    is_proven = bool(proof) and not plan.is_export
    return {
        "verified": is_proven,
        "status": "proven" if is_proven else "not verifiable",
        "compared": "patients and images, by their tokens",
        "key_fingerprint": plan.key_fingerprint,
        "sets": len(sets),
        "pairs_checked": proof.pairs_checked if proof else 0,
        "where": f"the tables of {plan.folder.name}, read back from the disk",
        "at": datetime.now().astimezone().isoformat(timespec="seconds"),
        "reason": NOT_VERIFIABLE if plan.is_export else None,
    }


def _checked(found: Comparison) -> dict[str, Any]:
    has_server = GLOBAL in found.sets
    return {
        "verified": False,
        "status": "checked",
        "compared": "patients, by tokens under a key of the sites",
        "key_fingerprint": found.key,
        "sets": len(found.sets),
        "pairs_checked": found.pairs_checked,
        "where": "files of tokens that the sites made (fedcxr check-overlap)",
        "at": found.at,
        "reason": "the sites compared their patients by keyed tokens, and no two share one; "
        + (
            "nor does any with the server"
            if has_server
            else "nobody compared them with the server's validation and test patients"
        ),
    }
