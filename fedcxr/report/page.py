"""The page of a run or of a comparison: one HTML file, with its tables and figures beside it."""

from collections.abc import Callable
from pathlib import Path

from markupsafe import Markup

from fedcxr.atomic import write_text_atomically
from fedcxr.report.checklist import checklist
from fedcxr.report.headline import headline
from fedcxr.report.page_files import remove_older, write_table_files
from fedcxr.report.page_table import PageTable, page_tables
from fedcxr.report.pictures import Picture, Pictures, write_pictures
from fedcxr.report.rendering import render_page
from fedcxr.report.sections import (
    added_section,
    arms_section,
    basis_section,
    beside_section,
    calibration_section,
    checklist_section,
    costs_section,
    curves_section,
    data_section,
    decisions_section,
    external_section,
    groups_section,
    heat_maps_section,
    labels_section,
    learning_section,
    points_section,
    record_section,
    settings_section,
    sites_section,
    task_section,
    vae_section,
)
from fedcxr.report.shown import Show, View
from fedcxr.results.comparison import Comparison
from fedcxr.results.reading import read_result

PAGE, TABLES, FIGURES = "report.html", "tables", "figures"

SECTIONS: tuple[tuple[str, str, Show], ...] = (
    ("arms", "The arms", arms_section.show),
    ("task", "Accuracy, precision, recall", task_section.show),
    ("added", "What was added", added_section.show),
    ("labels", "Labels", labels_section.show),
    ("curves", "Curves", curves_section.show),
    ("learning", "Learning", learning_section.show),
    ("points", "Operating points", points_section.show),
    ("calibration", "Calibration", calibration_section.show),
    ("decisions", "Net benefit", decisions_section.show),
    ("groups", "Subgroups", groups_section.show),
    ("external", "Data from elsewhere", external_section.show),
    ("sites", "Sites", sites_section.show),
    ("vae", "The sites' own VAEs", vae_section.show),
    ("heat-maps", "Where the model looks", heat_maps_section.show),
    ("data", "Label frequencies", data_section.show),
    ("settings", "How it was trained", settings_section.show),
    ("costs", "Costs", costs_section.show),
    ("beside", "Read this beside", beside_section.show),
    ("checklist", "Reporting checklist", checklist_section.show),
    ("basis", "What the numbers rest on", basis_section.show),
    ("record", "Record", record_section.show),
)
"""In the page's order: id, which is also the name of the template; title; what makes it."""


def write_report(folder: Path, *, with_figures: bool = True) -> Path:
    """Write report.html and tables/ into a run's or comparison's folder; return the page's path.

    Tables and figures that an older page wrote there, and this one does not, are removed.

    The same folder gives the same bytes with the same versions of fedcxr and matplotlib.

    Args:
        folder: of a run, or of a comparison that was judged.
        with_figures: also write figures/, every figure as SVG, PDF and PNG.

    Raises:
        ArtefactError: neither run nor comparison, or a file in it is damaged.
        ConfigError: a run's configuration is of another fedcxr.
        OSError: the folder cannot be written.
    """
    view = view_of(read_result(folder), folder)
    page, pictures = render(view)
    written = write_table_files(view.tables, folder / TABLES, view.level)
    if with_figures:
        written += write_pictures(pictures, folder / FIGURES)
    write_text_atomically(folder / PAGE, page)
    remove_older(folder, written)
    return folder / PAGE


def view_of(result: Comparison, folder: Path | None = None) -> View:
    """Return a result with its tables."""
    tables = {**page_tables(result), "checklist": PageTable(checklist(result))}
    return View(result, tables, folder)


def render(view: View) -> tuple[str, Pictures]:
    """Return the page as HTML, and its figures."""
    sections: list[dict[str, str]] = []
    pictures: list[Picture | Callable[[], Picture]] = []
    for name, title, show in SECTIONS:
        shown = show(view)
        if shown is None:
            continue
        html = render_page(f"{name}.html.md", view=view, result=view.result, **shown.values)
        # Markup: a rendered template has escaped what was put into it.
        sections.append({"id": name, "title": title, "html": Markup(html)})
        pictures += shown.pictures
    page = render_page(
        "page.html.md",
        view=view,
        result=view.result,
        sections=sections,
        **headline(view.result),
    )
    return page, pictures
