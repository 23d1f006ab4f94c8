"""Where a run's final model looks, as summary.json holds it."""

from fedcxr.section import Section


class HeatMap(Section):
    """One overlay."""

    file: str
    """Relative to the run folder."""
    label: str
    probability: float
    truth: int
    outcome: str
    view: str = ""
    """`frontal` or `lateral`; empty where an older fedcxr did not say."""


class HitRates(Section):
    """How often the peak of a heat map lies in the finding's box, by the method's name."""

    num_findings: int
    center_hit_rate: float | None
    """Of the centre of the image; None without findings."""
    hit_rate: dict[str, float | None]


class Method(Section):
    """A method that made heat maps."""

    title: str
    cells: tuple[int, int] | None
    """Rows and columns of its maps; None if there is no finding."""


class MisfitMethod(Section):
    """A method that did not fit the network."""

    title: str
    lacks: str
    """What the network lacks; see `fedcxr/explain/needs.py`."""


class HeatMaps(HitRates):
    """Where the final model looks."""

    files: tuple[HeatMap, ...]
    by_label: dict[str, HitRates]
    methods: dict[str, Method]
    left_out: dict[str, MisfitMethod]
