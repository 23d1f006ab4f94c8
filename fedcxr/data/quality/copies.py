"""Copies in the data set: judged by whether they cross a split or a patient.

A copy inside one patient's images of one split costs a little variety. A copy in two splits makes
the test set known, and a copy under two patients is in two splits sooner or later, since splits are
made by patient.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from fedcxr.data.quality.findings import (
    MAX_PICTURES,
    NOTICE,
    PROBLEM,
    Finding,
    Picture,
    finding_of,
)
from fedcxr.data.quality.images import DecodedImages
from fedcxr.data.quality.twins import MAX_PAIRS, SAME_CORRELATION, Twin, same_bytes

ACROSS_SPLITS, ACROSS_PATIENTS, WITHIN = "across-splits", "across-patients", "within"

_WHERE = {
    ACROSS_SPLITS: ("in two splits", PROBLEM, "The model is tested on images that it learned."),
    ACROSS_PATIENTS: (
        "of two patients",
        PROBLEM,
        "One image under two patients comes into two splits, since splits are made by patient.",
    ),
    WITHIN: ("of one patient", NOTICE, "The image counts twice in training."),
}


def copy_findings(
    decoded: DecodedImages,
    splits: Sequence[Mapping[str, str]],
    twins: Sequence[Twin],
    *,
    is_cut: bool,
) -> tuple[Finding, ...]:
    """Return the files with the same bytes and the pictures that look the same.

    Args:
        decoded: the images.
        splits: for each group of splits, the split of each path that is in one.
        twins: the pairs of pictures that look the same or alike.
        is_cut: whether there are more pairs than `twins` holds.
    """
    same = [twin for twin in twins if twin.correlation >= SAME_CORRELATION]
    alike = [twin for twin in twins if twin.correlation < SAME_CORRELATION]
    cut = f" There are more than {MAX_PAIRS:,} such pairs; not all were judged." if is_cut else ""
    return (
        *_byte_findings(decoded, splits),
        *_twin_findings(decoded, splits, same, cut),
        *_alike_findings(decoded, alike),
    )


def _byte_findings(
    decoded: DecodedImages, splits: Sequence[Mapping[str, str]]
) -> tuple[Finding, ...]:
    groups: dict[str, list[list[int]]] = defaultdict(list)
    for group in same_bytes(decoded):
        groups[_where(decoded, splits, group)].append(group)
    return tuple(
        finding
        for where, (words, severity, text) in _WHERE.items()
        for finding in finding_of(
            f"same-file-{where}",
            severity,
            [" = ".join(decoded.records[i].path for i in group[:4]) for group in groups[where]],
            f"Same file {words}",
            text=f"Files with the same bytes. {text}",
            mend="Keep one row of each, with the right patient.",
            pictures=_pictures(decoded, groups[where]),
        )
    )


def _twin_findings(
    decoded: DecodedImages, splits: Sequence[Mapping[str, str]], twins: Sequence[Twin], cut: str
) -> tuple[Finding, ...]:
    pairs: dict[str, list[Twin]] = defaultdict(list)
    for twin in twins:
        pairs[_where(decoded, splits, [twin.first, twin.second])].append(twin)
    return tuple(
        finding
        for where, (words, severity, text) in _WHERE.items()
        for finding in finding_of(
            f"near-duplicate-{where}",
            severity,
            [_named(decoded, twin) for twin in pairs[where]],
            f"Same picture {words}",
            text=f"Pairs of one radiograph saved twice: resized, recompressed or brightened. "
            f"{text}{cut}",
            mend="Look at each pair; keep one row, with the right patient.",
            pictures=_pictures(decoded, [[t.first, t.second] for t in pairs[where]]),
        )
    )


def _alike_findings(decoded: DecodedImages, twins: Sequence[Twin]) -> tuple[Finding, ...]:
    return finding_of(
        "look-alike",
        NOTICE,
        [_named(decoded, twin) for twin in twins],
        "Pairs that look very much alike",
        text="Perhaps one radiograph cropped or retouched, perhaps two of one patient in one pose.",
        mend="Look at each pair.",
        pictures=_pictures(decoded, [[twin.first, twin.second] for twin in twins]),
    )


def _where(
    decoded: DecodedImages, splits: Sequence[Mapping[str, str]], group: Sequence[int]
) -> str:
    records = [decoded.records[i] for i in group]
    for split_of in splits:
        if len({split_of[r.path] for r in records if r.path in split_of}) > 1:
            return ACROSS_SPLITS
    return ACROSS_PATIENTS if len({r.patient_id for r in records}) > 1 else WITHIN


def _named(decoded: DecodedImages, twin: Twin) -> str:
    one, two = decoded.records[twin.first].path, decoded.records[twin.second].path
    return f"{one} ~ {two} (correlation {twin.correlation:.3f})"


def _pictures(
    decoded: DecodedImages, groups: Sequence[Sequence[int]]
) -> tuple[tuple[Picture, ...], ...]:
    return tuple(
        tuple(Picture(decoded.records[i].path, decoded.square(i)) for i in group[:2])
        for group in groups[:MAX_PICTURES]
    )
