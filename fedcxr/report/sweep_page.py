"""The page of `fedcxr privacy-sweep`: AUROC against ε, beside the comparison's own page."""

from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.report.figures_sweep import draw_sweep
from fedcxr.report.page_files import write_table_files
from fedcxr.report.page_table import PageTable
from fedcxr.report.pictures import write_pictures
from fedcxr.report.rendering import Fact, render_page
from fedcxr.report.wording import count, fixed, level_words, signed, signed_interval
from fedcxr.results.privacy_sweep import PrivacySweep, SweepPoint
from fedcxr.results.tables.sweep_tables import privacy_sweep

PAGE = "privacy.html"
FILES = "privacy_sweep"
"""Folder of its table and its figure: those of the comparison's own page have theirs."""

MEANING = {
    "patient": (
        "of one patient with all images at one site, being among its training patients or not; "
        "against whoever sees that site's updates, or anything made of them"
    ),
    "client": (
        "of one site with all its patients, among the sites or not; against whoever sees the "
        "models and not who took part, not against the server, which sees the updates before the "
        "noise"
    ),
    "update": (
        "of one site's updates as a whole; against whoever sees them, the server as well, since "
        "the noise is added at the site"
    ),
}
"""What ε is of, and against whom, by level."""


def write_sweep_page(sweep: PrivacySweep, folder: Path) -> Path:
    """Write privacy.html, and table and figure as files, into a sweep's folder; return the page.

    Raises:
        OSError: the folder cannot be written.
    """
    table = PageTable(privacy_sweep(sweep))
    drawn = draw_sweep(sweep)
    levels = dict.fromkeys(point.level for point in sweep.points if point.epsilon is not None)
    page = render_page(
        "sweep_page.html.md",
        sweep=sweep,
        sentences=[cost_sentence(point) for point in sweep.points[1:]],
        picture=drawn,
        table=table,
        meanings=[(level, MEANING[level]) for level in levels],
        facts=_facts(sweep),
        interval=level_words(sweep.interval),
    )
    write_table_files({FILES: table}, folder / FILES, level_words(sweep.interval))
    write_pictures([drawn] if drawn is not None else [], folder / FILES)
    write_text_atomically(folder / PAGE, page)
    return folder / PAGE


def cost_sentence(point: SweepPoint) -> str:
    """Return what a protection costs, in a line."""
    name = f"{point.level}, ε = {point.epsilon:g}"
    if point.cost is None or point.cost.value is None:
        return f"{name}: macro AUROC {fixed(point.auroc.value)}."
    between = f" ({signed_interval(point.cost.ci)})" if point.cost.ci is not None else ""
    return (
        f"{name}: macro AUROC {fixed(point.auroc.value)}, {signed(point.cost.value)}{between} "
        "against no protection."
    )


def _facts(sweep: PrivacySweep) -> list[Fact]:
    return [
        Fact("Unprotected", fixed(sweep.points[0].auroc.value), "macro AUROC, test patients"),
        Fact("Trainings", count(len(sweep.seeds)), f"of each arm, {sweep.rounds} rounds"),
        Fact("Sites", count(sweep.sites), f"{sweep.model}, {sweep.image_size} px"),
        Fact("Test patients", count(sweep.test_patients), f"{count(sweep.test_images)} images"),
    ]
