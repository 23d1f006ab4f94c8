"""Who attacks: what each has seen of a run, and whose membership it asks about.

The outsider has the final model. The server has each round's model of each site, given and update
together. Another client has the global models of all rounds; its own patients it knows. Scores of
several models are joined by their mean.
"""

from collections.abc import Iterator, Sequence

from fedcxr.attacks.signals import Answers
from fedcxr.errors import ArtefactError, ConfigError
from fedcxr.experiments.membership.attacked_run import Attacked
from fedcxr.experiments.membership.findings import Aim
from fedcxr.results.membership import AttackerName
from fedcxr.runs.kept_updates import given_file, kept_rounds, update_file

ATTACKERS: tuple[AttackerName, ...] = ("outsider", "server", "client")


def targets(
    attacked: Attacked, attackers: Sequence[str], site: str | None
) -> Iterator[tuple[Aim, list[Answers]]]:
    """Yield each attacker's aim, with what the models say that the attacker has seen.

    Args:
        attacked: the run.
        attackers: by name.
        site: whose patients are attacked; of a client, which one it is. None = all; the first.

    Raises:
        ArtefactError: the run did not keep the models that an attacker sees.
        ConfigError: no other client can be attacked.
    """
    population, sites = attacked.population, attacked.sites
    outside = ~population.is_member
    for name in attackers:
        if name == "outsider":
            who = outside | (population.site == site) if site else outside | population.is_member
            yield Aim("outsider", site or "", who, 1), [attacked.answers()]
        elif name == "server":
            for own in [site] if site else sites:
                found = _seen_by_server(attacked, own)
                yield Aim("server", own, outside | (population.site == own), len(found)), found
        else:
            own = site or sites[0]
            if sites == [own]:
                raise ConfigError(
                    "--attackers client: the run has one site, so there is no other to attack."
                )
            found = _seen_by_client(attacked)
            yield Aim("client", own, population.site != own, len(found)), found


def _seen_by_server(attacked: Attacked, site: str) -> list[Answers]:
    """Return what the site's own models say, round by round."""
    files = [
        update_file(attacked.folder, number, site) for number in _kept_rounds(attacked, "server")
    ]
    there = [file for file in files if file.is_file()]
    if not there:
        raise ArtefactError(f"{attacked.folder}: no update of {site} was taken in any round.")
    return [attacked.answers(file) for file in there]


def _seen_by_client(attacked: Attacked) -> list[Answers]:
    """Return what the global models say that every client was given, and the final one."""
    trained = [number for number in _kept_rounds(attacked, "client") if number > 1]
    files = [given_file(attacked.folder, number) for number in trained]
    return [*(attacked.answers(file) for file in files), attacked.answers()]


def _kept_rounds(attacked: Attacked, attacker: str) -> list[int]:
    found = kept_rounds(attacked.folder)
    if not found:
        raise ArtefactError(
            f"{attacked.folder}: --attackers {attacker} sees the models of every round, and this "
            "run kept none. Train it with `--set server.keep_updates=true`."
        )
    return found
