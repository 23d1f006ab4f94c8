"""What the models do on each site's own held-out patients."""

from fedcxr.results.differences import About
from fedcxr.results.score import Score
from fedcxr.section import Section


class SiteSize(Section):
    """A site's held-out patients."""

    site_id: str
    images: int
    patients: int
    holds: str = ""
    """What the site holds by the partition's scheme, such as a hospital's name; blank = unsaid."""

    @property
    def title(self) -> str:
        """Return the site's id with what it holds."""
        return f"{self.site_id} ({self.holds})" if self.holds else self.site_id


class SiteValue(Section):
    """A model's value at one site."""

    site_id: str
    value: float


class SiteMatrix(Section):
    """Every model's macro AUROC at every site: a row a site, a column a model."""

    sites: tuple[SiteSize, ...]
    models: tuple[str, ...]
    macro_auroc: tuple[tuple[float | None, ...], ...]
    labels: tuple[tuple[int, ...], ...]
    """How many labels each mean is over."""
    worst: dict[str, SiteValue | None]
    """By model, the site where it does worst."""

    def title(self, site_id: str) -> str:
        """Return what a site is called where a person reads it."""
        return next((site.title for site in self.sites if site.site_id == site_id), site_id)


class SiteDifference(Score):
    """Federated minus another arm on one site's own patients, in macro AUROC."""

    site_id: str
    against: str
    patients: int
    labels: tuple[str, ...]
    """That the mean is over."""
    about: About | None
    """None where there is no difference."""
