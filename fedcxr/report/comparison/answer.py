"""The answer in plain words, and what it rests on."""

from fedcxr.report.comparison.protocol_words import endpoint_sentences, fixed_sentence
from fedcxr.report.comparison.read_comparison import Comparison, Difference, Estimate
from fedcxr.report.comparison.wording import (
    VERDICTS,
    joined,
    level_words,
    signed,
    signed_interval,
    unit_words,
)
from fedcxr.report.fairness_words import optimizer_words
from fedcxr.report.wording import as_number, count, counted, fixed, interval

_UNDECIDED = ("inconclusive", "withheld")


def title(comparison: Comparison) -> str:
    """Return what was compared."""
    primary = comparison.primary
    if primary:
        return f"{primary.arm.title} against {primary.against.title}"
    return joined([arm.title for arm in comparison.arms])


def sentence(comparison: Comparison) -> str:
    """Return the answer in one sentence: how much, how sure, and the verdict."""
    primary = comparison.primary
    if primary is None:
        return _without_difference(comparison)
    found = primary.score("macro_auroc")
    pair = f"{primary.arm.title} and {primary.against.title}"
    if found.value is None:
        return f"{pair} cannot be compared in macro AUROC: {found.reason or 'none is defined'}."
    how = f"{_how_much(found.value)} {primary.against.title} ({_how_sure(comparison, found)})"
    answer_ = f"{primary.arm.title} has {how}{_verdict(comparison, primary)}."
    if primary.is_of_methods:
        return answer_
    return f"{answer_} This is about these trained models: each arm was trained once."


def sensitivity(comparison: Comparison) -> list[str]:
    """Return what the answer would be under another budget, a sentence each."""
    told = []
    for each in comparison.sensitivity:
        found = each.score("macro_auroc")
        if found.value is None:
            continue
        word = f": {each.verdict}" if each.verdict in VERDICTS else ", without a verdict"
        told.append(
            f"Against {each.against.title}, the difference is {signed(found.value)} "
            f"({_how_sure(comparison, found)}){word}."
        )
    return told


def is_too_small(difference: Difference | None) -> bool:
    """Return whether the test set is too small to decide."""
    return bool(difference and difference.power and difference.verdict in _UNDECIDED)


def notices(comparison: Comparison) -> list[str]:
    """Return what must be known beside the answer: why there is no verdict, and power."""
    primary = comparison.primary
    if primary is None:
        return []
    found = []
    told = primary.verdict_reason
    if primary.verdict == "withheld" and told and told not in primary.power:
        found.append(_as_sentence(told))
    if primary.power:
        found.append(_as_sentence(primary.power))
    return found


def basis(comparison: Comparison) -> list[str]:
    """Return what the numbers of the page rest on, and what they do not say."""
    level = level_words(comparison.level)
    draws = as_number(comparison.part("statistics").get("resamples"))
    how = f"{count(draws)} draws of patients" if draws else "draws of patients"
    return [
        f"All arms were scored on the same {comparison.test_set_words}, who took part in no "
        f"training; each interval covers {level}.",
        fixed_sentence(comparison.tree),
        "Intervals of AUROC, average precision and their differences are Student's t by leaving "
        "out each patient in turn; those of rates and of gaps "
        f"between groups come from {how}. One that did not hold in the self-test of the "
        "statistics for such a test set is not shown.",
        *_about_rows(comparison),
        "An arm's intervals are conditional on its trained models: they say how far a number would "
        "move with other patients, not with other trainings.",
        *_about_seeds(comparison),
        "Thresholds and temperatures were fixed on validation patients and applied to the test "
        "set unchanged.",
        *_about_means(comparison),
        *_about_p(comparison),
        *optimizer_words(comparison.tree),
        "AUROC and average precision of an arm are means over its models, not the score of an "
        "ensemble. Curves, operating points, calibration and subgroups are of one model an arm: "
        "the first seed's, and of an arm with a model a site the first site's.",
    ]


def _without_difference(comparison: Comparison) -> str:
    arm = comparison.main_arm
    found = arm.score("macro_auroc")
    if found.value is None:
        return f"{arm.title} has no macro AUROC: {found.reason or 'no label has both classes'}."
    sure = f" ({_how_sure(comparison, found)})" if found.ci else ""
    why = "with one arm there is nothing to compare it with"
    if len(comparison.arms) > 1:
        why = "no difference between the arms was computed"
    return f"{arm.title} has a macro AUROC of {fixed(found.value)}{sure}; {why}."


def _how_much(value: float) -> str:
    if fixed(abs(value)) == fixed(0):
        return "the same macro AUROC, to three decimals, as"
    return f"a macro AUROC {fixed(abs(value))} {'lower' if value < 0 else 'higher'} than"


def _how_sure(comparison: Comparison, found: Estimate) -> str:
    if found.ci is None:
        return found.reason or "no interval was computed"
    level = level_words(comparison.level)
    if comparison.primary is None:
        return f"{level} interval {interval(found.ci)}"
    return f"{level} interval {signed_interval(found.ci)}"


def _verdict(comparison: Comparison, primary: Difference) -> str:
    """Return the verdict as the end of the sentence."""
    small = "the test set is too small to decide"
    if primary.verdict in VERDICTS:
        known = comparison.margin is not None
        margin = f"which {f'with a margin of {fixed(comparison.margin)} ' if known else ''}is "
        if is_too_small(primary):
            return f", {margin}{primary.verdict}: {small}"
        return f", {margin}{VERDICTS[primary.verdict]}"
    if primary.verdict:
        return f"; no verdict is given{f', and {small}' if is_too_small(primary) else ''}"
    return ""


def _as_sentence(text: str) -> str:
    """Return a text with a capital first and a full stop last.

    >>> _as_sentence("too few patients")
    'Too few patients.'
    """
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _about_rows(comparison: Comparison) -> list[str]:
    listed = comparison.images_listed
    told = [f"The test table lists {counted(listed, 'image', 'images')}."] if listed else []
    if comparison.units == unit_words("study"):
        told.append("A study's score is the maximum over its images; what is counted is studies.")
    elif told:
        told.append("Those that are not scored could not be read.")
    return [" ".join(told)] if told else []


def _about_means(comparison: Comparison) -> list[str]:
    """Return which labels the means are over: those of the endpoint, where the file tells them."""
    without = "A label without both classes in the test set has no AUROC"
    if told := endpoint_sentences(comparison.tree):
        return [f"{without}.", *told]
    kept = comparison.macro_labels
    over = (
        "" if kept is None else f", which are over {count(kept)} of {len(comparison.labels)} labels"
    )
    return [f"{without} and is left out of the means{over}."]


def _about_seeds(comparison: Comparison) -> list[str]:
    seeds = comparison.num_seeds
    if seeds == 1:
        return [
            "Each arm was trained once: how far another training would lie is not known, and "
            "nothing is said about the ways of training, only about these models."
        ]
    primary = comparison.primary
    if primary is None:
        return []
    models = primary.score("macro_auroc_models")
    apart = f": {signed_interval(models.ci)} for the first difference" if models.ci else ""
    whom, partitions = "other patients and other trainings", primary.tree.get("by_partition") or ()
    if partitions:
        whom = "other patients, other trainings and other partitions"
    of = f"{len(partitions)} partitions and " if partitions else ""
    return [
        f"The intervals and p values of differences are about the ways of training: for {whom}, "
        f"from {of}{seeds} seeds paired. Those of these very models, for other patients alone, "
        f"stand beside them{apart}."
    ]


def _about_p(comparison: Comparison) -> list[str]:
    if not comparison.differences:
        return []
    return [
        "The p values by label are of the same test as their intervals, adjusted by Holm over the "
        "labels; the verdict is about the macro mean alone."
    ]
