"""How many images the sites hold and how often each label is positive there.

For more sites than a table can show; with few, the page has tables that carry the same colours.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fedcxr.report.figures_svg import BLUE, INK, MUTED, new_axes, styled
from fedcxr.report.pictures import Picture, picture
from fedcxr.report.site_rows import SiteRow
from fedcxr.report.wording import shorten

_WIDTH_IN = 4.6
_TINTS = LinearSegmentedColormap.from_list("tints", ["#f4f8fb", "#9cc8e3", "#0072b2", "#06324d"])


@styled
def draw_sizes(sites: Sequence[SiteRow]) -> Picture:
    """Return images and patients of every site, the largest site first."""
    ordered = sorted(sites, key=lambda site: -site.images)
    place = np.arange(len(ordered))
    figure, axes = new_axes(_WIDTH_IN, 2.6)
    width = 0.9 if len(ordered) <= 60 else 1.0
    axes.bar(place, [site.images for site in ordered], width, color=BLUE, label="images")
    axes.step(
        np.append(place, len(ordered)) - 0.5,
        [*(site.patients for site in ordered), ordered[-1].patients],
        where="post",
        color=INK,
        linewidth=1.1,
        label="patients",
    )
    axes.set_xlim(-0.6, len(ordered) - 0.4)
    axes.set_xticks([])
    axes.set_xlabel(f"{len(ordered)} sites, largest first")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.grid(axis="y")
    axes.figure.legend(loc="outside upper center", ncols=2)
    return picture(figure, "sizes", f"Images and patients of {len(ordered)} sites.")


@styled
def draw_prevalence(sites: Sequence[SiteRow], labels: Sequence[str]) -> Picture:
    """Return a heat map of the share of images with each label, labels × sites."""
    share = np.array([[site.share(label) for site in sites] for label in labels], dtype=float)
    figure, axes = new_axes(_WIDTH_IN, 0.24 * len(labels) + 1.1)
    top = float(np.nanmax(share, initial=0.01))
    image = axes.imshow(share, cmap=_TINTS, vmin=0, vmax=top, aspect="auto", interpolation="none")
    axes.set_yticks(range(len(labels)), [shorten(label, 26) for label in labels])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    axes.set_xlabel("site number")
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    bar = figure.colorbar(image, ax=axes, format=PercentFormatter(1, 0), pad=0.01, aspect=30)
    bar.outline.set_edgecolor(MUTED)
    bar.outline.set_linewidth(0.5)
    return picture(figure, "prevalence", f"Prevalence of {len(labels)} labels by site.")
