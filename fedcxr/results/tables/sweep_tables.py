"""The table of a privacy sweep."""

from fedcxr.results.privacy_sweep import InversionFacts, PrivacySweep, SweepPoint
from fedcxr.results.tables.result_table import Cell, Column, Table

NO_BUDGET = "∞"

_COLUMNS = (
    Column("arm", "Arm", "head"),
    Column("trained", "Trained"),
    Column("level", "Protected"),
    Column("epsilon", "ε asked for"),
    Column("epsilon_rdp", "ε by RDP", "value"),
    Column("epsilon_prv", "ε by PRV", "value"),
    Column("auroc", "Macro AUROC, test", "estimate"),
    Column("cost", "Minus unprotected", "signed"),
    Column("membership_tpr", "Membership: TPR at 1 % FPR", "estimate"),
    Column("inversion_ssim", "Inversion: SSIM", "estimate"),
    Column("inversion_gain", "Minus the best guess", "signed"),
    Column("inversion_found", "Re-identified", "estimate"),
)


_GROUP_COLUMNS = (
    Column("arm", "Arm", "head"),
    Column("series", "Series"),
    Column("trained", "", "hidden"),
    Column("level", "", "hidden"),
    Column("epsilon", "ε asked for"),
    Column("attribute", "Attribute"),
    Column("group", "Group"),
    Column("patients", "Patients", "count"),
    Column("auroc", "Macro AUROC", "estimate"),
    Column("cost", "Minus unprotected", "signed"),
    Column("beyond", "The same minus others'", "signed"),
    Column("labels", "", "hidden"),
)


def inversion_note(facts: InversionFacts) -> str:
    """Return how updates were inverted."""
    return (
        f"Inversion: {facts.images} images of {facts.site}, each sought for {facts.steps} steps "
        "from the update that it alone makes, by the server, which knows model, labels and how "
        "the site trains. Re-identified: the true image is the nearest among "
        f"{facts.candidates} patients' to what was found."
    )


def privacy_groups(sweep: PrivacySweep) -> Table:
    """Return a row an arm and group: sexes and age bands of the test patients."""
    rows: list[tuple[Cell, ...]] = [
        (
            point.title,
            point.series,
            point.trained,
            point.level,
            _budget(point),
            each.attribute,
            each.group,
            each.patients,
            each.auroc,
            each.cost,
            each.beyond,
            ", ".join(each.labels),
        )
        for point in sweep.points
        for each in point.groups
    ]
    return Table("privacy_groups", _GROUP_COLUMNS, tuple(rows), "What privacy costs each group")


def _budget(point: SweepPoint) -> str:
    return NO_BUDGET if point.epsilon is None else f"{point.epsilon:g}"


def privacy_sweep(sweep: PrivacySweep) -> Table:
    """Return a row a level and ε, over the trainings of its arm."""
    rows: list[tuple[Cell, ...]] = [
        (
            point.title,
            point.trained,
            point.level,
            _budget(point),
            None if point.spent is None else point.spent.rdp,
            None if point.spent is None else point.spent.prv,
            point.auroc,
            point.cost,
            point.membership_tpr,
            point.inversion_ssim,
            point.inversion_gain,
            point.inversion_found,
        )
        for point in sweep.points
    ]
    notes = (
        f"δ = {sweep.delta:.3g}. ε is the most that any site has spent in any training.",
        "Each arm is held against the same training without protection.",
        "Membership: found by an outsider with the loss threshold, a mean over trainings.",
        *([inversion_note(sweep.inversion)] if sweep.inversion else []),
    )
    return Table("privacy_sweep", _COLUMNS, tuple(rows), "AUROC against ε", notes)
