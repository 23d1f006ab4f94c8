"""The answer in plain words: title, sentence, and what must be known beside it."""

from fedcxr.report.gain_words import further_gains, gain_sentence
from fedcxr.report.wording import (
    as_sentence,
    counted,
    fixed,
    interval,
    joined,
    level_words,
    signed,
    signed_interval,
)
from fedcxr.results.comparison import Comparison
from fedcxr.results.differences import Difference
from fedcxr.results.run_files import RunFacts, RunSummary
from fedcxr.results.score import Score

VERDICTS = {
    "better": "better: the whole interval lies above 0",
    "non-inferior, and worse": "non-inferior, and worse: there is a loss, smaller than that",
    "non-inferior": "non-inferior: any loss is smaller than that",
    "inferior": "inferior: the loss is larger than that",
    "inconclusive": "inconclusive: the interval reaches across it",
}
"""What a verdict says of the margin, by its word."""

_UNDECIDED = ("inconclusive", "withheld")
_STATUS = {
    "running": "is still running, or was killed",
    "interrupted": "was interrupted",
    "failed": "failed",
    "finished": "has lost its summary",
}


def title(result: Comparison) -> str:
    """Return what was compared, or the name of the run."""
    if result.run is not None:
        return result.name
    if result.primary is not None:
        return " against ".join(_titles(result, result.primary))
    return joined([arm.title for arm in result.arms])


def sentence(result: Comparison) -> str:
    """Return the answer in one sentence: how much, how sure, the verdict; of a run its story."""
    if result.run is not None:
        return _story(result.run)
    primary = result.primary
    if primary is None:
        return _without_difference(result)
    if result.statistics.question == "superiority":
        return gain_sentence(result, primary)
    found = primary.macro_auroc
    arm, against = _titles(result, primary)
    if found.value is None:
        why = found.reason or "none is defined"
        return f"{arm} and {against} cannot be compared in macro AUROC: {why}."
    how = f"{_how_much(found.value)} {against} ({_how_sure(result, found)})"
    answer = f"{arm} has {how}{_verdict(result, primary)}."
    if primary.is_of_methods:
        return answer
    return f"{answer} This is about these trained models: each arm was trained once."


def sensitivity(result: Comparison) -> list[str]:
    """Return what the answer would be in another setting or under another budget."""
    told = further_gains(result) if result.statistics.question == "superiority" else []
    for each in result.sensitivity:
        found = each.macro_auroc
        if found.value is None:
            continue
        word = each.verdict.word
        tail = ", without a verdict" if word == "withheld" else f": {word}"
        told.append(
            f"Against {result.arm(each.against).title}, the difference is {signed(found.value)} "
            f"({_how_sure(result, found)}){tail}."
        )
    return told


def is_too_small(difference: Difference | None) -> bool:
    """Return whether there are too few patients or trainings to decide."""
    return bool(difference and difference.power and difference.verdict.word in _UNDECIDED)


def notices(result: Comparison) -> list[str]:
    """Return what must be known beside the answer: why there is no verdict, and power."""
    primary = result.primary
    if primary is None:
        return []
    power, verdict = primary.power or "", primary.verdict
    told = [verdict.reason] if verdict.word == "withheld" and verdict.reason not in power else []
    return [as_sentence(text) for text in (*told, *_lost_labels(primary), power) if text]


def _lost_labels(primary: Difference) -> list[str]:
    """Return the labels that are worse by their own intervals, which a macro mean may hide."""
    if not primary.worse_labels:
        return []
    beyond = primary.inferior_labels
    more = f", of them beyond the margin {joined(beyond)}" if beyond else ""
    return [
        f"worse by their own intervals, not adjusted for their number: "
        f"{joined(primary.worse_labels)}{more}"
    ]


def unfinished(result: Comparison) -> str | None:
    """Return what keeps a run from being complete, None if nothing does."""
    if result.run is None or result.run.summary is not None:
        return None
    return f"This run {_STATUS[result.run.manifest.status]}."


def tested_on(result: Comparison) -> str:
    """Return how many images or studies were scored, and of how many patients."""
    patients = counted(result.data.test_patients, "patient", "patients")
    return f"{counted(result.main_arm.scored, *result.units)} of {patients}"


def images_listed(result: Comparison) -> int | None:
    """Return the images in the test table, None where just these were scored."""
    listed = result.data.test_images
    is_same = result.data.score_by == "image" and listed == result.main_arm.scored
    return None if is_same else listed


def _titles(result: Comparison, difference: Difference) -> tuple[str, str]:
    return result.arm(difference.arm).title, result.arm(difference.against).title


def _story(run: RunFacts) -> str:
    """Return what was trained by whom, and on whom it was judged."""
    num = len(run.plan.sites)
    whose = "on its own patients" if num == 1 else "each on patients of its own"
    text = (
        f"{counted(num, 'site', 'sites')} trained {run.config.model.name} by "
        f"{run.config.algorithm.algorithm.title}, {whose}. "
    )
    if run.summary is not None:
        return text + _judged(run, run.summary)
    done = max((line.round for line in run.rounds), default=0)
    return (
        f"{text}{done} of {run.config.server.rounds} rounds are done and there is no test result "
        f"yet. Go on with: fedcxr resume {run.folder.name}"
    )


def _judged(run: RunFacts, summary: RunSummary) -> str:
    images = counted(summary.test_images, "image", "images")
    patients = counted(summary.test_patients, "patient", "patients")
    by_study = run.manifest.score_by == "study"
    how = " (a study's score is the maximum over its views)" if by_study else ""
    return (
        f"After {counted(summary.num_rounds, 'round', 'rounds')} the server chose the model of "
        f"round {summary.best_round} on its validation patients and judged it once on {images} of "
        f"{patients}{how} who are at no site."
    )


def _without_difference(result: Comparison) -> str:
    arm = result.main_arm
    found = arm.macro_auroc
    if found.value is None:
        return f"{arm.title} has no macro AUROC: {found.reason or 'no label has both classes'}."
    sure = f" ({_how_sure(result, found)})" if found.ci else ""
    why = "with one arm there is nothing to compare it with"
    if len(result.arms) > 1:
        why = "no difference between the arms was computed"
    return f"{arm.title} has a macro AUROC of {fixed(found.value)}{sure}; {why}."


def _how_much(value: float) -> str:
    if fixed(abs(value)) == fixed(0):
        return "the same macro AUROC, to three decimals, as"
    return f"a macro AUROC {fixed(abs(value))} {'lower' if value < 0 else 'higher'} than"


def _how_sure(result: Comparison, found: Score) -> str:
    if found.ci is None:
        return found.reason or "no interval was computed"
    words = interval(found.ci) if result.primary is None else signed_interval(found.ci)
    return f"{level_words(result.statistics.level)} interval {words}"


def _verdict(result: Comparison, primary: Difference) -> str:
    """Return the verdict as the end of the sentence."""
    word, small = primary.verdict.word, "the study is too small to decide"
    if word == "withheld":
        return f"; no verdict is given{f', and {small}' if is_too_small(primary) else ''}"
    told = f"{word}: {small}" if is_too_small(primary) else VERDICTS.get(word, word)
    return f", which with a margin of {fixed(result.statistics.margin)} is {told}"
