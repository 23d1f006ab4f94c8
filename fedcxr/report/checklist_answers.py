"""What a result can say to the items of a reporting checklist, which name these functions.

A sentence, or nothing where the result does not tell it; the item is open then.
"""

from fedcxr.report.answer_words import images_listed, tested_on
from fedcxr.report.origin_words import split_words
from fedcxr.report.protocol_words import margin_words
from fedcxr.report.wording import as_sentence, count, counted, joined, level_words
from fedcxr.results.comparison import Comparison


def goal(result: Comparison) -> str:
    """Return the goal of the study."""
    primary = result.primary
    if primary is None:
        return ""
    words = margin_words(result)
    words = words if words == "fixed beforehand" else f"({words})"
    return (
        f"Test of {result.statistics.question} of {result.arm(primary.arm).title} to "
        f"{result.arm(primary.against).title}, margin {result.statistics.margin:g} in macro AUROC "
        f"{words}."
    )


def source(result: Comparison) -> str:
    """Return where the data are from."""
    kind = " Synthetic: computed, not taken of people." if result.data.synthetic else ""
    return f"{result.data.source}, in the layout of {result.data.layout}.{kind}"


def partition(result: Comparison) -> str:
    """Return how the data were split, and dealt to the sites."""
    data = result.data
    sites = counted(data.partition.clients, "site", "sites")
    return (
        f"Test set: {split_words(data.test_set)}; {sites} by {data.partition.scheme} (digest "
        f"{data.partition.digest[:12]})."
    )


def disjoint(result: Comparison) -> str:
    """Return at which level the splits are apart."""
    pairs = result.data.partition.pairs_compared
    if not pairs:
        return ""
    return (
        "Patients and images: none is in two sites or splits, found by comparing "
        f"{counted(pairs, 'pair', 'pairs')} of sets."
    )


def sample_size(result: Comparison) -> str:
    """Return the size of the test set, and what it suffices for."""
    power = result.primary.power if result.primary else None
    return f"{_scored(result)} in the test set.{f' {power}' if power else ''}"


def internal(result: Comparison) -> str:
    """Return on what was tested."""
    return f"{_scored(result)}, {split_words(result.data.test_set)}."


def external(result: Comparison) -> str:
    """Return on what data from elsewhere was tested."""
    found = [
        f"{each.data.name}, {counted(each.scored, *result.units)} of "
        f"{counted(each.data.patients, 'patient', 'patients')}"
        for each in result.external
    ]
    return f"{'; '.join(found)}." if found else ""


def numbers(result: Comparison) -> str:
    """Return how many patients and images there were."""
    data = result.data
    found = []
    for name, images, patients in (
        ("test", data.test_images, data.test_patients),
        ("validation", data.val_images, data.val_patients),
    ):
        of = counted(patients, "patient", "patients")
        found.append(f"{name}: {counted(images, 'image', 'images')} of {of}")
    if images_listed(result) is not None:
        found.append(f"scored: {counted(result.main_arm.scored, *result.units)}")
    return f"{'; '.join(found)}."


def demographics(result: Comparison) -> str:
    """Return whose characteristics the page has."""
    found = _attributes(result)
    return f"By {joined(found)}, of the test set: table of subgroups." if found else ""


def outcome(result: Comparison) -> str:
    """Return what was predicted."""
    labels = result.data.labels
    return f"{counted(len(labels), 'label', 'labels')}: {', '.join(labels)}."


def initial(result: Comparison) -> str:
    """Return where training started."""
    seeds = ", ".join(f"{seed}" for seed in result.training.seeds)
    return f"Initial parameters: {_same_but(result, 'model.')}, by seed ({seeds})."


def training(result: Comparison) -> str:
    """Return how was trained."""
    told = result.training
    parts = [
        counted(told.rounds, "round", "rounds"),
        counted(told.local_epochs, "local epoch", "local epochs"),
        f"batches of {count(told.batch_size)}",
        *([] if told.learning_rate is None else [f"learning rate {told.learning_rate:g}"]),
    ]
    own = [
        f"{arm.title} has of its own: {arm.differs_words}." for arm in result.arms if arm.differs
    ]
    how = f"Learning rate: {told.learning_rate_how}. Precision: {told.precision}."
    return " ".join([as_sentence(", ".join(parts)), how, *own])


def chosen(result: Comparison) -> str:
    """Return how the round was chosen."""
    told = "The round with the best macro AUROC on the validation patients."
    return told if result.main_arm.learning else ""


def ensembles(result: Comparison) -> str:
    """Return whether models were put together."""
    seeds = len(result.training.seeds)
    if seeds == 1:
        return "None: one trained model an arm."
    return f"None: the scores of {seeds} models are averaged, not their predictions."


def measures(result: Comparison) -> str:
    """Return what was measured."""
    arm = result.main_arm
    found = ["AUROC and average precision, by label and macro"]
    if arm.operating_points:
        found.append("sensitivity, specificity, PPV, NPV and F1 at fixed thresholds, net benefit")
    if arm.calibration.by_label:
        found.append("Brier, ECE, calibration slope and calibration-in-the-large")
    return f"{joined(found)}."


def uncertainty(result: Comparison) -> str:
    """Return how intervals and the verdict were made."""
    level = level_words(result.statistics.level)
    if result.run is not None:
        return f"{level} intervals: Student's t over patients."
    trainings = any(each.is_of_methods for each in result.differences)
    chance = "patients and trainings" if trainings else "patients"
    return (
        f"{level} intervals: Student's t over {chance} for differences, over patients for what "
        "is of one arm; Holm over labels."
    )


def robustness(result: Comparison) -> str:
    """Return what was varied."""
    seeds = len(result.training.seeds)
    found = [f"{seeds} seeds"] if seeds > 1 else []
    if result.site_matrix.sites:
        found.append("every model at every site")
    return f"{joined(found).capitalize()}." if found else ""


def performance(result: Comparison) -> str:
    """Return where the scores are."""
    attributes = _attributes(result)
    found = ["by arm and label" if len(result.arms) > 1 else "by label"]
    if attributes:
        found.append(f"by {joined(attributes)}")
    if result.site_matrix.sites:
        found.append("by site")
    return f"With intervals, on this page: {', '.join(found)}."


def accuracy(result: Comparison) -> str:
    """Return where accuracy stands with its intervals."""
    points = ", AUROC and operating points" if result.main_arm.operating_points else " and AUROC"
    return f"ROC curves{points} with intervals."


def clusters(result: Comparison) -> str:
    """Return how the sites were told apart."""
    sites = result.site_matrix.sites
    if not sites:
        return ""
    return (
        f"Macro AUROC of every model on the own held-out patients of "
        f"{counted(len(sites), 'site', 'sites')} (the validation split of each, on which nothing "
        f"was trained or chosen), the worst named."
    )


def predictions(result: Comparison) -> str:
    """Return how the probabilities came about."""
    by_study = result.data.score_by == "study"
    how = "the maximum over the images of a study" if by_study else "one for each image"
    return f"Sigmoid of the network's output, {how}."


def fairness(result: Comparison) -> str:
    """Return what was looked at by group."""
    found = _attributes(result)
    return f"Gaps in true and false positive rate by {joined(found)}." if found else ""


def centres(result: Comparison) -> str:
    """Return the number of sites."""
    clients = result.data.partition.clients
    return f"{counted(clients, 'simulated site', 'simulated sites')}."


def model(result: Comparison) -> str:
    """Return what was trained."""
    return f"{result.training.model}; {_same_but(result, 'model.')}."


def preprocessing(result: Comparison) -> str:
    """Return how images were prepared."""
    return f"Images scaled to {result.training.image_size} px."


def software(result: Comparison) -> str:
    """Return what wrote the result."""
    return f"fedcxr {result.fedcxr}."


def _attributes(result: Comparison) -> list[str]:
    """Return by what the test set is cut into subgroups."""
    return list(dict.fromkeys(row.attribute for row in result.main_arm.subgroups.rows))


def _scored(result: Comparison) -> str:
    listed = images_listed(result)
    more = "" if listed is None else f" ({counted(listed, 'image', 'images')} in the test table)"
    return f"{tested_on(result)}{more}"


def _same_but(result: Comparison, section: str) -> str:
    """Return that a section of the settings is the same in every arm, and in which it is not."""
    others = []
    for arm in result.arms:
        own = [f"{key} {value}" for key, value in arm.differs.items() if key.startswith(section)]
        if own:
            others.append(f"{arm.title} ({', '.join(own)})")
    return "the same in every arm" + (f" but {'; '.join(others)}" if others else "")
