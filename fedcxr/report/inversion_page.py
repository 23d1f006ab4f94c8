"""The page of `fedcxr attack inversion`: which images a site's updates give away."""

import base64
from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.report import inversion_words as words
from fedcxr.report.page import PAGE, TABLES
from fedcxr.report.page_files import remove_older, write_table_files
from fedcxr.report.page_table import PageTable
from fedcxr.report.rendering import render_page
from fedcxr.report.wording import level_words
from fedcxr.results.inversion import InversionResult
from fedcxr.results.tables.inversion_tables import images_table, labels_table, protections_table

SHEET = "images.png"


def write_inversion_page(result: InversionResult, folder: Path) -> Path:
    """Write report.html and tables/ of an attack into its folder; return the page's path.

    Args:
        result: what was found.
        folder: where its sheet of images lies already.

    Raises:
        OSError: the folder cannot be written.
    """
    found = (protections_table(result), images_table(result), labels_table(result))
    tables = {table.name: PageTable(table) for table in found}
    sheet = folder / SHEET
    picture = ""
    if sheet.is_file():
        picture = "data:image/png;base64," + base64.b64encode(sheet.read_bytes()).decode()
    page = render_page(
        "inversion_page.html.md",
        result=result,
        sentence=words.sentence(result),
        verdict=words.verdict(result),
        notices=words.notices(result),
        facts=words.facts(result),
        settings=words.settings(result),
        sheet=picture,
        protections=tables["protections"],
        images=tables["images"],
        labels=tables["label_mix"],
    )
    written = write_table_files(tables, folder / TABLES, level_words(result.level))
    write_text_atomically(folder / PAGE, page)
    remove_older(folder, written)
    return folder / PAGE
