"""What attacks on membership found of a run: for each attacker and method, and whom it finds."""

from pathlib import Path
from typing import Literal

from fedcxr.results.score import Score
from fedcxr.results.validation import read_typed
from fedcxr.section import Section

FILE = "result.json"
AttackerName = Literal["outsider", "server", "client", "holder", "recipient"]
Target = Literal["model", "vae"]


class FoundRate(Section):
    """How many members an attack finds at a false positive rate."""

    allowed: float
    """The false positive rate."""
    tpr: Score
    hits: int
    """Members who are found."""
    alarms: int
    """Non-members who are called members."""
    fpr_ci: tuple[float, float] | None
    private_bound: float | None
    """e^ε·FPR + δ; None where the run has no ε."""


class AttackCurve(Section):
    """A ROC curve over patients."""

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]


class AttackedGroup(Section):
    """A group of patients, and how far it lies from all others of known group."""

    attribute: str
    group: str
    members: int
    non_members: int
    tpr: Score
    """At 1 % of false alarms, by the threshold of all patients."""
    tpr_gap: Score
    auroc: Score
    auroc_gap: Score


class Attack(Section):
    """One attacker with one method."""

    attacker: AttackerName
    site: str
    """Whose patients the attack is about; empty = those of all sites (a client's: of the others).
    """
    method: str
    title: str
    models: int
    """Models of the run that the attacker looks at; scores are means over them."""
    members: int
    non_members: int
    auroc: Score
    """Over patients."""
    home_auroc: Score | None = None
    """Of a site's VAE: the same with the site's own held-out patients as the only non-members, who
    share with the members all that is the site's own and no sign of training."""
    control: Score
    """AUROC of one random half of the members against the other: an interval without 0.5 says that
    something else than the training is found."""
    rates: tuple[FoundRate, ...]
    curve: AttackCurve
    member_images: int
    non_member_images: int
    image_auroc: Score
    image_rates: tuple[FoundRate, ...]
    """Over images; without intervals where a patient has several, which are not independent."""
    groups: tuple[AttackedGroup, ...]

    def rate(self, allowed: float) -> FoundRate:
        """Return what is found at a false positive rate."""
        return next(rate for rate in self.rates if rate.allowed == allowed)


class IdentifiedPatients(Section):
    """How many patients a method is right about in more than 90 % of many target models."""

    method: str
    title: str
    targets: int
    patients: int
    sure: int | None
    by_chance: float | None
    """How many a coin would be as right about."""
    quantiles: tuple[tuple[float, float], ...]
    """(share of the patients, share of the targets that it is right in)."""
    reason: str | None
    """Why there is no number."""


class MembershipResult(Section):
    """All attacks on one run."""

    format: Literal[1] = 1
    fedcxr: str
    run: str
    is_synthetic: bool
    source: str
    target: Target = "model"
    """What was attacked: the run's model, or the VAEs of its sites."""
    model: str
    image_size: int
    sites: int
    best_round: int
    epochs: int
    """Epochs that the attacked model was trained for, over all rounds."""
    parameters: int
    """Trainable numbers of the network."""
    samples: int = 0
    """That the VAEs' recipient has."""
    members: int
    non_members: int
    left_out_images: int
    official: int
    """Patients of an official test set, who are left out."""
    shadows: int
    privacy: Literal["none", "patient", "client", "update"]
    epsilon: float | None
    delta: float | None
    attacks: tuple[Attack, ...]
    identified: tuple[IdentifiedPatients, ...]
    missing: tuple[str, ...]
    """What was asked for, or belongs to it, and was not done; a sentence each."""


def read_membership(folder: Path) -> MembershipResult:
    """Return the result in an attack's folder.

    Raises:
        ArtefactError: there is none, or it is damaged.
    """
    return read_typed(folder / FILE, MembershipResult, "Attack again: `fedcxr attack membership`.")
