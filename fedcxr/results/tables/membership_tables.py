"""The tables of attacks on membership."""

from fedcxr.results.membership import Attack, MembershipResult
from fedcxr.results.tables.result_table import Cell, Column, Table

_WHO = (
    Column("method", "Method", "head"),
    Column("attacker", "Attacker"),
    Column("site", "Site"),
)
_COLUMNS = (
    *_WHO,
    Column("models", "Models seen", "count"),
    Column("members", "Members", "count"),
    Column("non_members", "Non-members", "count"),
    Column("auroc", "AUROC", "estimate"),
    Column("tpr_1", "TPR at 1 % FPR", "estimate"),
    Column("tpr_01", "TPR at 0.1 % FPR", "estimate"),
    Column("control", "Control", "estimate"),
    Column("image_auroc", "AUROC, images", "estimate"),
    Column("image_tpr_1", "TPR at 1 % FPR, images", "estimate"),
)
_HOME = Column("home_auroc", "AUROC, own site", "estimate")
_GROUP_COLUMNS = (
    Column("attribute", "By"),
    Column("group", "Group"),
    Column("members", "Members", "count"),
    Column("non_members", "Non-members", "count"),
    Column("tpr", "TPR at 1 % FPR", "estimate"),
    Column("tpr_gap", "Gap", "signed"),
    Column("auroc", "AUROC", "estimate"),
    Column("auroc_gap", "Gap", "signed"),
)


def attacks_table(result: MembershipResult) -> Table:
    """Return a row an attacker and method."""
    rows = []
    with_home = result.target == "vae"
    for attack in result.attacks:
        row: tuple[Cell, ...] = (
            *_who(attack),
            attack.models,
            attack.members,
            attack.non_members,
            attack.auroc,
            attack.rate(0.01).tpr,
            attack.rate(0.001).tpr,
            attack.control,
            attack.image_auroc,
            next(rate.tpr for rate in attack.image_rates if rate.allowed == 0.01),
        )
        rows.append((*row, attack.home_auroc) if with_home else row)
    columns = (*_COLUMNS, _HOME) if with_home else _COLUMNS
    return Table("attacks", columns, tuple(rows), "What each attack finds, over patients")


def groups_table(result: MembershipResult) -> Table:
    """Return a row an attacker, method and group."""
    things = [(_who(attack), group) for attack in result.attacks for group in attack.groups]
    title = "What each attack finds of each group"
    return Table.of("groups", title, _GROUP_COLUMNS, things, leading=_WHO)


def curves_table(result: MembershipResult) -> Table:
    """Return a row a point of a ROC curve."""
    columns = (*_WHO, Column("fpr", "FPR", "value"), Column("tpr", "TPR", "value"))
    rows = tuple(
        (*_who(attack), fpr, tpr)
        for attack in result.attacks
        for fpr, tpr in zip(attack.curve.fpr, attack.curve.tpr, strict=True)
    )
    return Table("roc", columns, rows, "ROC curves over patients")


def _who(attack: Attack) -> tuple[Cell, ...]:
    return attack.title, attack.attacker, attack.site
