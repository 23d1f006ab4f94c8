"""The tables of a study of hostile sites."""

from fedcxr.results.byzantine import ByzantineStudy
from fedcxr.results.tables.result_table import Cell, Column, Table

_COLUMNS = (
    Column("aggregator", "Aggregator", "head"),
    Column("attack", "Attack", "text"),
    Column("auroc", "Macro AUROC, test", "estimate"),
    Column("drop", "Drop", "value"),
    Column("last_val_auroc", "Last round, validation", "value"),
    Column("counted", "Hostile updates taken", "count"),
    Column("sent", "of", "count"),
    Column("broke_off", "Broke off", "remark"),
)


def hostile_sites(study: ByzantineStudy) -> Table:
    """Return a row an aggregator and attack, means over the seeds."""
    rows = []
    for defence in study.defences:
        for attack in study.attacks:
            found = study.cell(defence, attack.name)
            row: tuple[Cell, ...] = (
                defence,
                attack.title,
                found.auroc,
                found.drop,
                found.last_val_auroc,
                found.counted,
                found.sent,
                found.broke_off,
            )
            rows.append(row)
    title = "AUROC of each aggregator under each attack"
    return Table("hostile_sites", _COLUMNS, tuple(rows), title)


def every_training(study: ByzantineStudy) -> Table:
    """Return a row a training."""
    columns = (
        Column("aggregator", "Aggregator", "head", of="defence"),
        Column("attack", "Attack"),
        Column("seed", "Seed", "count"),
        Column("hostile", "Hostile sites"),
        Column("auroc", "Macro AUROC, test", "estimate"),
        Column("best_round", "Best round", "count"),
        Column("rounds", "Rounds", "count"),
        Column("last_val_auroc", "Last round, validation", "value"),
        Column("counted", "Hostile updates taken", "count"),
        Column("sent", "of", "count"),
        Column("broke_off", "Broke off", "remark"),
    )
    return Table.of("trainings", "Every training", columns, [((), run) for run in study.runs])
