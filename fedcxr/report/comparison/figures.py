"""Every figure of a comparison, drawn once for the page and for the files."""

from dataclasses import dataclass

from fedcxr.report.comparison import figures_dots, figures_heat, figures_learning, figures_panels
from fedcxr.report.comparison.figures_panels import Panels
from fedcxr.report.comparison.pictures import Picture
from fedcxr.report.comparison.read_comparison import Comparison, rows


@dataclass(frozen=True, slots=True)
class Figures:
    """What could be drawn; what has no numbers is None or empty."""

    forests: list[Picture]
    """One a difference, in their order; those without a number are left out."""
    scores: Picture | None
    rocs: Panels | None
    precision_recalls: Panels | None
    learning: list[Picture]
    confusions: list[Picture]
    reliability: Panels | None
    gaps: list[Picture]
    sites: Picture | None
    frequencies: Picture | None

    def files(self) -> list[Picture]:
        """Return the pictures that are written as files."""
        panels = (self.rocs, self.precision_recalls, self.reliability)
        sheets = [each.sheet for each in panels if each is not None]
        single = [each for each in (self.scores, self.sites, self.frequencies) if each is not None]
        return [*self.forests, *single, *sheets, *self.learning, *self.confusions, *self.gaps]


def draw_all(comparison: Comparison) -> Figures:
    """Return every figure of the comparison."""
    forests = [
        figures_dots.draw_forest(comparison, difference) for difference in comparison.differences
    ]
    gaps = [figures_dots.draw_gaps(comparison, name) for name in _attributes(comparison)]
    confusions = [figures_heat.draw_confusions(comparison, arm) for arm in comparison.arms]
    return Figures(
        forests=[each for each in forests if each is not None],
        scores=figures_dots.draw_scores(comparison),
        rocs=figures_panels.draw_rocs(comparison),
        precision_recalls=figures_panels.draw_precision_recalls(comparison),
        learning=figures_learning.draw_learning(comparison),
        confusions=[each for each in confusions if each is not None],
        reliability=figures_panels.draw_reliability(comparison),
        gaps=[each for each in gaps if each is not None],
        sites=figures_heat.draw_site_matrix(comparison),
        frequencies=figures_dots.draw_frequencies(comparison),
    )


def _attributes(comparison: Comparison) -> list[str]:
    """Return the attributes that any arm has gaps of, each once."""
    return list(
        dict.fromkeys(
            str(row.get("attribute"))
            for arm in comparison.arms
            for row in rows((arm.tree.get("subgroups") or {}).get("gaps"))
        )
    )
