"""What a study of hostile sites found, in sentences: the same on the page and on the terminal."""

from fedcxr.report.rendering import Fact
from fedcxr.report.wording import count, counted, fixed, joined, percent, signed
from fedcxr.results.byzantine import MEAN, MOST_DROP, NO_ATTACK, ByzantineStudy

CRUDE = ("sign-flip", "scaling")
"""The attacks that a robust aggregator must stand."""
ROBUST = ("trimmed-mean", "krum")


def sentence(study: ByzantineStudy) -> str:
    """Return the answer in one sentence: what the mean loses, and what robust aggregators do."""
    attacks = _crude(study)
    asked = [name for name in ROBUST if name in study.defences]
    if not attacks or not asked:
        return (
            f"{counted(study.hostile, 'hostile site', 'hostile sites')} of {study.sites}: the "
            "table has what each aggregator loses."
        )
    losses = [f"{name} {_worst(study, name)}" for name in (MEAN, *asked)]
    return (
        f"With {study.hostile} of {study.sites} sites hostile ({_titles(study, attacks)}), the "
        f"macro AUROC falls by at most: {'; '.join(losses)}. Held against the mean without attack, "
        f"{_fixed(study, MEAN, NO_ATTACK)}."
    )


def verdict(study: ByzantineStudy) -> str | None:
    """Return whether the robust aggregators lose little enough; None where it was not asked."""
    attacks = _crude(study)
    asked = [name for name in ROBUST if name in study.defences]
    if not attacks or not asked:
        return None
    held = [name for name in asked if all(study.cell(name, one).is_held for one in attacks)]
    if held:
        verb = "loses" if len(held) == 1 else "lose"
        return f"{joined(held)} {verb} no more than {MOST_DROP:g} under {_titles(study, attacks)}."
    under = "at least one of " if len(attacks) > 1 else ""
    return (
        f"{joined(asked)}: each loses more than {MOST_DROP:g} under {under}"
        f"{_titles(study, attacks)}."
    )


def notices(study: ByzantineStudy) -> list[str]:
    """Return what to know before the figures are believed."""
    found = []
    if "alie" in {attack.name for attack in study.attacks} and study.deviations < 0.1:
        found.append(
            f"ALIE moves by z = {study.deviations:.2f} standard deviations here: with "
            f"{study.hostile} hostile of {study.sites} sites the paper's formula leaves it no "
            "room. More attackers (--attackers) or --alie-z show what it can do."
        )
    if len({run.seed for run in study.runs}) == 1:
        found.append(
            "One training in each place: trainings from other seeds differ too, by how much is not "
            "known here. --seeds 3 has three of each."
        )
    return found


def facts(study: ByzantineStudy) -> list[Fact]:
    """Return the figures beside the answer."""
    return [
        Fact("Hostile sites", f"{study.hostile} of {study.sites}", percent(_share(study))),
        Fact("Mean, no attack", _fixed(study, MEAN, NO_ATTACK), "macro AUROC, test patients"),
        Fact("Trainings", count(len(study.runs)), f"{study.rounds} rounds each"),
        Fact("Test patients", count(study.test_patients), f"{count(study.test_images)} images"),
    ]


def settings(study: ByzantineStudy) -> list[Fact]:
    """Return what the aggregators were set to, and what was trained on what."""
    seeds = sorted({run.seed for run in study.runs})
    alie = Fact("ALIE", f"z = {study.deviations:.2f}", "standard deviations")
    bound = Fact("+bound", f"{study.norm_factor:g} times", "the usual length of an update, at most")
    return [
        Fact("Trimmed mean", f"{study.trim:g} at each end", "of the updates, rounded up"),
        Fact("Krum, Multi-Krum", f"f = {study.byzantine}", "hostile updates"),
        *([bound] if any("+" in name for name in study.defences) else []),
        *([alie] if "alie" in {attack.name for attack in study.attacks} else []),
        Fact("Network", study.model, f"{study.image_size} px"),
        Fact("Data", study.source, f"{count(study.train_images)} training images"),
        Fact("Partition", study.scheme, f"{study.sites} sites"),
        Fact("Seeds", ", ".join(map(str, seeds)), "the hostile sites are drawn for each"),
    ]


def drop_text(drop: float | None) -> str:
    """Return a loss with its sign turned, as a change of AUROC."""
    return "broke off" if drop is None else signed(-drop)


def _crude(study: ByzantineStudy) -> list[str]:
    return [attack.name for attack in study.attacks if attack.name in CRUDE]


def _titles(study: ByzantineStudy, attacks: list[str]) -> str:
    titles = {attack.name: attack.title.lower() for attack in study.attacks}
    return joined([titles[name] for name in attacks])


def _worst(study: ByzantineStudy, defence: str) -> str:
    drops = [study.cell(defence, attack).drop for attack in _crude(study)]
    known = [drop for drop in drops if drop is not None]
    return fixed(max(known)) if len(known) == len(drops) else "all, since a training broke off"


def _fixed(study: ByzantineStudy, defence: str, attack: str) -> str:
    return fixed(study.cell(defence, attack).auroc.value)


def _share(study: ByzantineStudy) -> float:
    return study.hostile / study.sites
