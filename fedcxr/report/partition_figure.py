"""One picture of a partition: how large its sites are, and how unlike each other.

Three panels share the sites as their columns: images and patients, the Jensen-Shannon distance of a
site's labels from those of all sites, and the prevalence of every label. The last has all sites
together as its first column: what each site is to be compared with.

Drawn from plan.json alone.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from fedcxr.atomic import write_bytes_atomically
from fedcxr.filenames import readable
from fedcxr.report.figures_svg import MUTED, lacking_glyphs, styled
from fedcxr.report.partition_panels import (
    MOST_NUMBERED,
    draw_cells,
    draw_distances,
    draw_scale,
    draw_sizes,
)
from fedcxr.report.wording import counted, shorten

NAME = "partition"

_LETTER_IN = 0.073  # mean width of a character of 8 point DejaVu Sans
_ROW_IN = 0.25
_SIZES_IN, _DISTANCES_IN, _GAP_IN = 1.9, 1.2, 0.22
_EDGE_IN, _TITLE_IN, _HEADING_IN = 0.2, 0.75, 0.36
_WHOLE_IN = 0.62  # the column of all sites together
_NARROWEST_IN, _WIDEST_IN, _SITE_IN = 4.4, 12.0, 0.46
_SAVING: Any = {"svg.hashsalt": NAME, "svg.fonttype": "none"}


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The figure's measures, inches."""

    width: float
    height: float
    left: float
    """Of the column of all sites."""
    sites_left: float
    sites_width: float
    heat_bottom: float
    heat_height: float

    def axes(self, figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
        """Return axes at a place given in inches."""
        place = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        return figure.add_axes(place)


def write_partition_figure(plan: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write partition.png and partition.svg into `folder` and return their paths.

    The same plan gives the same bytes with the same version of matplotlib.

    Args:
        plan: what plan.json holds.
        folder: where the pictures go, such as the partition folder itself.

    Raises:
        OSError: the folder cannot be written.
    """
    figure = draw_partition(plan)
    paths = []
    for kind, options in (("png", {"Software": None}), ("svg", {"Date": None})):
        buffer = io.BytesIO()
        with mpl.rc_context(_SAVING), lacking_glyphs():
            figure.savefig(buffer, format=kind, dpi=150, facecolor="white", metadata=options)
        paths.append(folder / f"{NAME}.{kind}")
        write_bytes_atomically(paths[-1], buffer.getvalue())
    return paths[0], paths[1]


@styled
def draw_partition(plan: Mapping[str, Any]) -> Figure:
    """Return the picture of a plan."""
    sites, labels = list(plan["sites"]), [str(label) for label in plan["labels"]]
    names = site_names(sites)
    sheet = _measure(names, labels)
    figure = Figure((sheet.width, sheet.height))
    above = sheet.heat_bottom + sheet.heat_height + _HEADING_IN
    place = (sheet.sites_left, above, sheet.sites_width, _DISTANCES_IN)
    distances = sheet.axes(figure, *place)
    draw_distances(distances, [float(site["js_distance"]) for site in sites])
    place = (sheet.sites_left, above + _DISTANCES_IN + _GAP_IN, sheet.sites_width, _SIZES_IN)
    draw_sizes(sheet.axes(figure, *place), sites)
    share = prevalence(sites, labels)
    _draw_heat(figure, sheet, share, labels, names)
    room = int((sheet.width - 2 * _EDGE_IN) / _LETTER_IN)
    for down, text, style in (
        (0.13, shorten(_title(plan), room), {"fontsize": 10.5}),
        (0.36, _held_out(plan), {"color": MUTED}),
        (sheet.height - above + 0.13, _heading(share), {"color": MUTED}),
    ):
        at = (sheet.left if down > _TITLE_IN else _EDGE_IN) / sheet.width
        figure.text(at, 1 - down / sheet.height, text, va="top", **style)
    return figure


def prevalence(sites: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> NDArray[np.float64]:
    """Return the share of images that show each label, (L, 1 + S): all sites, then each.

    Images whose source does not have the label do not count; nan where all are such.

    >>> counts = [{"a": {"positive": 1, "masked": 0}}, {"a": {"positive": 0, "masked": 4}}]
    >>> sites = [{"images": 4, "label_counts": count} for count in counts]
    >>> prevalence(sites, ["a"]).tolist()
    [[0.25, 0.25, nan]]
    """
    counts = [[site["label_counts"][label] for site in sites] for label in labels]
    shown = np.array([[c["positive"] for c in row] for row in counts], dtype=np.float64)
    masked = np.array([[c["masked"] for c in row] for row in counts], dtype=np.float64)
    known = np.array([site["images"] for site in sites], dtype=np.float64) - masked
    shown, known = (np.hstack([x.sum(axis=1, keepdims=True), x]) for x in (shown, known))
    share: NDArray[np.float64] = np.full(known.shape, np.nan)
    return np.divide(shown, known, out=share, where=known > 0)


def site_names(sites: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what stands below each site's column: its name, and what it holds."""
    return [
        shorten(str(site["site_id"]), 18)
        + (f"\n{shorten(str(site['holds']), 18)}" if site.get("holds") else "")
        for site in sites
    ]


def _measure(names: Sequence[str], labels: Sequence[str]) -> _Sheet:
    longest = max(len(shorten(label, 28)) for label in labels)
    left = _EDGE_IN + _LETTER_IN * longest
    sites_left = left + _WHOLE_IN + 0.12
    sites_width = min(max(_SITE_IN * len(names), _NARROWEST_IN), _WIDEST_IN)
    below = _room_below(names, sites_width)
    heat_height = _ROW_IN * len(labels)
    panels = heat_height + _HEADING_IN + _DISTANCES_IN + _GAP_IN + _SIZES_IN
    height = below + panels + _TITLE_IN
    return _Sheet(
        sites_left + sites_width + 1.0, height, left, sites_left, sites_width, below, heat_height
    )


def _room_below(names: Sequence[str], sites_width: float) -> float:
    """Return how much room the names below the columns need, inches."""
    if len(names) <= MOST_NUMBERED and not _fit(names, sites_width):
        return 0.3 + _LETTER_IN * max(map(len, _lines(names)))
    return 0.55


def _fit(names: Sequence[str], sites_width: float) -> bool:
    """Return whether the names fit below their columns without being turned."""
    return max(map(len, _lines(names))) * _LETTER_IN < sites_width / len(names)


def _lines(names: Sequence[str]) -> list[str]:
    return [line for name in names for line in name.split("\n")]


def _draw_heat(
    figure: Figure,
    sheet: _Sheet,
    share: NDArray[np.float64],
    labels: Sequence[str],
    names: Sequence[str],
) -> None:
    """Draw the heat map: all sites together on the left, each site on the right."""
    scale = Normalize(0.0, max(0.01, float(np.nanmax(share, initial=0.0))))
    bottom, height = sheet.heat_bottom, sheet.heat_height
    whole = sheet.axes(figure, sheet.left, bottom, _WHOLE_IN, height)
    sites = sheet.axes(figure, sheet.sites_left, bottom, sheet.sites_width, height)
    bar = sheet.axes(figure, sheet.sites_left + sheet.sites_width + 0.12, bottom, 0.13, height)
    numbered = len(names) <= MOST_NUMBERED
    draw_cells(whole, share[:, :1], scale, numbered=True)
    draw_cells(sites, share[:, 1:], scale, numbered=numbered)
    whole.set_yticks(np.arange(len(labels)), [shorten(label, 28) for label in labels])
    whole.set_xticks([0], ["all\nsites"])
    sites.set_yticks([])
    if numbered:
        turned = 0 if _fit(names, sheet.sites_width) else 90
        style = "center" if turned == 0 else "right"
        places = np.arange(len(names))
        sites.set_xticks(places, names, rotation=turned, multialignment=style)
    else:
        sites.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
        sites.set_xlabel(f"number of the site, from 0 = {names[0].splitlines()[0]}")
    draw_scale(figure, bar, scale, len(labels))


def _title(plan: Mapping[str, Any]) -> str:
    parameters = plan["parameters"]
    shown = [f"{n} {parameters[n]}" for n in ("alpha", "exponent", "attribute") if n in parameters]
    if "folds" in parameters:
        shown.append(f"fold {parameters['fold']} of 0 to {parameters['folds'] - 1}")
    sites = counted(len(plan["sites"]), "site", "sites")
    words = [readable(plan["source"]), f"{plan['scheme']}", *shown, sites, f"seed {plan['seed']}"]
    return " · ".join(shorten(word, 40) for word in words)


def _heading(share: NDArray[np.float64]) -> str:
    """Return what the numbers of the heat map are."""
    absent = "; –: the source does not have the label" if np.isnan(share).any() else ""
    return f"images that show the label, %{absent}"


def _held_out(plan: Mapping[str, Any]) -> str:
    told = [
        f"{name} {counted(plan['global'][key]['images'], 'image', 'images')} of "
        f"{counted(plan['global'][key]['patients'], 'patient', 'patients')}"
        for name, key in (("global validation", "val"), ("test", "test"))
    ]
    return ", ".join(told)
