"""The page of `fedcxr privacy-sweep`: AUROC against ε, beside the comparison's own page."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.report.figures_sweep import draw_group_costs, draw_sweep
from fedcxr.report.page_files import write_table_files
from fedcxr.report.page_table import PageTable
from fedcxr.report.pictures import write_pictures
from fedcxr.report.rendering import Fact, render_page
from fedcxr.report.wording import count, fixed, level_words, percent, signed, signed_interval
from fedcxr.results.privacy_sweep import PrivacySweep, SweepPoint
from fedcxr.results.tables.sweep_tables import inversion_note, privacy_groups, privacy_sweep

PAGE = "privacy.html"
FILES = "privacy_sweep"
"""Folder of its tables and figures: those of the comparison's own page have theirs."""
GROUPS = "privacy_groups"

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


_ATTACKS = ("membership_tpr", "inversion_ssim", "inversion_gain", "inversion_found")
_COSTS = ("trained", "level", "epsilon_rdp", "epsilon_prv", "auroc", "cost")


def write_sweep_page(sweep: PrivacySweep, folder: Path) -> Path:
    """Write privacy.html, and table and figure as files, into a sweep's folder; return the page.

    Raises:
        OSError: the folder cannot be written.
    """
    table, groups = PageTable(privacy_sweep(sweep)), PageTable(privacy_groups(sweep))
    drawn, costs = draw_sweep(sweep), draw_group_costs(sweep)
    levels = dict.fromkeys(point.level for point in sweep.points if point.epsilon is not None)
    page = render_page(
        "sweep_page.html.md",
        sweep=sweep,
        sentences=[cost_sentence(point) for point in sweep.points[1:]],
        picture=drawn,
        table=_without(table, _ATTACKS),
        attacked=_without(table, _COSTS),
        costs=costs,
        groups=[(_heading(str(of)), groups.only("series", of)) for of in groups.values("series")],
        attacks=attack_sentences(sweep),
        has_centralized=any(point.trained == "centralized" for point in sweep.points),
        meanings=[(level, MEANING[level]) for level in levels],
        facts=_facts(sweep),
        interval=level_words(sweep.interval),
    )
    tables = {FILES: table, **({GROUPS: groups} if groups.rows else {})}
    write_table_files(tables, folder / FILES, level_words(sweep.interval))
    write_pictures([each for each in (drawn, costs) if each is not None], folder / FILES)
    write_text_atomically(folder / PAGE, page)
    return folder / PAGE


def cost_sentence(point: SweepPoint) -> str:
    """Return what a protection costs, in a line."""
    name = _name(point)
    if point.cost is None or point.cost.value is None:
        return f"{name}: macro AUROC {fixed(point.auroc.value)}."
    between = f" ({signed_interval(point.cost.ci)})" if point.cost.ci is not None else ""
    return (
        f"{name}: macro AUROC {fixed(point.auroc.value)}, {signed(point.cost.value)}{between} "
        "against no protection."
    )


def inversion_sentence(point: SweepPoint) -> str | None:
    """Return what inverted updates gave away under a protection; None where none was inverted."""
    gain, found = point.inversion_gain, point.inversion_found
    if gain.value is None:
        return None
    between = f" ({signed_interval(gain.ci)})" if gain.ci is not None else ""
    share = found.reason if found.value is None else percent(found.value)
    return (
        f"{_name(point)}: inverted to SSIM {fixed(point.inversion_ssim.value)}, "
        f"{signed(gain.value)}{between} against the best guess; re-identified: {share}."
    )


def attack_sentences(sweep: PrivacySweep) -> list[str]:
    """Return how the arms were attacked, and what no protection against one is."""
    found = [
        "Membership: an outsider with the final model and the loss threshold; the share of members "
        "found where 1 % of non-members are called members, a mean over trainings. The broken line "
        "is chance."
    ]
    if sweep.inversion is None:
        return found
    found.append(
        f"{inversion_note(sweep.inversion)} The broken line is the best guess without an update: "
        f"SSIM {fixed(sweep.inversion.best_guess.value)}. What is below it tells the server less "
        "of an image than the radiographs that it has."
    )
    levels = {point.level for point in sweep.points}
    if "patient" in levels:
        found.append(
            "Under patient the update is clipped and noised as the first site's steps are, with "
            "the one image in the step: the most that a step can give away."
        )
    if "client" in levels:
        found.append(
            "Under client the server sees each update before the noise, so against it there is no "
            "protection, and the result is that of the arm without."
        )
    return found


def _name(point: SweepPoint) -> str:
    name = "unprotected" if point.epsilon is None else f"{point.level}, ε = {point.epsilon:g}"
    return f"centralized, {name}" if point.trained == "centralized" else name


def _without(table: PageTable, keys: Collection[str]) -> PageTable:
    """Return a table without some columns: all of them side by side are too wide for a page."""
    whole = table.table
    places = [place for place, each in enumerate(whole.columns) if each.key not in keys]
    rows = tuple(tuple(row[place] for place in places) for row in whole.rows)
    columns = tuple(whole.columns[place] for place in places)
    return PageTable(replace(whole, columns=columns, rows=rows))


def _heading(series: str) -> str:
    return f"{series}, unprotected" if series in ("federated", "centralized") else series


def _facts(sweep: PrivacySweep) -> list[Fact]:
    return [
        Fact("Unprotected", fixed(sweep.points[0].auroc.value), "macro AUROC, test patients"),
        Fact("Trainings", count(len(sweep.seeds)), f"of each arm, {sweep.rounds} rounds"),
        Fact("Sites", count(sweep.sites), f"{sweep.model}, {sweep.image_size} px"),
        Fact("Test patients", count(sweep.test_patients), f"{count(sweep.test_images)} images"),
    ]
