"""Whether a partition folder belongs to a run: to its data, key, views and labels."""

from collections.abc import Mapping

from fedcxr.data.cache.store import Cache
from fedcxr.data.tokens import Tokens
from fedcxr.errors import ArtefactError, LeakError, some
from partitions.plan_folder import TEST_CSV, VAL_CSV, PartitionPlan, site_file


def check_fit(
    plan: PartitionPlan,
    cache: Cache,
    tokens: Tokens,
    digests: Mapping[str, str],
    *,
    labels: tuple[str, ...],
    views: str,
) -> None:
    """Refuse a partition of other data, views or labels, or of another key.

    Images that could not be decoded may be in it: a folder can be made before any is opened.

    Args:
        plan: the partition.
        cache: of the run's data.
        tokens: of the run's key.
        digests: by token, what tells the files of the decoded images apart.
        labels: the run's.
        views: the run's.

    Raises:
        ArtefactError: the run cannot use it.
        LeakError: a file that is a test image is, under another name, elsewhere too.
    """
    check_key(plan, tokens)
    if plan.views != views:
        raise ArtefactError(
            f"{plan.folder}: made with views={plan.views}, the run has {views}. "
            f"Give --views {plan.views}, or partition anew."
        )
    absent = [label for label in labels if label not in plan.labels]
    if absent:
        raise ArtefactError(
            f"{plan.folder}: made without the labels {some(absent)}. "
            "Partition anew or leave them out of --labels."
        )
    _check_images(plan, {image_id for image_id, _, _ in cache.bad}, digests)


def check_key(plan: PartitionPlan, tokens: Tokens) -> None:
    """Raise ArtefactError unless a partition's tokens are under the same key."""
    if plan.key_fingerprint != tokens.fingerprint:
        raise ArtefactError(
            f"{plan.folder}: its patient tokens were made with another key "
            f"({plan.key_fingerprint}, yours is {tokens.fingerprint}). "
            "Set FEDCXR_PATIENT_KEY to that key's file, or partition anew."
        )


def _check_images(plan: PartitionPlan, bad: set[str], digests: Mapping[str, str]) -> None:
    tested: set[str] = set()
    for name in (TEST_CSV, VAL_CSV, *(site_file(site.site_id) for site in plan.sites)):
        file = plan.folder / name
        ids = [image_id for image_id in plan.table(name).image_id if image_id not in bad]
        missing = [image_id for image_id in ids if image_id not in digests]
        if missing:
            raise ArtefactError(
                f"{file}: {len(missing)} of its images are not in the data set "
                f"({some(missing, 3)}). Give the --data it was made from."
            )
        if name == TEST_CSV:
            tested = {digests[image_id] for image_id in ids}
            continue
        copies = [image_id for image_id in ids if digests[image_id] in tested]
        if copies:
            raise LeakError(
                f"{file}: {len(copies)} of its images have the bytes of a test image "
                f"({some(copies, 3)}). Run without --partition, which leaves copies out, or take "
                "them out of the data set's table and partition anew."
            )
