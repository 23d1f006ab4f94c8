"""What attacks on membership found, in sentences: the same on the page and on the terminal."""

from fedcxr.report.rendering import Fact
from fedcxr.report.wording import count, counted, fixed, interval, percent
from fedcxr.results.membership import Attack, FoundRate, MembershipResult
from fedcxr.results.score import Score

ATTACKERS = {
    "outsider": "has the final model",
    "server": "has seen each round's model of the site",
    "client": "takes part as this site and has seen the global models of all rounds",
    "holder": "has the site's VAE. It never leaves the site, so this is the worst case",
    "recipient": "has the samples that the site trains on, as if they had been published",
}
_CHANCE = 0.01
_MANY = 10
"""Attacks among which some seem to succeed by chance."""


def sentence(result: MembershipResult) -> str:
    """Return the answer in one sentence: the attack that finds most, and what chance would."""
    best = strongest(result)
    rate = best.rate(_CHANCE)
    if rate.tpr.value is None:
        return (
            f"The best attack, {described(best)}, tells members from others with an AUROC of "
            f"{fixed(best.auroc.value)}; 0.5 is chance."
        )
    return (
        f"The best attack, {described(best)}, finds {_share(rate.tpr)} of the patients who were "
        f"trained on while calling 1 % of others members; chance finds 1 %."
    )


def verdict(result: MembershipResult) -> str:
    """Return whether it is more than chance, and whether an ε holds against it."""
    rates = [each.rate(_CHANCE) for each in result.attacks]
    found = [rate.tpr.ci for rate in rates if rate.tpr.ci]
    if not found:
        words = "Rates at 1 % of false alarms are not estimable here."
    elif any(low > _CHANCE for low, _ in found):
        words = "That is more than chance."
    else:
        words = "No attack finds more than chance by its interval."
    if result.epsilon is not None:
        words += f" {_of_promise(result, rates)}"
    return words


def notices(result: MembershipResult) -> list[str]:
    """Return what to know before the figures are believed."""
    found = []
    for attack in result.attacks:
        ci = attack.control.ci
        if ci and not ci[0] <= 0.5 <= ci[1]:
            found.append(
                f"The control of {described(attack)} fails: one half of the members differs from "
                f"the other ({interval(ci)}), so its other intervals may not hold either. One of "
                "twenty such controls fails by chance."
            )
    if result.official:
        found.append(
            f"The {count(result.official)} patients of the official test set are left out: they "
            "may differ from the members in more than that nobody trained on them."
        )
    if result.target == "model" and not result.shadows:
        found.append(
            "No shadow models: the loss threshold is the weakest of the attacks. --shadows 4 and "
            "more allow RMIA and LiRA."
        )
    if len(result.attacks) > _MANY:
        found.append(
            f"There are {count(len(result.attacks))} attacks, and each interval is of one alone: "
            "about one of forty that find nothing seems to find more than chance."
        )
    return [*found, *result.missing]


def facts(result: MembershipResult) -> list[Fact]:
    """Return the figures beside the answer."""
    best = strongest(result)
    own = Fact("Shadow models", count(result.shadows), "of the attacker's own")
    if result.target == "vae":
        own = Fact("Samples", count(result.samples), "of all attacked VAEs")
    return [
        Fact("Members", count(result.members), "patients trained on"),
        Fact("Non-members", count(result.non_members), "patients held out"),
        Fact("Best AUROC", fixed(best.auroc.value), interval(best.auroc.ci)),
        own,
    ]


def settings(result: MembershipResult) -> list[Fact]:
    """Return what was attacked."""
    epsilon = "none" if result.epsilon is None else f"ε = {result.epsilon:g}"
    note = "" if result.delta is None else f"δ = {result.delta:.3g}"
    trained = Fact("Round", count(result.best_round), f"{count(result.epochs)} epochs")
    if result.target == "vae":
        trained = Fact("Training", f"{count(result.epochs)} epochs", "of the longest")
    return [
        Fact(
            "Network", result.model, f"{count(result.parameters)} numbers, {result.image_size} px"
        ),
        Fact("Data", result.source, counted(result.sites, "site", "sites")),
        trained,
        Fact("Differential privacy", epsilon, note),
        Fact("Images left out", count(result.left_out_images), "bad, or without a known label"),
    ]


def identified_lines(result: MembershipResult) -> list[str]:
    """Return for each method how many patients it identifies, or why that is not known."""
    lines = []
    for each in result.identified:
        if each.sure is None or each.by_chance is None:
            lines.append(f"{each.title}: {each.reason}.")
            continue
        middle = dict(each.quantiles)[0.5]
        lines.append(
            f"{each.title}: right about {count(each.sure)} of {count(each.patients)} patients in "
            f"more than 90 % of {each.targets} models; a coin would be about "
            f"{each.by_chance:.2g}. The median patient: {percent(middle)}."
        )
    return lines


def strongest(result: MembershipResult) -> Attack:
    """Return the attack that finds most at 1 % of false alarms, or by its AUROC."""

    def key(attack: Attack) -> tuple[float, float]:
        rate = attack.rate(_CHANCE).tpr.value
        return (-1.0 if rate is None else rate, attack.auroc.value or 0.0)

    return max(result.attacks, key=key)


def described(attack: Attack) -> str:
    """Return an attack in a phrase.

    The site is that whose patients are attacked, or of a client its own.
    """
    of = f" ({attack.site})" if attack.site else ""
    return f"{attack.title} by the {attack.attacker}{of}"


def line(attack: Attack) -> str:
    """Return an attack's figures in a line."""
    one, tenth = attack.rate(0.01), attack.rate(0.001)
    home = ""
    if attack.home_auroc is not None and attack.home_auroc.value is not None:
        home = f", against the site's own {_number(attack.home_auroc)}"
    return (
        f"{described(attack)}: AUROC {_number(attack.auroc)}{home}, TPR at 1 % FPR {_rate(one)}, "
        f"at 0.1 % {_rate(tenth)}; control {_number(attack.control)}"
    )


def _of_promise(result: MembershipResult, rates: list[FoundRate]) -> str:
    """Return whether what is found lies within what ε allows."""
    bounds = [(rate.tpr.ci[1], rate.private_bound) for rate in rates if rate.tpr.ci]
    inside = all(bound is not None and upper <= bound for upper, bound in bounds)
    allowed = rates[0].private_bound
    return (
        f"ε = {result.epsilon:g} allows e^ε·1 % + δ = {percent(allowed, 1)}: the upper ends of all "
        f"intervals lie {'below' if inside else 'not all below'} it."
    )


def _rate(rate: FoundRate) -> str:
    return rate.tpr.reason or "–" if rate.tpr.value is None else _share(rate.tpr)


def _share(score: Score) -> str:
    if score.ci is None:
        return percent(score.value, 1)
    low, high = (f"{100 * bound:.1f}" for bound in score.ci)
    return f"{percent(score.value, 1)} ({low}–{high} %)"


def _number(score: Score) -> str:
    return f"{fixed(score.value)} ({interval(score.ci)})" if score.ci else fixed(score.value)
