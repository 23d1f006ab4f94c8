"""The table of a privacy sweep."""

from fedcxr.results.privacy_sweep import PrivacySweep
from fedcxr.results.tables.result_table import Cell, Column, Table

NO_BUDGET = "∞"

_COLUMNS = (
    Column("arm", "Arm", "head"),
    Column("level", "Protected"),
    Column("epsilon", "ε asked for"),
    Column("epsilon_rdp", "ε by RDP", "value"),
    Column("epsilon_prv", "ε by PRV", "value"),
    Column("auroc", "Macro AUROC, test", "estimate"),
    Column("cost", "Minus unprotected", "signed"),
    Column("membership_tpr", "Membership: TPR at 1 % FPR", "estimate"),
    Column("inversion_ssim", "Inversion: SSIM", "estimate"),
)


def privacy_sweep(sweep: PrivacySweep) -> Table:
    """Return a row a level and ε, over the trainings of its arm."""
    rows: list[tuple[Cell, ...]] = [
        (
            point.title,
            point.level,
            NO_BUDGET if point.epsilon is None else f"{point.epsilon:g}",
            None if point.spent is None else point.spent.rdp,
            None if point.spent is None else point.spent.prv,
            point.auroc,
            point.cost,
            point.membership_tpr,
            point.inversion_ssim,
        )
        for point in sweep.points
    ]
    notes = (
        f"δ = {sweep.delta:.3g}. ε is the most that any site has spent in any training.",
        "Membership: found by an outsider with the loss threshold, a mean over trainings.",
        "Inversion is not computed.",
    )
    return Table("privacy_sweep", _COLUMNS, tuple(rows), "AUROC against ε", notes)
