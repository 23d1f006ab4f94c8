"""The answer of a study of augmentation: does one thing that was added help more than another?"""

from dataclasses import dataclass

from fedcxr.report.wording import fixed, level_words, signed_interval
from fedcxr.results.arms import ArmResult
from fedcxr.results.comparison import Comparison
from fedcxr.results.differences import Difference


@dataclass(frozen=True, slots=True)
class _Phrase:
    """How an arm is spoken of."""

    subject: str
    helps: str
    does: str
    with_it: str
    """Trained so, after "has a macro AUROC … than training"."""


_NOTHING = _Phrase("nothing added", "helps", "does", "on real images alone")
_KINDS = {
    "vae": _Phrase("the VAE", "helps", "does", "with its samples"),
    "copies": _Phrase("copies", "help", "do", "with copies of real images"),
    "classical": _Phrase("classical views", "help", "do", "with classical views of real images"),
}


def gain_sentence(result: Comparison, difference: Difference) -> str:
    """Return whether an arm helps more than the other, how much, and how sure that is."""
    arm, against = (result.arm(name) for name in (difference.arm, difference.against))
    first, second = _phrase(arm), _phrase(against)
    where = f"{arm.setting}: " if arm.setting else ""
    answer = f"{where}{_answer(result, difference, first, second)}"
    answer = f"{answer[0].upper()}{answer[1:]}"
    found = difference.macro_auroc
    if found.value is None:
        return f"{answer}: {found.reason or 'the macro AUROC is not defined'}."
    size = fixed(abs(found.value))
    how = f"macro AUROC {size} {'lower' if found.value < 0 else 'higher'} than"
    if size == fixed(0):
        how = "the same macro AUROC, to three decimals, as"
    sure = found.reason or "no interval was computed"
    if found.ci is not None:
        sure = f"{level_words(result.statistics.level)} interval {signed_interval(found.ci)}"
    told = f"{answer}: training {first.with_it} gives {how} training {second.with_it} ({sure})."
    if difference.is_of_methods:
        return told
    return f"{told} This is about these trained models: each arm was trained once."


def further_gains(result: Comparison) -> list[str]:
    """Return the answers to the same question in other settings, a sentence each."""
    primary = result.primary
    if primary is None:
        return []
    asked = _kinds(result, primary)
    return [
        gain_sentence(result, each)
        for each in result.differences
        if each is not primary and _kinds(result, each) == asked
    ]


def _kinds(result: Comparison, difference: Difference) -> tuple[str, ...]:
    arms = (result.arm(name) for name in (difference.arm, difference.against))
    return tuple(arm.added.kind if arm.added else "none" for arm in arms)


def _phrase(arm: ArmResult) -> _Phrase:
    return _KINDS[arm.added.kind] if arm.added else _NOTHING


def _answer(result: Comparison, difference: Difference, first: _Phrase, second: _Phrase) -> str:
    """Return the beginning of the sentence."""
    margin = fixed(result.statistics.margin)
    than = "" if second is _NOTHING else f" more than {second.subject} {second.does}"
    match difference.verdict.word:
        case "better":
            return f"{first.subject} {first.helps}{than}"
        case "no better":
            not_so = f"{first.does} not help{than}"
            return f"{first.subject} {not_so}, or by less than {margin}"
        case "worse" if second is _NOTHING:
            return f"{first.subject} {first.does} harm"
        case "worse":
            return f"{first.subject} {first.helps} less than {second.subject} {second.does}"
    return f"whether {first.subject} {first.helps}{than} is not decided"
