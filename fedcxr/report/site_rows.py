"""The sites of a run, and the server's own patients, as rows of a table."""

from dataclasses import dataclass

from fedcxr.results.run_files import RunFacts, SiteCounts, SplitCounts, StateCounts


@dataclass(frozen=True, slots=True)
class SiteRow:
    """One site, or the server's own val or test set, and what it holds."""

    name: str
    patients: int
    images: int
    label_counts: StateCounts
    train_images: int | None = None
    val_images: int | None = None
    val_auroc: float | None = None
    """Macro, of the final model on the site's own validation patients."""
    trained_on: int | None = None
    """Training images, by the site's own word in the last round that it counted in."""
    took_part: str = ""
    """In how many of the rounds that it was asked in; empty before the end."""

    @property
    def has_other_data(self) -> bool:
        """Return whether the site trained on other images than the plan has for it."""
        return self.trained_on not in (None, self.train_images)

    def positives(self, label: str) -> int | None:
        """Return the images with the label, None where the source does not have it."""
        counts = self.label_counts[label]
        # a site whose source lacks the label has not zero of it
        return None if self.images and counts["masked"] == self.images else counts["positive"]

    def share(self, label: str) -> float | None:
        """Return the share of all images that have the label, None if there is no image."""
        positives = self.positives(label)
        return None if positives is None or not self.images else positives / self.images


def site_rows(run: RunFacts) -> list[SiteRow]:
    """Return the sites in their order."""
    summary = run.summary
    scores = {each.site_id: each.val_macro_auroc for each in summary.site_scores} if summary else {}
    trained_on = {each.site_id: each.num_examples for line in run.rounds for each in line.sites}
    taken = {}
    if summary is not None:
        parts = summary.participation.items()
        taken = {site_id: f"{each.counted} of {each.asked}" for site_id, each in parts}
    return [
        _row(
            site,
            scores.get(site.site_id),
            trained_on.get(site.site_id),
            taken.get(site.site_id, ""),
        )
        for site in run.plan.sites
    ]


def server_rows(run: RunFacts) -> list[SiteRow]:
    """Return the server's val and test sets."""
    splits: dict[str, SplitCounts] = {
        "global val": run.plan.global_splits.val,
        "global test": run.plan.global_splits.test,
    }
    return [
        SiteRow(name, each.patients, each.images, each.label_counts)
        for name, each in splits.items()
    ]


def _row(
    site: SiteCounts, val_auroc: float | None, trained_on: int | None, took_part: str
) -> SiteRow:
    return SiteRow(
        name=site.site_id,
        patients=site.patients,
        images=site.images,
        label_counts=site.label_counts,
        train_images=site.train_images,
        val_images=site.val_images,
        val_auroc=val_auroc,
        trained_on=trained_on,
        took_part=took_part,
    )
