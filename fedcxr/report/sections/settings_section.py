"""How the data were read and the arms trained, and what became of uncertain and blank labels."""

from dataclasses import dataclass

from fedcxr.report.settings_words import policy_for, policy_notes, setting_facts
from fedcxr.report.shown import Shown, View
from fedcxr.results.run_files import Manifest

STATES = ("positive", "negative", "uncertain", "blank", "masked")
"""What a label can be in a report; masked = the source does not have the label."""

TARGETS = ("positive", "negative", "soft", "uncertain_class", "unknown")
"""What a training target can be."""


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """What one label's uncertain and blank states become, and how many images that concerns."""

    label: str
    uncertain: str
    blank: str
    before: tuple[int, ...]
    """Along STATES."""
    after: tuple[int | None, ...]
    """Along TARGETS; None where they were not counted."""


def show(view: View) -> Shown | None:
    """Return the settings, and a run's policies."""
    run = view.result.run
    policies = _policy_rows(run.manifest) if run else []
    return Shown(
        {
            "facts": setting_facts(view.result),
            "policies": policies,
            "some_masked": any(row.before[-1] for row in policies),
            "policy_notes": policy_notes(run.manifest) if run else [],
        }
    )


def _policy_rows(manifest: Manifest) -> list[PolicyRow]:
    before, after = manifest.label_counts.before, manifest.label_counts.after or {}
    return [
        PolicyRow(
            label,
            uncertain=policy_for(manifest.uncertain, label),
            blank=policy_for(manifest.blank, label),
            before=tuple(before[label].get(state, 0) for state in STATES),
            after=tuple(after[label][kind] if label in after else None for kind in TARGETS),
        )
        for label in manifest.labels
    ]
