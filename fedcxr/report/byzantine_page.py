"""The page of `fedcxr byzantine`: what each aggregator loses under each attack."""

from dataclasses import dataclass
from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.report import byzantine_words as words
from fedcxr.report.page import PAGE, TABLES
from fedcxr.report.page_files import remove_older, write_table_files
from fedcxr.report.page_table import PageTable
from fedcxr.report.rendering import render_page
from fedcxr.report.wording import fixed, level_words
from fedcxr.results.byzantine import MOST_DROP, ByzantineStudy
from fedcxr.results.tables.byzantine_tables import every_training, hostile_sites

_DARKEST = 0.2
"""A drop of so much, and more, has the full tint."""
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Square:
    """An aggregator under an attack, in the picture of all."""

    auroc: str
    drop: str
    tint: float
    """From 0, no loss, to 1."""
    is_lost: bool
    """Whether it loses more than a robust aggregator may."""


def write_byzantine_page(study: ByzantineStudy, folder: Path) -> Path:
    """Write report.html and tables/ of a study into its folder; return the page's path.

    Raises:
        OSError: the folder cannot be written.
    """
    tables = {
        table.name: PageTable(table) for table in (hostile_sites(study), every_training(study))
    }
    page = render_page(
        "byzantine_page.html.md",
        study=study,
        sentence=words.sentence(study),
        verdict=words.verdict(study),
        notices=words.notices(study),
        facts=words.facts(study),
        settings=words.settings(study),
        squares=[(name, _squares(study, name)) for name in study.defences],
        most_drop=f"{MOST_DROP:g}",
        hostile_sites=tables["hostile_sites"],
        trainings=tables["trainings"],
    )
    written = write_table_files(tables, folder / TABLES, level_words(_LEVEL))
    write_text_atomically(folder / PAGE, page)
    remove_older(folder, written)
    return folder / PAGE


def _squares(study: ByzantineStudy, defence: str) -> list[Square]:
    found = []
    for attack in study.attacks:
        cell = study.cell(defence, attack.name)
        lost = _DARKEST if cell.drop is None else max(0.0, cell.drop)
        found.append(
            Square(
                "–" if cell.auroc.value is None else fixed(cell.auroc.value),
                words.drop_text(cell.drop),
                min(1.0, lost / _DARKEST),
                not cell.is_held,
            )
        )
    return found
