"""The number at the top of a comparison's page, and the facts beside and below it."""

from dataclasses import dataclass

from fedcxr.report.comparison.protocol_words import margin_words
from fedcxr.report.comparison.read_comparison import Comparison
from fedcxr.report.comparison.tables_details import number
from fedcxr.report.comparison.tables_scores import pair_title
from fedcxr.report.comparison.wording import level_words, signed, signed_interval
from fedcxr.report.origin_words import split_words
from fedcxr.report.rendering import Fact
from fedcxr.report.wording import as_number, count, counted, duration, fixed, interval


@dataclass(frozen=True, slots=True)
class Hero:
    """The one number at the top of the page."""

    name: str
    number: str
    note: str
    verdict: str


def hero(comparison: Comparison) -> Hero:
    """Return the number that answers the page's question."""
    level = level_words(comparison.level)
    primary = comparison.primary
    if primary is None:
        found = comparison.main_arm.score("macro_auroc")
        note = f"{level} interval {interval(found.ci)}" if found.ci else found.reason or ""
        return Hero(f"Macro AUROC, {comparison.main_arm.title}", fixed(found.value), note, "")
    found = primary.score("macro_auroc")
    note = f"{level} interval {signed_interval(found.ci)}" if found.ci else found.reason or ""
    name = f"Macro AUROC, {pair_title(primary)}"
    return Hero(name, signed(found.value), note, primary.verdict)


def facts(comparison: Comparison) -> list[Fact]:
    """Return the facts beside the hero."""
    data, training = comparison.part("data"), comparison.part("training")
    seeds = ", ".join(f"{seed:g}" for seed in training.get("seeds") or ())
    seconds = [value for arm in comparison.arms if (value := number(arm.tree, "seconds"))]
    margin, how_fixed = comparison.margin, margin_words(comparison.tree)
    plan = data.get("partition") or {}
    return [
        _test_set(comparison),
        Fact("Sites", count(plan.get("clients")), str(plan.get("scheme") or "")),
        Fact("Seeds", count(comparison.num_seeds), seeds and f"seeds {seeds}"),
        Fact("Margin", fixed(margin), f"macro AUROC, {how_fixed}" if margin else ""),
        _labels(comparison),
        Fact("Time", duration(sum(seconds) if seconds else None), "training, all arms"),
    ]


def settings(comparison: Comparison) -> list[Fact]:
    """Return how the arms were trained, but for what each has of its own (`Arm.differs`)."""
    data, training = comparison.part("data"), comparison.part("training")
    rate, how = as_number(training.get("learning_rate")), training.get("learning_rate_how")
    size = as_number(training.get("image_size"))
    rounds, epochs = training.get("rounds"), training.get("local_epochs")
    protocol = comparison.part("protocol")
    val = counted(data.get("val_images"), "image", "images")
    found = [
        Fact("Data", str(data.get("source") or "")),
        Fact("Split", split_words(comparison.origin)),
        Fact("Validation set", val if data.get("val_images") is not None else ""),
        Fact("Scored by", str(data.get("score_by") or "")),
        Fact("Model", str(training.get("model") or "")),
        Fact("Image size", f"{size:g} px" if size is not None else ""),
        Fact("Rounds", count(rounds) if rounds is not None else ""),
        Fact("Local epochs", count(epochs) if epochs is not None else ""),
        Fact("Batch size", count(training["batch_size"]) if training.get("batch_size") else ""),
        Fact(
            "Learning rate",
            f"{rate:g}" if rate is not None else "its own for each arm" if how else "",
            str(how or ""),
        ),
        Fact("Precision", str(training.get("precision") or "")),
        Fact("Protocol", str(protocol.get("digest") or "")[:16], "digest, fixed before training"),
        Fact("Partition", str((data.get("partition") or {}).get("digest") or "")[:16], "digest"),
    ]
    return [fact for fact in found if fact.value]


def _test_set(comparison: Comparison) -> Fact:
    size, (_, units) = comparison.test_set
    patients = counted(comparison.part("data").get("test_patients"), "patient", "patients")
    listed = comparison.images_listed
    more = f"; {counted(listed, 'image', 'images')} in the table" if listed else ""
    return Fact("Test set", count(size), f"{units} of {patients}{more}")


def _labels(comparison: Comparison) -> Fact:
    kept, layout = comparison.macro_labels, comparison.part("data").get("layout")
    notes = [str(layout or ""), "" if kept is None else f"{count(kept)} in the means"]
    return Fact("Labels", count(len(comparison.labels)), ", ".join(filter(None, notes)))
