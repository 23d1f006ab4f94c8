"""What a run's differential privacy is, in words: of whom, against whom, what it leaves open."""

from fedcxr.report.rendering import Fact
from fedcxr.report.wording import MISSING
from fedcxr.results.run_files import RunFacts
from fedcxr.results.run_privacy import RunEpsilon, RunPrivacy

UNIT = "one patient with all images at one site, being among its training patients or not"
AGAINST = "whoever sees that site's updates, or anything made of them, such as the model"
NOT_COVERED = (
    "how many patients a site has, how long it computes, and the server's own validation and test "
    "patients; a simulation's server, which made the partition, knows its tables as well"
)


def privacy_facts(run: RunFacts) -> list[Fact]:
    """Return what a page says of it; empty for a run without."""
    privacy = run.manifest.privacy
    if privacy is None:
        return []
    spent = run.rounds[-1].epsilon if run.rounds else None
    noises = sorted({site.noise for site in privacy.sites if site.noise is not None})
    noise = MISSING if not noises else f"{noises[0]:.4g}"
    if len(noises) > 1:
        noise += f" to {noises[-1]:.4g}"
    return [
        Fact("Privacy", "patient-level DP-SGD at each site", UNIT),
        Fact("Protected against", AGAINST),
        Fact("Not protected", NOT_COVERED),
        Fact("Spent", epsilon_words(privacy, spent), "the most of any site, by either accountant"),
        Fact("Noise", f"σ = {noise}", f"of the clipping bound C = {privacy.clip:g}"),
    ]


def epsilon_words(privacy: RunPrivacy, spent: RunEpsilon | None) -> str:
    """Return ε and δ of a run.

    Args:
        privacy: of the manifest.
        spent: what the last round's line says; none where real sites keep their own accounts.
    """
    delta = "a tenth of 1/patients" if privacy.delta is None else f"{privacy.delta:.3g}"
    if spent is not None:
        by_prv = "not computed" if spent.prv is None else f"{spent.prv:.3g}"
        return f"ε = {spent.rdp:.3g} by RDP, {by_prv} by PRV, at δ = {delta}"
    if privacy.epsilon is None:
        return f"each site's log says its own ε, at δ = {delta}"
    return f"ε ≤ {privacy.epsilon:g} at each site, which keeps its own account, at δ = {delta}"


def privacy_line(privacy: RunPrivacy, spent: RunEpsilon | None) -> str:
    """Return what the command line says at the end of a run."""
    return f"Privacy: {epsilon_words(privacy, spent)}; protected is {UNIT}, against {AGAINST}"
