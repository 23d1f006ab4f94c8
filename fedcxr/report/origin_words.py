"""Who the test patients are, in words: for the pages, a run's notes and the commands."""

from collections.abc import Sequence

from fedcxr.data.origin import (
    DrawnPart,
    FoldPart,
    FoldsPart,
    OfficialPart,
    SamplePart,
    SetSizes,
    TestPart,
    TestSet,
)
from fedcxr.data.records import OfficialSet
from fedcxr.report.wording import count

OWN_SPLIT = "own random split of patients"

_KINDS = {
    "chexpert-valid": "{files}, the official valid set",
    "chexpert-test-2022": "{files}, CheXpert's 2022 test set",
    "nih-test-list": "NIH's official test list",
    "nih-unlisted": "the images that {files} does not name",
}
_VAL_LEFT_OUT = "validation patients are drawn from the others"


def notes_of(test_set: TestSet) -> list[str]:
    """Return sentences that say where the test patients came from, and what was left out.

    Those of joined data begin with the source.
    """
    sources = {one.source for one in (*test_set.parts, *test_set.left_out)} - {""}
    is_joined = len(sources) > 1
    told = [(part.source, _sentence(part)) for part in test_set.parts]
    if any(isinstance(part, SamplePart) for part in test_set.parts):
        told += [
            (one.source, f"Left out of the sample: {_name(one)}.") for one in test_set.left_out
        ]
    else:
        told += [(one.source, _left_out(one)) for one in test_set.left_out]
    return [f"{source}: {text}" if is_joined and source else text for source, text in told]


def notes_of_official(official: Sequence[OfficialSet]) -> list[str]:
    """Return sentences that say what a run without folds would do with the official sets."""
    told = [_tested(one) if one.split == "test" else _left_out(one) for one in official]
    if any(one.split == "test" for one in official):
        return told
    return ["There is no official test set: a run draws its test patients.", *told]


def sample_notes(test_set: TestSet) -> list[str]:
    """Return what was drawn, where the images are a sample by class; nothing where they are not."""
    return [_sampled(part) for part in test_set.parts if isinstance(part, SamplePart)]


def one_class_words(site_id: str, label: str, *, has_it: bool) -> str:
    """Return that a site trains on one class alone.

    >>> one_class_words("site-03", "Lung Lesion", has_it=False)
    'site-03 trains on images without Lung Lesion alone: it learns nothing of how the two differ.'
    """
    of_class = f"{'with' if has_it else 'without'} {label}"
    return f"{site_id} trains on images {of_class} alone: it learns nothing of how the two differ."


def split_words(test_set: TestSet | None) -> str:
    """Return in a few words who is held out, nothing where it is not known.

    >>> split_words(TestSet((OfficialPart(OfficialSet("test", "nih-test-list"), 3),)))
    "NIH's official test list"
    """
    if test_set is None:
        return ""
    return "; ".join(dict.fromkeys(_few_words(part) for part in test_set.parts))


def _few_words(part: TestPart) -> str:
    match part:
        case OfficialPart():
            return _name(part.official)
        case DrawnPart():
            return OWN_SPLIT
        case FoldPart():
            return f"one of {part.folds} equal parts of the patients, drawn at random"
        case FoldsPart():
            return f"each of the {part.folds} folds of a cross-validation, drawn at random"
        case SamplePart():
            return f"a sample of patients with and without {part.label}, drawn at random"


def _sentence(part: TestPart) -> str:
    match part:
        case OfficialPart():
            return _tested(part.official)
        case DrawnPart():
            drawn = f"{count(part.patients)} of {count(part.of_patients)}"
            return f"The test set is drawn from the patients: {drawn}."
        case FoldPart():
            drawn = f"{count(part.patients)} of {count(part.of_patients)} patients"
            return f"The test set is fold {part.fold} of 0 to {part.folds - 1}: {drawn}."
        case FoldsPart():
            drawn = f"{count(part.patients)} patients"
            return f"Tested are {part.folds} folds of a cross-validation in turn: {drawn}."
        case SamplePart():
            return _sampled(part)


def _sampled(part: SamplePart) -> str:
    found = (
        f"The images are a sample, with and without {part.label}: {_sizes(part.drawn)}; "
        f"{count(part.patients)} of {count(part.of_patients)} patients are in the test set"
    )
    if part.drawn == part.wanted:
        return f"{found}."
    asked, there = part.wanted.train[0], part.drawn.train[0]
    return (
        f"{found}. Asked for were {_sizes(part.wanted)}; the data have fewer, so all sizes are "
        f"scaled down, to {100 * there / asked:.2g} %."
    )


def _sizes(sizes: SetSizes) -> str:
    """Return the sizes of all sets.

    >>> _sizes(SetSizes((6488, 6287), (1500, 1450), (1500, 1449)))
    'train 6,488 / 6,287, validation 1,500 / 1,450, test 1,500 / 1,449'
    """
    named = (("train", sizes.train), ("validation", sizes.val), ("test", sizes.test))
    return ", ".join(f"{name} {count(one)} / {count(other)}" for name, (one, other) in named)


def _tested(official: OfficialSet) -> str:
    # the name of the valid set says otherwise
    more = "; it is never used to choose" if official.kind == "chexpert-valid" else ""
    return f"The test set is {_name(official)}{more}."


def _left_out(official: OfficialSet) -> str:
    if official.split == "test":
        return f"Left out of the cross-validation: {_name(official)}."
    return f"Left out: {_name(official)}; {_VAL_LEFT_OUT}."


def _name(official: OfficialSet) -> str:
    words = _KINDS.get(official.kind, "{files}")
    if "{files}" in words and not official.files:
        return f"the official {official.split} set"
    return words.format(files=", ".join(official.files))
