"""The rows of the page's tables, from what the run's files say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedcxr.report.read_run import RunView, Tree
from fedcxr.report.wording import MISSING, as_number

_STATES = ("positive", "negative", "uncertain", "blank")

STATES = (*_STATES, "masked")
"""What a label can be in a report; masked = the source does not have the label."""

TARGETS = ("positive", "negative", "soft", "uncertain_class", "unknown")
"""What a training target can be."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One label's AUROC on the test set."""

    label: str
    value: float | None
    ci: tuple[float, float] | None
    positives: int | None
    negatives: int | None
    reason: str | None
    few: bool  # too few test positives to lean on


@dataclass(frozen=True, slots=True)
class SiteRow:
    """One site, or the server's own val or test set, and what it holds."""

    name: str
    patients: int | None
    images: int | None
    train_images: int | None
    val_images: int | None
    label_counts: Mapping[str, Mapping[str, int]]
    val_auroc: float | None = None  # macro, of the final model on the site's own val patients
    took_part: str = ""  # in how many of the rounds that it was asked in; empty if not told

    def positives(self, label: str) -> int | None:
        """Return the number of images with the label, None if not told or nowhere labelled."""
        counts = self.label_counts.get(label) or {}
        # a site whose source lacks the label has not zero of it
        return (
            None if self.images and counts.get("masked") == self.images else counts.get("positive")
        )

    def share(self, label: str) -> float | None:
        """Return the share of all images that have the label, None if there is no image."""
        positives = self.positives(label)
        return None if positives is None or not self.images else positives / self.images


@dataclass(frozen=True, slots=True)
class StateRow:
    """How often a label has each state over all sites."""

    label: str
    positive: int
    negative: int
    uncertain: int
    blank: int


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """What one label's uncertain and blank states become, and how many images that concerns."""

    label: str
    uncertain: str
    blank: str
    before: tuple[int | None, ...]  # along STATES, None if not told
    after: tuple[int | None, ...]  # along TARGETS


@dataclass(frozen=True, slots=True)
class Absence:
    """A site that gave nothing to a round, and why."""

    round_num: int
    site: str
    what: str  # refused or missing
    reason: str


@dataclass(frozen=True, slots=True)
class HitRow:
    """How often the heat map's peak lies in the finding's box."""

    label: str
    hit_rates: tuple[float | None, ...]  # of each method, in the run's order
    center_hit_rate: float | None
    num_findings: int | None


def label_rows(summary: Tree) -> list[LabelRow]:
    """Return the labels, highest AUROC first, undefined ones last in their own order."""
    few = set(summary.get("few_positives") or ())
    rows = []
    for label, score in (summary.get("auroc") or {}).items():
        ci = score.get("ci")
        rows.append(
            LabelRow(
                label=str(label),
                value=as_number(score.get("value")),
                ci=(float(ci[0]), float(ci[1])) if ci else None,
                positives=score.get("positives"),
                negatives=score.get("negatives"),
                reason=score.get("reason"),
                few=label in few,
            )
        )
    return sorted(rows, key=lambda row: -1.0 if row.value is None else -1.0 - row.value)


def site_rows(sites: Sequence[Tree], summary: Tree | None = None) -> list[SiteRow]:
    """Return the sites in their order.

    Args:
        sites: what each holds.
        summary: of a finished run; it has the score that each site reports of its own patients, and
            in how many rounds it took part.
    """
    told = summary or {}
    scores = told.get("site_scores") or ()
    aurocs = {str(score.get("site_id")): score.get("val_macro_auroc") for score in scores}
    rounds = told.get("participation") or {}
    return [
        _site_row(name, site, as_number(aurocs.get(name)), _took_part(rounds.get(name)))
        for site in sites
        for name in [str(site.get("site_id", "?"))]
    ]


def global_rows(plan: Tree) -> list[SiteRow]:
    """Return the server's val and test sets."""
    return [_site_row(f"global {name}", part) for name, part in (plan.get("global") or {}).items()]


def state_rows(sites: Sequence[SiteRow], labels: Sequence[str]) -> list[StateRow]:
    """Return how often each label has each state over all sites, nothing if not told."""
    rows = []
    for label in labels:
        counts = [site.label_counts.get(label) or {} for site in sites]
        sums = {state: sum(int(c.get(state, 0)) for c in counts) for state in _STATES}
        rows.append(StateRow(label, **sums))
    told = any(row.positive + row.negative + row.uncertain + row.blank for row in rows)
    return rows if told else []


def policy_rows(manifest: Tree, labels: Sequence[str]) -> list[PolicyRow]:
    """Return policy and counts of each label, nothing where the manifest has no counts."""
    counts = manifest.get("label_counts") or {}
    before, after = counts.get("before") or {}, counts.get("after") or {}
    return [
        PolicyRow(
            label,
            uncertain=policy_for(manifest.get("uncertain"), label),
            blank=policy_for(manifest.get("blank"), label),
            before=tuple(before[label].get(state) for state in STATES),
            after=tuple((after.get(label) or {}).get(kind) for kind in TARGETS),
        )
        for label in labels
        if label in before
    ]


def policy_for(policies: object, label: str) -> str:
    """Return a label's policy from `{"all": policy, label: exception, …}`."""
    if not isinstance(policies, Mapping):
        return str(policies or MISSING)
    return str(policies.get(label) or policies.get("all") or MISSING)


def absences(rounds: Sequence[Tree]) -> list[Absence]:
    """Return every reply that was refused or never came."""
    return [
        Absence(int(line["round"]), str(site.get("site_id")), what, str(site.get("reason", "")))
        for line in rounds
        for what in ("refused", "missing")
        for site in line.get(what) or ()
    ]


def hit_rows(heat_maps: Tree) -> list[HitRow]:
    """Return the hit rates by label, those with most boxes first."""
    methods = heat_maps.get("methods") or {}
    rows = [
        HitRow(
            label=str(label),
            hit_rates=tuple(as_number(found["hit_rate"].get(name)) for name in methods),
            center_hit_rate=as_number(found.get("center_hit_rate")),
            num_findings=found.get("num_findings"),
        )
        for label, found in (heat_maps.get("by_label") or {}).items()
    ]
    return sorted(rows, key=lambda row: -(row.num_findings or 0))


def manifest_rows(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return the manifest as (dotted key, text) rows; lists in one line.

    >>> manifest_rows({"seed": 0, "versions": {"torch": "2"}, "labels": ["a", "b"]})
    [('seed', '0'), ('versions.torch', '2'), ('labels', 'a, b')]
    """
    rows: list[tuple[str, str]] = []
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += manifest_rows(value, f"{name}.")
        elif isinstance(value, list | tuple):
            between = " " if key == "command" else ", "
            rows.append((name, between.join(str(item) for item in value)))
        else:
            rows.append((name, "" if value is None else str(value)))
    return rows


def best_round(view: RunView) -> int | None:
    """Return the round that was chosen, or the best so far after training; None if unknown."""
    if view.summary is not None and view.summary.get("best_round") is not None:
        return int(view.summary["best_round"])
    scored = [
        (value, -int(line["round"]))
        for line in view.rounds
        if line["round"] and (value := as_number(line.get("val_macro_auroc"))) is not None
    ]
    return -max(scored)[1] if scored else None


def _took_part(found: Tree | None) -> str:
    return f"{found.get('counted')} of {found.get('asked')}" if found else ""


def _site_row(
    name: str, site: Tree, val_auroc: float | None = None, took_part: str = ""
) -> SiteRow:
    return SiteRow(
        name=name,
        patients=site.get("patients"),
        images=site.get("images"),
        train_images=site.get("train_images"),
        val_images=site.get("val_images"),
        label_counts=site.get("label_counts") or {},
        val_auroc=val_auroc,
        took_part=took_part,
    )
