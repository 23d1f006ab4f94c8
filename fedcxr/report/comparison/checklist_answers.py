"""What a comparison can say to the items of a reporting checklist: a sentence, or nothing.

Empty where comparison.json does not tell it; the item is open then.
"""

from fedcxr.report.comparison.load import Comparison, Tree, rows
from fedcxr.report.comparison.wording import joined, level_words
from fedcxr.report.wording import as_number, count, counted


def goal(comparison: Comparison) -> str:
    """Return the goal of the study."""
    primary = comparison.primary
    if primary is None:
        return ""
    margin = comparison.margin
    what = "Comparison" if margin is None else "Test of non-inferiority"
    tail = "" if margin is None else f", margin {margin:g} in macro AUROC fixed beforehand"
    return f"{what} of {primary.arm.title} to {primary.against.title}{tail}."


def source(comparison: Comparison) -> str:
    """Return where the data are from."""
    data = comparison.part("data")
    named, layout = data.get("source"), data.get("layout")
    if not named:
        return ""
    kind = " Synthetic: computed, not taken of people." if comparison.is_synthetic else ""
    return f"{named}, in the layout of {layout}.{kind}"


def preprocessing(comparison: Comparison) -> str:
    """Return how images were prepared."""
    size = as_number(comparison.part("training").get("image_size"))
    return f"Images scaled to {size:g} px." if size is not None else ""


def tokens(comparison: Comparison) -> str:
    """Return what stands for patients' names in the files."""
    del comparison  # so in every run
    return "Patients, studies and images are named by keyed tokens in every file that is written."


def missing(comparison: Comparison) -> str:
    """Return what becomes of unknown labels."""
    del comparison
    return "A label that is unknown after the policies is in neither the loss nor the scores."


def partition(comparison: Comparison) -> str:
    """Return how the data were split, and dealt to the sites."""
    data = comparison.part("data")
    plan = data.get("partition") or {}
    if not data.get("split"):
        return ""
    clients = plan.get("clients")
    sites = f"; {counted(clients, 'site', 'sites')} by {plan.get('scheme')}" if clients else ""
    digest = f" (digest {str(plan['digest'])[:12]})" if plan.get("digest") else ""
    return f"Test set: {data['split']}{sites}{digest}."


def disjoint(comparison: Comparison) -> str:
    """Return at which level the splits are apart."""
    del comparison
    return "Patients: no patient is in two sites or splits, proven for every pair."


def sample_size(comparison: Comparison) -> str:
    """Return the size of the test set, and what it suffices for."""
    primary = comparison.primary
    size = _sizes(comparison.part("data"), "test")
    if not size:
        return ""
    power = f" {primary.power}" if primary and primary.power else ""
    return f"{size} in the test set.{power}"


def model(comparison: Comparison) -> str:
    """Return what was trained."""
    name = comparison.part("training").get("model")
    return f"{name}; the same in every arm." if name else ""


def software(comparison: Comparison) -> str:
    """Return what wrote the comparison."""
    version = comparison.tree.get("fedcxr")
    return f"fedcxr {version}." if version else ""


def initial(comparison: Comparison) -> str:
    """Return where training started."""
    seeds = _seeds(comparison)
    return f"The same initial parameters in every arm, by seed ({seeds})." if seeds else ""


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
    found += ["sensitivity, specificity, PPV, accuracy and F1 at fixed thresholds"] * bool(
        arm.get("operating_points")
    )
    found += ["Brier, ECE, calibration slope and intercept"] * bool(arm.get("calibration"))
    return f"{joined(found)}."


def uncertainty(comparison: Comparison) -> str:
    """Return how intervals and the verdict were made."""
    told = comparison.part("statistics")
    draws, method = told.get("resamples"), told.get("method")
    if not draws:
        return ""
    how = f", {method} for differences" if method else ""
    return (
        f"{level_words(comparison.level)} intervals from {count(draws)} draws of patients, the "
        f"same for all arms{how}; Holm over labels."
    )


def robustness(comparison: Comparison) -> str:
    """Return what was varied."""
    found = [f"{comparison.num_seeds} seeds"] * (comparison.num_seeds > 1)
    found += ["every model at every site"] * bool(comparison.part("site_matrix").get("sites"))
    return f"{joined(found).capitalize()}." if found else ""


def internal(comparison: Comparison) -> str:
    """Return on what the arms were tested."""
    size = _sizes(comparison.part("data"), "test")
    return f"{size}, {comparison.part('data').get('split') or 'held out'}." if size else ""


def numbers(comparison: Comparison) -> str:
    """Return how many patients and images there were."""
    data = comparison.part("data")
    parts = [(name, _sizes(data, key)) for name, key in (("test", "test"), ("validation", "val"))]
    found = [f"{name}: {size}" for name, size in parts if size]
    return f"{'; '.join(found)}." if found else ""


def demographics(comparison: Comparison) -> str:
    """Return whose characteristics the page has."""
    found = _attributes(comparison)
    return f"By {joined(found)}, of the test set: table of subgroups." if found else ""


def performance(comparison: Comparison) -> str:
    """Return where the scores are."""
    found = ["by arm and label"]
    found += [f"by {joined(_attributes(comparison))}"] * bool(_attributes(comparison))
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


def centres(comparison: Comparison) -> str:
    """Return the number of sites."""
    clients = (comparison.part("data").get("partition") or {}).get("clients")
    return f"{counted(clients, 'simulated site', 'simulated sites')}." if clients else ""


def outcome(comparison: Comparison) -> str:
    """Return what was predicted."""
    num = len(comparison.labels)
    return f"{counted(num, 'label', 'labels')}: {', '.join(comparison.labels)}." if num else ""


def predictors(comparison: Comparison) -> str:
    """Return what the models saw."""
    del comparison
    return "The image alone; no other variable enters the model."


def clusters(comparison: Comparison) -> str:
    """Return how the sites were told apart."""
    sites = rows(comparison.part("site_matrix").get("sites"))
    if not sites:
        return ""
    return (
        f"Macro AUROC of every model on the own test patients of "
        f"{counted(len(sites), 'site', 'sites')}, the worst named."
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
    found = _attributes(comparison)
    return f"Gaps in true and false positive rate by {joined(found)}." if found else ""


def thresholds(comparison: Comparison) -> str:
    """Return what the output is and how thresholds were fixed."""
    if not comparison.main_arm.tree.get("operating_points"):
        return ""
    return (
        "Probabilities; thresholds by Youden, at 90 % sensitivity and at 90 % specificity, fixed "
        "on validation."
    )


def frequencies(comparison: Comparison) -> str:
    """Return where the events are counted."""
    told = comparison.part("label_frequencies")
    return "Table of label frequencies by split." if told else ""


def checkpoints(comparison: Comparison) -> str:
    """Return where the model is."""
    del comparison
    return "Checkpoints in the arms' run folders."


def _sizes(data: Tree, split: str) -> str:
    images, patients = data.get(f"{split}_images"), data.get(f"{split}_patients")
    if images is None:
        return ""
    whose = f" of {counted(patients, 'patient', 'patients')}" if patients is not None else ""
    return f"{counted(images, 'image', 'images')}{whose}"


def _seeds(comparison: Comparison) -> str:
    return ", ".join(f"{seed:g}" for seed in comparison.part("training").get("seeds") or ())


def _attributes(comparison: Comparison) -> list[str]:
    told = rows((comparison.main_arm.tree.get("subgroups") or {}).get("rows"))
    return list(dict.fromkeys(str(row.get("attribute")) for row in told if row.get("attribute")))
