"""What the numbers of a page rest on, and what they do not say."""

from fedcxr.report.answer_words import images_listed, tested_on
from fedcxr.report.fairness_words import optimizer_words
from fedcxr.report.protocol_words import endpoint_sentences, fixed_sentence
from fedcxr.report.shown import Shown, View
from fedcxr.report.wording import counted, level_words, signed_interval
from fedcxr.results.comparison import Comparison

_FEW_PATIENTS = 30
_MEANS = (
    "All numbers of an arm are means over its models, each at its own thresholds and temperature, "
    "and not those of an ensemble."
)


def show(view: View) -> Shown | None:
    """Return the sentences."""
    return Shown({"sentences": basis(view.result), "notes": view.result.notes})


def basis(result: Comparison) -> list[str]:
    """Return a sentence or two for each thing that the numbers rest on."""
    is_run, level = result.run is not None, level_words(result.statistics.level)
    conditional = "Intervals are conditional on the trained model"
    if not is_run:
        conditional = "An arm's intervals are conditional on its trained models"
    has_several = any(arm.models > 1 for arm in result.arms)
    return [
        f"{_who_was_scored(result)}; which round's model it is was chosen on validation patients.",
        *([] if is_run else [fixed_sentence(result)]),
        f"Intervals cover {level}: Student's t by leaving out each test patient in turn. One that "
        "did not hold in the self-test of the statistics for such a test set is not shown.",
        *_about_rows(result),
        *(_about_few(result) if is_run else []),
        f"{conditional}: they say how far a number would move with other patients, not with other "
        "trainings.",
        *([] if is_run else _about_seeds(result)),
        "Thresholds and temperatures were fixed on validation patients and applied to the test "
        "set unchanged.",
        _about_undefined(result),
        *endpoint_sentences(result),
        *_about_p(result),
        *optimizer_words(result),
        *([_MEANS] if has_several else []),
    ]


def _who_was_scored(result: Comparison) -> str:
    tested, folds = tested_on(result), result.data.partition.folds
    if folds:
        return (
            f"Each of {tested} was scored once by every arm, in {folds} folds of a "
            "cross-validation, by models that never saw the patient; areas are computed within "
            "each fold and averaged, never over the scores of several folds together"
        )
    start = "The model was scored on" if result.run else "All arms were scored on the same"
    return f"{start} {tested}, who took part in no training"


def _about_undefined(result: Comparison) -> str:
    told = "A label without both classes in the test set has no AUROC"
    if result.run is None:
        return f"{told}."
    return (
        f"{told} and is left out of the mean, which is over {result.main_arm.macro_labels} of "
        f"{len(result.data.labels)} labels."
    )


def _about_rows(result: Comparison) -> list[str]:
    listed = images_listed(result)
    if listed is None or not result.main_arm.scored:
        return []
    told = f"The test table lists {counted(listed, 'image', 'images')}."
    if result.data.score_by == "study":
        more = "A study's score is the maximum over its images; what is counted is studies."
        return [f"{told} {more}"]
    return [f"{told} Those that are not scored could not be read."]


def _about_few(result: Comparison) -> list[str]:
    """Return what the intervals of a run cannot show."""
    arm, patients = result.main_arm, result.data.test_patients
    if arm.macro_auroc.ci is None:
        return []
    found = []
    if patients < _FEW_PATIENTS:
        found.append(
            f"The test set has {counted(patients, 'patient', 'patients')}: intervals from so few "
            "are rough, and more likely too narrow than too wide."
        )
    scores = [each.auroc for each in arm.by_label.values()]
    without = sum(score.value is not None and score.ci is None for score in scores)
    if without:
        found.append(
            f"{counted(without, 'label has', 'labels have')} a value but no interval; the interval "
            "of the macro mean does not hold the uncertainty of such labels."
        )
    return found


def _about_seeds(result: Comparison) -> list[str]:
    seeds = len(result.training.seeds)
    if seeds == 1:
        return [
            "Each arm was trained once: how far another training would lie is not known, and "
            "nothing is said about the ways of training, only about these models."
        ]
    primary = result.primary
    if primary is None:
        return []
    models = primary.macro_auroc_models
    apart = f": {signed_interval(models.ci)} for the first difference" if models.ci else ""
    whom, of, partitions = "other patients and other trainings", "", len(primary.by_partition)
    if primary.replicated == "folds":
        return [
            "The intervals and p values of differences in AUROC are about the ways of training: "
            f"for {whom}, from how far {partitions} folds of a cross-validation lie apart, widened "
            "because their training patients are mostly the same (Nadeau and Bengio 2003). Those "
            f"of these very models, for other patients alone, stand beside them{apart}."
        ]
    if partitions:
        whom = "other patients, other trainings and other partitions"
        of = f"{partitions} partitions and "
    return [
        f"The intervals and p values of differences are about the ways of training: for {whom}, "
        f"from {of}{seeds} seeds paired. Those of these very models, for other patients alone, "
        f"stand beside them{apart}."
    ]


def _about_p(result: Comparison) -> list[str]:
    if not result.differences:
        return []
    return [
        "The p values by label are of the same test as their intervals, adjusted by Holm over the "
        "labels. The verdict is about the macro mean; only after a verdict of "
        f"{result.statistics.question} has each label of the endpoint a lower bound of its own, "
        "all of which hold together."
    ]
