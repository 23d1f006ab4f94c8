"""The page of `fedcxr attack membership`: who can be recognised as a patient of the training."""

from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.report import membership_words as words
from fedcxr.report.membership_figure import draw_attacks
from fedcxr.report.page import FIGURES, PAGE, TABLES
from fedcxr.report.page_files import remove_older, write_table_files
from fedcxr.report.page_table import PageTable
from fedcxr.report.pictures import write_pictures
from fedcxr.report.rendering import render_page
from fedcxr.report.wording import level_words
from fedcxr.results.membership import MembershipResult
from fedcxr.results.tables.membership_tables import attacks_table, curves_table, groups_table

_LEVEL = 0.95


def write_membership_page(result: MembershipResult, folder: Path) -> Path:
    """Write report.html, tables/ and figures/ of attacks into their folder; return the page's path.

    Raises:
        OSError: the folder cannot be written.
    """
    found = (attacks_table(result), groups_table(result), curves_table(result))
    tables = {table.name: PageTable(table) for table in found}
    drawn = draw_attacks(result)
    page = render_page(
        "membership_page.html.md",
        result=result,
        sentence=words.sentence(result),
        verdict=words.verdict(result),
        notices=words.notices(result),
        facts=words.facts(result),
        settings=words.settings(result),
        identified=words.identified_lines(result),
        attackers=[(name, words.ATTACKERS[name]) for name in _attackers(result)],
        figure_of_attacks=drawn,
        attacks=tables["attacks"],
        groups=tables["groups"],
    )
    written = write_table_files(tables, folder / TABLES, level_words(_LEVEL))
    written += write_pictures([drawn], folder / FIGURES)
    write_text_atomically(folder / PAGE, page)
    remove_older(folder, written)
    return folder / PAGE


def _attackers(result: MembershipResult) -> list[str]:
    return list(dict.fromkeys(attack.attacker for attack in result.attacks))
