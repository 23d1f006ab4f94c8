"""What a comparison can say of its data to the items of a reporting checklist.

A sentence, or nothing where comparison.json does not tell it; the item is open then.
"""

from fedcxr.report.comparison.read_comparison import Comparison, Tree, rows
from fedcxr.report.comparison.wording import joined
from fedcxr.report.origin_words import split_words
from fedcxr.report.wording import as_number, counted


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
    split = split_words(comparison.origin)
    if not split:
        return ""
    clients = plan.get("clients")
    sites = f"; {counted(clients, 'site', 'sites')} by {plan.get('scheme')}" if clients else ""
    digest = f" (digest {str(plan['digest'])[:12]})" if plan.get("digest") else ""
    return f"Test set: {split}{sites}{digest}."


def disjoint(comparison: Comparison) -> str:
    """Return at which level the splits are apart."""
    pairs = as_number((comparison.part("data").get("partition") or {}).get("pairs_compared"))
    if not pairs:
        return ""
    return (
        "Patients and images: none is in two sites or splits, found by comparing "
        f"{counted(pairs, 'pair', 'pairs')} of sets."
    )


def sample_size(comparison: Comparison) -> str:
    """Return the size of the test set, and what it suffices for."""
    primary = comparison.primary
    size = _scored(comparison)
    if not size:
        return ""
    power = f" {primary.power}" if primary and primary.power else ""
    return f"{size} in the test set.{power}"


def internal(comparison: Comparison) -> str:
    """Return on what the arms were tested."""
    size = _scored(comparison)
    return f"{size}, {split_words(comparison.origin) or 'held out'}." if size else ""


def numbers(comparison: Comparison) -> str:
    """Return how many patients and images there were."""
    data = comparison.part("data")
    parts = [(name, _sizes(data, key)) for name, key in (("test", "test"), ("validation", "val"))]
    found = [f"{name}: {size}" for name, size in parts if size]
    size, units = comparison.test_set
    scored = [f"scored: {counted(size, *units)}"] * (comparison.images_listed is not None)
    return f"{'; '.join([*found, *scored])}." if found else ""


def demographics(comparison: Comparison) -> str:
    """Return whose characteristics the page has."""
    found = attributes(comparison)
    return f"By {joined(found)}, of the test set: table of subgroups." if found else ""


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


def frequencies(comparison: Comparison) -> str:
    """Return where the events are counted."""
    told = comparison.part("label_frequencies")
    return "Table of label frequencies by split." if told else ""


def attributes(comparison: Comparison) -> list[str]:
    """Return by what the test set is cut into subgroups."""
    told = rows((comparison.main_arm.tree.get("subgroups") or {}).get("rows"))
    return list(dict.fromkeys(str(row.get("attribute")) for row in told if row.get("attribute")))


def _scored(comparison: Comparison) -> str:
    """Return what was scored of the test set, empty where its size is not told."""
    if comparison.test_set[0] is None:
        return ""
    listed = comparison.images_listed
    more = f" ({counted(listed, 'image', 'images')} in the test table)" if listed else ""
    return f"{comparison.test_set_words}{more}"


def _sizes(data: Tree, split: str) -> str:
    images, patients = data.get(f"{split}_images"), data.get(f"{split}_patients")
    if images is None:
        return ""
    whose = f" of {counted(patients, 'patient', 'patients')}" if patients is not None else ""
    return f"{counted(images, 'image', 'images')}{whose}"
