"""Which arms a privacy sweep has, what each has over the configuration, and one δ for all.

A patient is protected by a site's training, so there is an arm of all patients at one place too,
which is what federated training under the same ε is to be seen beside. A site is protected among
sites: at one place there is nothing to protect it among, and no such arm.
"""

from collections.abc import Sequence

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.privacy import PrivacyConfig
from fedcxr.errors import ConfigError, some
from fedcxr.results.privacy_sweep import Place, SweptArm
from fedcxr.training.private_plan import DELTA_SHARE
from partitions.prepare import prepare
from server.patient_privacy import patients_by_site

LEVELS = ("patient", "client", "update")
PLACES: tuple[Place, ...] = ("federated", "centralized")


def swept_arms(
    epsilons: Sequence[float], levels: Sequence[str], places: Sequence[str]
) -> list[SweptArm]:
    """Return the arms that protect somebody: federated ones level by level, then centralized ones.

    Raises:
        ConfigError: something is given twice, is not known, or not at all.
    """
    for flag, given in (("--epsilon", epsilons), ("--level", levels), ("--arms", places)):
        twice = sorted({str(each) for each in given if given.count(each) > 1})
        if twice or not given:
            raise ConfigError(f"{flag}: {some(twice)} given twice." if twice else f"{flag}: none.")
    _check_known("--level", levels, LEVELS)
    _check_known("--arms", places, PLACES)
    if "federated" not in places:
        raise ConfigError(
            "--arms: a sweep always has the federated arms, which the centralized ones are seen "
            "beside. Give --arms federated,centralized, or --arms federated."
        )
    return [
        _arm(level, epsilon, place)
        for place in PLACES
        for level in levels
        for epsilon in epsilons
        if place == "federated" or (place in places and level == "patient")
    ]


def settings_of(arm: SweptArm, privacy: PrivacyConfig, delta: float) -> list[str]:
    """Return what an arm has over the configuration without protection."""
    own = {
        "level": arm.level,
        "epsilon": arm.epsilon,
        "delta": delta,
        "clip": privacy.clip,
        "physical_batch": privacy.physical_batch,
    }
    return [f"privacy.{key}={value}" for key, value in own.items()]


def delta_of(config: ExperimentConfig, arms: Sequence[SweptArm], asked: float | None) -> float:
    """Return one δ for all arms: as asked for, or a tenth of 1/n of the largest n of any arm.

    n are the patients of a site, those of all sites where they are pooled, and the sites.

    Raises:
        ConfigError: the δ asked for is not below 1/n.
    """
    patients = patients_by_site(prepare(config)).values()
    counts = [config.partition.clients, *patients]
    if any(arm.trained == "centralized" for arm in arms):
        counts.append(sum(patients))
    most = max(counts)
    if asked is not None and not asked < 1 / most:
        raise ConfigError(
            f"privacy.delta = {asked:g}: all arms have one δ, and it must be below 1/{most:,} = "
            f"{1 / most:.3g}, of the arm with most patients together. Lower it, or leave it out."
        )
    return DELTA_SHARE / most if asked is None else asked


def _arm(level: str, epsilon: float, place: Place) -> SweptArm:
    name = f"{level}-{epsilon:g}".replace(".", "_")
    if place == "centralized":
        name = f"{place}-{name}"
    return SweptArm(name=name, level=level, epsilon=epsilon, trained=place)


def _check_known(flag: str, given: Sequence[str], known: Sequence[str]) -> None:
    unknown = [each for each in given if each not in known]
    if unknown:
        raise ConfigError(f"{flag}: there is no {some(unknown)}. Known: {', '.join(known)}.")
