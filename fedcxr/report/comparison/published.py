"""Published figures beside those of a comparison's arms."""

from fedcxr.report.comparison.read_comparison import Comparison
from fedcxr.report.comparison.table import Cell, Column, Table
from fedcxr.report.published import Beside, Own, beside


def beside_comparison(comparison: Comparison) -> list[Beside]:
    """Return the published sources with what keeps them from being like with like."""
    data, training = comparison.part("data"), comparison.part("training")
    model = training.get("model")
    return beside(
        Own(
            layout=str(data.get("layout") or ""),
            labels=comparison.labels,
            is_synthetic=comparison.is_synthetic,
            test_set=comparison.origin,
            test_images=data.get("test_images"),
            test_patients=data.get("test_patients"),
            image_size=training.get("image_size"),
            score_by=str(data.get("score_by") or ""),
            model=f"Ours: {model}, each number the mean over the seeds' single models."
            if model
            else "",
        )
    )


def published(comparison: Comparison) -> Table:
    """Return ours beside theirs: the labels that a source has, one column an arm and a source."""
    sources = [each.source for each in beside_comparison(comparison)]
    labels = [label for label in comparison.labels if any(label in s.values for s in sources)]
    columns = (
        Column("label", "Label", "head"),
        *(Column(f"ours {arm.name}", arm.title, "estimate") for arm in comparison.arms),
        *(Column(each.key, each.title, "value") for each in sources),
    )
    found: list[tuple[Cell, ...]] = []
    for label in labels:
        ours = [arm.of_label(label) for arm in comparison.arms]
        theirs = [each.values.get(label) for each in sources]
        found.append((label, *ours, *theirs))
    return Table("published", columns, tuple(found))
