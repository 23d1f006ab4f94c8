"""What a run's differential privacy is, in words: of whom, against whom, what it leaves open."""

from dataclasses import dataclass

from fedcxr.report.rendering import Fact
from fedcxr.report.wording import MISSING
from fedcxr.results.run_files import RunFacts
from fedcxr.results.run_privacy import RunEpsilon, RunPrivacy


@dataclass(frozen=True, slots=True)
class Promise:
    """What ε means at a level."""

    method: str
    unit: str
    against: str
    not_covered: str
    cost: str = ""
    """What the reader must know of the noise."""


PROMISES = {
    "patient": Promise(
        "patient-level DP-SGD at each site",
        "one patient with all images at one site, being among its training patients or not",
        "whoever sees that site's updates, or anything made of them, such as the model",
        "how many patients a site has, how long it computes, and the server's own validation and "
        "test patients; a simulation's server, which made the partition, knows its tables as well",
    ),
    "client": Promise(
        "client-level, noise at the server",
        "one site with all its patients, being among the sites or not",
        "whoever sees the models that the server makes, and not who takes part in which round",
        "anything against the server, which sees each update; that the site exists, and who takes "
        "part (rounds.jsonl, events.jsonl and cards.json say it: keep them to the server); the "
        "server's own validation and test patients",
    ),
    "client, summed": Promise(
        "client-level, noise at the server, in the sum of masked updates",
        "one site with all its patients, being among the sites or not",
        "whoever sees the models that the server makes, and not who takes part in which round",
        "anything against the server, which sees each round's exact sum before the noise, of a "
        "site alone nothing; against sites that shorten their updates less than they say; that "
        "the site exists, that a round ended for want of sites, and who takes part (rounds.jsonl, "
        "events.jsonl and cards.json say it: keep them to the server); the server's own "
        "validation and test patients",
    ),
    "update": Promise(
        "local, noise in each site's whole update, at the site",
        "all that one site has trained on, or in its place nothing: an update of 0",
        "whoever sees the update that the site sends, the server too",
        "that the site exists, answers, fails or has too few images to train on, and how long it "
        "takes; the server's own validation and test patients",
        "in every number of every update, which together are no longer than C: with few sites and "
        "a strict ε the model learns next to nothing",
    ),
}


def privacy_facts(run: RunFacts) -> list[Fact]:
    """Return what a page says of it; empty for a run without."""
    privacy = run.manifest.privacy
    if privacy is None:
        return []
    known = privacy.epsilon_among_sites
    promise = PROMISES[privacy.level if known is None else "client, summed"]
    spent = run.rounds[-1].epsilon if run.rounds else None
    whose = "the most of any site, by either accountant"
    if any(site.vae_steps for site in privacy.sites):
        whose = f"{whose}; the steps of the sites' VAEs are in it"
    if privacy.level == "update":
        whose = "every round counts for every site, asked or not: who looks knows who was asked"
    elif privacy.rate is not None:
        whose = f"each round asks each of {privacy.num_sites} sites with q = {privacy.rate:.3g}"
    return [
        Fact("Privacy", promise.method, promise.unit),
        Fact("Protected against", promise.against),
        Fact("Not protected", promise.not_covered),
        Fact("Spent", epsilon_words(privacy, spent), whose),
        *_among_sites(known),
        Fact("Noise", f"σ = {_noise(privacy)}", _bound_words(privacy, promise)),
    ]


def _among_sites(known: RunEpsilon | None) -> list[Fact]:
    """Return what holds against a site of the sum; nothing where sites are not told of others."""
    if known is None:
        return []
    by_prv = "not computed" if known.prv is None else f"{known.prv:.3g}"
    return [
        Fact(
            "Against a site that takes part",
            f"ε = {known.rdp:.3g} by RDP, {by_prv} by PRV",
            "it is told with whom it shares masks: chance amplifies nothing, and covered is what a "
            "site brings, its update or 0",
        )
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
        return f"each site's own account says its ε, at δ = {delta}"
    return f"ε ≤ {privacy.epsilon:g} at each site, which keeps its own account, at δ = {delta}"


def privacy_line(privacy: RunPrivacy, spent: RunEpsilon | None) -> str:
    """Return what the command line says at the end of a run."""
    promise = PROMISES[privacy.level]
    words = epsilon_words(privacy, spent)
    return f"Privacy: {words}; protected is {promise.unit}, against {promise.against}"


def _bound_words(privacy: RunPrivacy, promise: Promise) -> str:
    bound = f"of the clipping bound C = {privacy.clip:g}"
    if privacy.adaptive_clip:
        bound = f"of a clipping bound that begins at {privacy.clip:g} and follows the median length"
    return f"{bound}, {promise.cost}" if promise.cost else bound


def _noise(privacy: RunPrivacy) -> str:
    own = [privacy.noise] if privacy.rate is not None else [s.noise for s in privacy.sites]
    noises = sorted({noise for noise in own if noise is not None})
    if not noises:
        return MISSING
    span = f"{noises[0]:.4g}"
    return span if len(noises) == 1 else f"{span} to {noises[-1]:.4g}"
