"""The sites: every model on each one's patients, and what each holds."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from fedcxr.report.figures_heat import draw_site_matrix
from fedcxr.report.figures_sites import draw_prevalence, draw_sizes
from fedcxr.report.pictures import Picture
from fedcxr.report.shown import Shown, View
from fedcxr.report.site_rows import SiteRow, server_rows, site_rows
from fedcxr.report.wording import count, fixed
from fedcxr.results.at_sites import SiteMatrix
from fedcxr.results.run_files import RunFacts

_MOST_SITES_IN_TABLE = 12  # more than this and a figure shows what a table no longer can
_STATES = ("positive", "negative", "uncertain", "blank")


@dataclass(frozen=True, slots=True)
class SiteCell:
    """One model at one site."""

    text: str
    labels: str
    tint: float
    is_worst: bool


def show(view: View) -> Shown | None:
    """Return the site matrix of a comparison, or what the sites of a run hold; None of neither."""
    matrix, run = view.result.site_matrix, view.result.run
    if run is not None:
        values, pictures = _of_run(run)
        return Shown({"matrix": None, **values}, pictures)
    if not matrix.sites:
        return None
    values = {"matrix": matrix, "rows": _matrix_rows(matrix), "worst": _worst(matrix)}
    has_scores = any(value is not None for row in matrix.macro_auroc for value in row)
    # in files alone
    return Shown(values, [partial(draw_site_matrix, view.result)] if has_scores else ())


def _matrix_rows(matrix: SiteMatrix) -> list[tuple[str, str, list[SiteCell]]]:
    """Return for each site its name, its size, and a cell a model."""
    known = [value for row in matrix.macro_auroc for value in row if value is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    found = []
    for site, values, labels in zip(matrix.sites, matrix.macro_auroc, matrix.labels, strict=True):
        cells = []
        for model, value, num in zip(matrix.models, values, labels, strict=True):
            worst = matrix.worst.get(model)
            cells.append(
                SiteCell(
                    text=fixed(value),
                    labels=f"{num} labels",
                    tint=0.0 if value is None or high <= low else (value - low) / (high - low),
                    is_worst=worst is not None and worst.site_id == site.site_id,
                )
            )
        size = f"{count(site.images)} images, {count(site.patients)} patients"
        found.append((site.title, size, cells))
    return found


def _worst(matrix: SiteMatrix) -> list[str]:
    """Return for each model the site where it does worst, in words."""
    return [
        f"{model}: worst at {matrix.title(found.site_id)}, {fixed(found.value)}"
        for model, found in matrix.worst.items()
        if found is not None
    ]


def _of_run(run: RunFacts) -> tuple[dict[str, Any], tuple[Picture, ...]]:
    """Return sizes and label counts, as figures where the sites are many."""
    sites, server, labels = site_rows(run), server_rows(run), run.manifest.labels
    are_few = len(sites) <= _MOST_SITES_IN_TABLE
    pictures = () if are_few else (draw_sizes(sites), draw_prevalence(sites, labels))
    columns = [*sites, *server]
    shares = [share for each in columns for label in labels if (share := each.share(label))]
    values = {
        "sites": sites,
        "server": server,
        "site_scored": any(site.val_auroc is not None for site in sites),
        "other_data": [site.name for site in sites if site.has_other_data],
        "took_part": any(site.took_part for site in sites),
        "labels": labels,
        "columns": columns if are_few else [],
        "top_share": max(shares, default=1.0),
        "most_images": max(each.images for each in columns) or 1,
        "pictures": pictures,
        "states": [(label, _states(sites, label)) for label in labels],
    }
    return values, pictures


def _states(sites: list[SiteRow], label: str) -> list[int]:
    """Return how often a label has each state over all sites."""
    return [sum(site.label_counts[label][state] for site in sites) for state in _STATES]
