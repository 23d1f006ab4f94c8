"""What a study of hostile sites trains: aggregators × attacks × seeds, and what they are set to."""

from pathlib import Path

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import with_values
from fedcxr.config.server import ServerConfig
from fedcxr.errors import ConfigError, some
from fedcxr.experiments.byzantine.attacks import ATTACKS, NONE, z_max
from fedcxr.experiments.byzantine.hostile_sites import HostileSites, check_tampered, draw_hostile
from fedcxr.experiments.compare.arms import Training, presentations
from fedcxr.results.byzantine import MEAN
from fedcxr.section import Section
from partitions.plan import PartitionPlan
from server.choices import check_choices, check_cohort

BOUND = "+bound"
"""After an aggregator's name: with the bound on an update's length that runs have by default."""
NORM_FACTOR = 10.0
DEFENCES = ("mean", f"mean{BOUND}", "median", "trimmed-mean", "krum", "multi-krum")
_SET_HERE = ("aggregator", "trim", "byzantine", "fraction")


class Design(Section):
    """What is trained."""

    defences: tuple[str, ...] = DEFENCES
    attacks: tuple[str, ...] = tuple(name for name in ATTACKS if name != NONE)
    """Each beside none."""
    share: float = 0.2
    """Of the sites that are hostile."""
    deviations: float | None = None
    """Of ALIE; none = as far as the paper's formula allows."""

    def hostile(self, sites: int) -> int:
        """Return how many of the sites are hostile: the share, rounded down."""
        return int(self.share * sites + 1e-9)

    def z(self, sites: int) -> float:
        """Return by how many deviations ALIE moves."""
        return z_max(sites, self.hostile(sites)) if self.deviations is None else self.deviations


def check_design(design: Design, config: ExperimentConfig) -> None:
    """Raise ConfigError for what there is not, what the study sets itself, and what cannot be.

    Args:
        design: of the study.
        config: of its trainings, with as many clients as there are sites.
    """
    for flag, given in (("--attacks", design.attacks), ("--aggregators", design.defences)):
        twice = sorted({name for name in given if given.count(name) > 1})
        if twice or not given:
            raise ConfigError(f"{flag}: {some(twice)} given twice." if twice else f"{flag}: none.")
    known = [name for name in ATTACKS if name != NONE]
    unknown = [name for name in design.attacks if name not in known]
    if unknown:
        raise ConfigError(f"--attacks: there is no {some(unknown)}. Known: {', '.join(known)}.")
    if MEAN not in design.defences:
        raise ConfigError("--aggregators: add mean, without an attack what all are held against.")
    usual = ServerConfig()
    changed = [f"server.{k}" for k in _SET_HERE if getattr(config.server, k) != getattr(usual, k)]
    if changed:
        raise ConfigError(
            f"{some(changed)}: a study of hostile sites sets this itself, for each training. Leave "
            "it out; --aggregators and --attackers say which aggregators, against how many."
        )
    check_tampered(config)
    sites = config.partition.clients
    hostile = design.hostile(sites)
    if hostile < 1 or 2 * hostile >= sites:
        raise ConfigError(
            f"--attackers {design.share:g}: of {sites} sites that is {hostile}, and it takes one "
            "or more, but fewer than half."
        )
    for defence in design.defences:
        own = config_of(config, design, defence, sites)
        check_choices(own)
        check_cohort(own, sites)


def config_of(
    config: ExperimentConfig, design: Design, defence: str, sites: int
) -> ExperimentConfig:
    """Return the configuration of a defence, which knows how many sites may be hostile.

    Args:
        config: of the study.
        design: of the study.
        defence: an aggregator, or one with `+bound`.
        sites: of the partition.
    """
    hostile = design.hostile(sites)
    factor = (config.server.norm_factor or NORM_FACTOR) if defence.endswith(BOUND) else None
    return with_values(
        config,
        {
            "server.aggregator": defence.removesuffix(BOUND),
            "server.norm_factor": factor,
            "server.byzantine": hostile,
            "server.trim": hostile / sites,
            "explain.images_per_outcome": 0,
            "explain.max_boxes": 0,
        },
    )


def all_trainings(
    folder: Path, config: ExperimentConfig, design: Design, plan: PartitionPlan
) -> list[Training]:
    """Return every training of a study; in those of a seed the same sites are hostile.

    Args:
        folder: of the study.
        config: of the study.
        design: of the study.
        plan: the partition in the study's folder.
    """
    names = [site.site_id for site in plan.sites]
    found = []
    for seed in range(config.seed, config.seed + config.compare.seeds):
        hostile = draw_hostile(names, design.hostile(len(names)), seed)
        for defence in design.defences:
            own = with_values(
                config_of(config, design, defence, len(names)),
                {"seed": seed, "partition.folder": str(plan.folder)},
            )
            for attack in (NONE, *design.attacks):
                own_hostile = hostile if attack != NONE else ()
                sites = HostileSites(attack, own_hostile, design.z(len(names)))
                found.append(
                    Training(
                        defence,
                        seed,
                        "",
                        folder / "trainings" / f"{defence.replace('+', '-')}-{attack}-seed-{seed}",
                        own,
                        presentations(own, plan),
                        plan.folder,
                        hostile=sites,
                    )
                )
    return found
