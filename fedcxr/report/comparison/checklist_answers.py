"""What a comparison can say of its training and judging to the items of a reporting checklist.

A sentence, or nothing where comparison.json does not tell it; the item is open then.
"""

from fedcxr.report.comparison.checklist_data import attributes
from fedcxr.report.comparison.protocol_words import margin_words
from fedcxr.report.comparison.read_comparison import Comparison, rows
from fedcxr.report.comparison.wording import joined, level_words
from fedcxr.report.wording import as_number, count, counted


def goal(comparison: Comparison) -> str:
    """Return the goal of the study."""
    primary = comparison.primary
    if primary is None:
        return ""
    margin = comparison.margin
    what = "Comparison" if margin is None else "Test of non-inferiority"
    fixed = margin_words(comparison.tree)
    fixed = fixed if fixed == "fixed beforehand" else f"({fixed})"
    tail = "" if margin is None else f", margin {margin:g} in macro AUROC {fixed}"
    return f"{what} of {primary.arm.title} to {primary.against.title}{tail}."


def model(comparison: Comparison) -> str:
    """Return what was trained."""
    name = comparison.part("training").get("model")
    return f"{name}; {_same_but(comparison, 'model.')}." if name else ""


def software(comparison: Comparison) -> str:
    """Return what wrote the comparison."""
    version = comparison.tree.get("fedcxr")
    return f"fedcxr {version}." if version else ""


def initial(comparison: Comparison) -> str:
    """Return where training started."""
    seeds = _seeds(comparison)
    same = _same_but(comparison, "model.")
    return f"Initial parameters: {same}, by seed ({seeds})." if seeds else ""


def training(comparison: Comparison) -> str:
    """Return how the arms were trained."""
    told = comparison.part("training")
    rounds, epochs = told.get("rounds"), told.get("local_epochs")
    rate, batch = as_number(told.get("learning_rate")), told.get("batch_size")
    parts = [
        counted(rounds, "round", "rounds") if rounds else "",
        counted(epochs, "local epoch", "local epochs") if epochs else "",
        f"batches of {count(batch)}" if batch else "",
        f"learning rate {rate:g}" if rate is not None else "",
    ]
    said = ", ".join(part for part in parts if part)
    how = told.get("learning_rate_how")
    precision = told.get("precision")
    more = [f"Learning rate: {how}." if how else "", f"Precision: {precision}." * bool(precision)]
    more += [
        f"{arm.title} has of its own: {arm.differs}." for arm in comparison.arms if arm.differs
    ]
    return " ".join([f"{said[0].upper()}{said[1:]}.", *filter(None, more)]) if said else ""


def chosen(comparison: Comparison) -> str:
    """Return how the round was chosen."""
    told = comparison.main_arm.tree.get("learning")
    return "The round with the best macro AUROC on the validation patients." if told else ""


def ensembles(comparison: Comparison) -> str:
    """Return whether models were put together."""
    seeds = comparison.num_seeds
    if not seeds:
        return ""
    return "None: " + (
        "one trained model an arm."
        if seeds == 1
        else f"the scores of {seeds} models are averaged, not their predictions."
    )


def measures(comparison: Comparison) -> str:
    """Return the measures that were computed."""
    arm = comparison.main_arm.tree
    found = ["AUROC and average precision, by label and macro"]
    found += ["sensitivity, specificity, PPV, NPV and F1 at fixed thresholds"] * bool(
        arm.get("operating_points")
    )
    found += ["Brier, ECE, calibration slope and calibration-in-the-large"] * bool(
        arm.get("calibration")
    )
    return f"{joined(found)}."


def uncertainty(comparison: Comparison) -> str:
    """Return how intervals and the verdict were made."""
    trainings = [each for each in comparison.differences if each.is_of_methods]
    chance = "patients and trainings" if trainings else "patients"
    return (
        f"{level_words(comparison.level)} intervals: Student's t over {chance} for differences, "
        "over patients for what is of one arm; Holm over labels."
    )


def robustness(comparison: Comparison) -> str:
    """Return what was varied."""
    found = [f"{comparison.num_seeds} seeds"] * (comparison.num_seeds > 1)
    found += ["every model at every site"] * bool(comparison.part("site_matrix").get("sites"))
    return f"{joined(found).capitalize()}." if found else ""


def performance(comparison: Comparison) -> str:
    """Return where the scores are."""
    found = ["by arm and label"]
    found += [f"by {joined(attributes(comparison))}"] * bool(attributes(comparison))
    found += ["by site"] * bool(comparison.part("site_matrix").get("sites"))
    return f"With intervals, on this page: {', '.join(found)}."


def accuracy(comparison: Comparison) -> str:
    """Return where accuracy stands with its intervals."""
    if not comparison.main_arm.tree.get("operating_points"):
        return "ROC curves and AUROC with intervals."
    return "ROC curves, AUROC and operating points with intervals."


def failures(comparison: Comparison) -> str:
    """Return what is told of failures."""
    told = comparison.main_arm.tree.get("operating_points")
    return "Confusion matrices by label at each operating point." if told else ""


def limits(comparison: Comparison) -> str:
    """Return the limits that the numbers have."""
    return "Section «What the numbers rest on»." if comparison.arms else ""


def clusters(comparison: Comparison) -> str:
    """Return how the sites were told apart."""
    sites = rows(comparison.part("site_matrix").get("sites"))
    if not sites:
        return ""
    return (
        f"Macro AUROC of every model on the own held-out patients of "
        f"{counted(len(sites), 'site', 'sites')} (the validation split of each, on which nothing "
        f"was trained or chosen), the worst named."
    )


def updating(comparison: Comparison) -> str:
    """Return what was refitted."""
    if not comparison.main_arm.tree.get("calibration"):
        return ""
    return "Recalibration by one temperature, fitted on validation: before and after are shown."


def predictions(comparison: Comparison) -> str:
    """Return how the probabilities came about."""
    by = comparison.part("data").get("score_by")
    how = "the maximum over the images of a study" if by == "study" else "one for each image"
    return f"Sigmoid of the network's output, {how}." if by else ""


def fairness(comparison: Comparison) -> str:
    """Return what was looked at by group."""
    found = attributes(comparison)
    return f"Gaps in true and false positive rate by {joined(found)}." if found else ""


def thresholds(comparison: Comparison) -> str:
    """Return what the output is and how thresholds were fixed."""
    if not comparison.main_arm.tree.get("operating_points"):
        return ""
    return (
        "Probabilities; thresholds by Youden, at 90 % sensitivity and at 90 % specificity, fixed "
        "on validation."
    )


def checkpoints(comparison: Comparison) -> str:
    """Return where the model is."""
    del comparison
    return "Checkpoints in the arms' run folders."


def _same_but(comparison: Comparison, section: str) -> str:
    """Return that a section of the settings is the same in every arm, and in which it is not."""
    others = []
    for arm in comparison.arms:
        own = [
            f"{k} {v}" for k, v in (arm.tree.get("differs") or {}).items() if k.startswith(section)
        ]
        if own:
            others.append(f"{arm.title} ({', '.join(own)})")
    return "the same in every arm" + (f" but {'; '.join(others)}" if others else "")


def _seeds(comparison: Comparison) -> str:
    return ", ".join(f"{seed:g}" for seed in comparison.part("training").get("seeds") or ())
