"""Patients and images that two splits of one group share, as findings."""

from collections import defaultdict
from collections.abc import Sequence

from fedcxr.data.quality.findings import MAX_EXAMPLES, NOTICE, PROBLEM, Finding, finding_of
from fedcxr.data.quality.splits import Pair, Split


def split_findings(splits: Sequence[Split], pairs: Sequence[Pair]) -> tuple[Finding, ...]:
    """Return a finding for each group of splits that shares patients or images.

    Args:
        splits: all that were compared.
        pairs: what `compare_splits` says of them.
    """
    by_group: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_group[pair.group].append(pair)
    return (
        *(
            finding
            for group, mine in by_group.items()
            for finding in (
                *_shared_patients(group, mine, _in_two(group, splits)),
                *_shared_images(group, mine),
            )
        ),
        *_unknown_patients(splits),
    )


def _shared_patients(group: str, pairs: Sequence[Pair], count: int) -> tuple[Finding, ...]:
    leaking = [pair for pair in pairs if pair.shared_patients]
    if not leaking:
        return ()
    examples = [
        f"{pair.first} / {pair.second}: {example}" for pair in leaking for example in pair.examples
    ]
    return (
        Finding(
            "patients-shared",
            PROBLEM,
            count,
            f"Patients in two splits ({group})",
            " ".join(_overlap_in_words(pair) for pair in leaking)
            + " A model would be chosen or scored on patients that it was trained on.",
            "Split by whole patients: leave these splits unused, or move each patient to one.",
            tuple(examples[:MAX_EXAMPLES]),
        ),
    )


def _overlap_in_words(pair: Pair) -> str:
    """Return a sentence that measures the overlap by the smaller split.

    >>> _overlap_in_words(Pair("", "train", "valid", 399, 77, 75, 75))
    "train and valid share 75 of valid's 77 patients."
    """
    small, size = min(
        (pair.second, pair.patients_of_second),
        (pair.first, pair.patients_of_first),
        key=lambda split: split[1],
    )
    return (
        f"{pair.first} and {pair.second} share {pair.shared_patients:,} of {small}'s "
        f"{size:,} patients."
    )


def _shared_images(group: str, pairs: Sequence[Pair]) -> tuple[Finding, ...]:
    shared = [pair for pair in pairs if pair.shared_images]
    if not shared:
        return ()
    return (
        Finding(
            "images-shared",
            PROBLEM,
            sum(pair.shared_images for pair in shared),
            f"Images in two splits ({group})",
            " ".join(
                f"{pair.first} and {pair.second} share {pair.shared_images:,} "
                f"image{'s' * (pair.shared_images != 1)}."
                for pair in shared
            ),
            "Take each of these rows out of one of the splits.",
        ),
    )


def _unknown_patients(splits: Sequence[Split]) -> tuple[Finding, ...]:
    unknown = [
        f"{split.name} row {row}: {image}"
        for split in splits
        if split.rows
        for image, patient, row in zip(split.images, split.patients, split.rows, strict=True)
        if not patient
    ]
    return finding_of(
        "split-unknown-patient",
        NOTICE,
        unknown,
        "Rows of splits whose patient is unknown",
        text="Neither a patient column nor the data set nor the image's name says whose image it "
        "is, so these rows were not compared.",
        mend="Add a patient column to the split's file.",
    )


def _in_two(group: str, splits: Sequence[Split]) -> int:
    """Return how many patients are in two or more splits of a group."""
    places: dict[str, set[str]] = defaultdict(set)
    for split in splits:
        if split.group == group:
            for patient in set(split.patients) - {""}:
                places[patient].add(split.part or split.name)
    return sum(len(names) > 1 for names in places.values())
