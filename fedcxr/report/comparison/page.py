"""The page of a comparison, its tables and its figures, from comparison.json alone."""

from pathlib import Path
from typing import Any

from fedcxr.atomic import write_text_atomically
from fedcxr.report.comparison import (
    answer,
    headline,
    protocol_words,
    sections,
    tables_details,
    tables_scores,
    tables_sites,
)
from fedcxr.report.comparison.checklist import checklist
from fedcxr.report.comparison.csv_tables import write_tables
from fedcxr.report.comparison.figures import Figures, draw_all
from fedcxr.report.comparison.pictures import write_pictures
from fedcxr.report.comparison.published import beside_comparison, published
from fedcxr.report.comparison.read_comparison import Comparison, read_comparison
from fedcxr.report.comparison.table import Table
from fedcxr.report.comparison.wording import level_words
from fedcxr.report.fairness_words import fairness_notices
from fedcxr.report.rendering import render_page

PAGE, TABLES, FIGURES = "report.html", "tables", "figures"


def write_comparison(folder: Path) -> Path:
    """Write report.html, tables/ and figures/ into a comparison's folder; return the page's path.

    The same comparison.json gives the same bytes with the same versions of fedcxr and matplotlib.

    Raises:
        ArtefactError: no comparison.json in the folder, or a damaged one.
        OSError: the folder cannot be written.
    """
    comparison = read_comparison(folder)
    tables, figures = all_tables(comparison), draw_all(comparison)
    page = render(comparison, tables, figures)
    write_tables(list(tables.values()), folder / TABLES)
    write_pictures(figures.files(), folder / FIGURES)
    write_text_atomically(folder / PAGE, page)
    return folder / PAGE


def all_tables(comparison: Comparison) -> dict[str, Table]:
    """Return every table by its name."""
    found = (
        tables_scores.arms(comparison),
        tables_scores.seeds(comparison),
        tables_scores.differences(comparison),
        tables_scores.labels(comparison, "auroc"),
        tables_scores.labels(comparison, "ap"),
        tables_scores.label_differences(comparison),
        tables_scores.learning(comparison),
        tables_details.operating_points(comparison),
        tables_details.calibration(comparison),
        tables_details.calibration_bins(comparison),
        tables_details.subgroups(comparison),
        tables_details.gaps(comparison),
        tables_details.site_matrix(comparison),
        tables_sites.site_differences(comparison),
        tables_details.label_frequencies(comparison),
        tables_details.costs(comparison),
        published(comparison),
        checklist(comparison),
    )
    return {table.name: table for table in found}


def render(comparison: Comparison, tables: dict[str, Table], figures: Figures) -> str:
    """Return the page as HTML."""
    return render_page(
        "comparison_page.html.md",
        comparison=comparison,
        figures=figures,
        tables=tables,
        level=level_words(comparison.level),
        units=comparison.units[1],
        **_overview(comparison),
        **_details(comparison, tables),
    )


def _overview(comparison: Comparison) -> dict[str, Any]:
    notices = answer.notices(comparison)
    return {
        "name": str(comparison.tree.get("name") or comparison.path.parent.name),
        "title": answer.title(comparison),
        "sentence": answer.sentence(comparison),
        "protocol": protocol_words.protocol_sentences(comparison.tree),
        "endpoint": protocol_words.endpoint_sentences(comparison.tree),
        "sensitivity": answer.sensitivity(comparison),
        "notices": notices,
        "fairness": fairness_notices(comparison.tree),
        "too_small": answer.is_too_small(comparison.primary),
        "says_too_small": any("too small" in notice.lower() for notice in notices),
        "hero": headline.hero(comparison),
        "facts": headline.facts(comparison),
        "settings": headline.settings(comparison),
        "legend": sections.legend(comparison),
        "basis": answer.basis(comparison),
        "notes": [str(note) for note in comparison.tree.get("notes") or () if note],
    }


def _details(comparison: Comparison, tables: dict[str, Table]) -> dict[str, Any]:
    return {
        "label_differences": sections.label_differences(comparison),
        "operating_points": sections.operating_points(comparison),
        "calibration": sections.calibration(comparison),
        "temperatures": sections.temperatures(comparison),
        "subgroups": sections.subgroups(comparison),
        "gaps": sections.gaps(comparison),
        "rules": sections.rules(comparison),
        "site_cells": sections.site_cells(comparison),
        "worst_sites": sections.worst_sites(comparison),
        "frequencies": sections.frequencies(comparison),
        "splits": tables_details.SPLITS,
        "beside": beside_comparison(comparison),
        "checklists": sections.checklists(tables["checklist"]),
    }
