"""Does secure aggregation go with the rest of a run? And what it gives there, in figures.

What needs a single update at the server is refused: the aggregators that compare updates, codecs
(words of a sum cannot be made smaller one by one), and algorithms that have sites send more.
"""

from collections.abc import Mapping

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.server import ServerConfig
from fedcxr.config.task import SecureTask
from fedcxr.errors import ConfigError
from fedcxr.secagg.graph import CORRUPT, DROPPED, FEWEST_SITES, graph_plan
from fedcxr.secagg.sensitivity import length_before_rounding
from fedcxr.training.memory import footprint
from server.cohort import cohort_size

_OWN = ("secure_range", "secure_buffer_range")


def check_secure(config: ExperimentConfig) -> None:
    """Raise ConfigError where secure aggregation does not go with what else was chosen."""
    server = config.server
    if not server.secure_aggregation:
        idle = [k for k in _OWN if getattr(server, k) != ServerConfig.model_fields[k].default]
        if idle:
            raise ConfigError(
                f"server.{idle[0]} = {getattr(server, idle[0]):g}: acts under "
                "server.secure_aggregation=true. Set that, or leave it out."
            )
        return
    with_it = "server.secure_aggregation: the server sees the sum of the sites' updates alone, and "
    if server.aggregator != "mean":
        raise ConfigError(
            f"{with_it}server.aggregator={server.aggregator} needs each of them. Take "
            "server.aggregator=mean, or do without."
        )
    if server.codec != "none":
        raise ConfigError(
            f"{with_it}server.codec={server.codec} would make each of them another size or scale. "
            "Take server.codec=none, or do without."
        )
    if config.algorithm.algorithm.from_sites:
        raise ConfigError(
            f"{with_it}algorithm.name={config.algorithm.name} has sites send more than an update. "
            "Take another algorithm, such as fedavg, or do without."
        )
    if server.keep_updates:
        raise ConfigError(
            f"{with_it}server.keep_updates would keep single ones. Leave one of the two out."
        )
    if config.privacy.level == "update":
        raise ConfigError(
            f"{with_it}privacy.level=update has noise in each of them, for a server that sees it. "
            "Take --privacy client, patient or none, or do without."
        )
    if config.privacy.level == "client" and config.privacy.adaptive_clip:
        raise ConfigError(
            f"{with_it}privacy.adaptive_clip follows the length of each. Leave it out, or do "
            "without."
        )
    if server.min_sites is not None and server.min_sites < FEWEST_SITES:
        raise ConfigError(
            f"{with_it}server.min_sites={server.min_sites} could begin with fewer than the "
            f"{FEWEST_SITES} sites that a sum needs. Give at least {FEWEST_SITES}."
        )


def secure_task(config: ExperimentConfig, train_images: Mapping[str, int]) -> SecureTask | None:
    """Return what sites are told of secure aggregation; None without it.

    Args:
        config: the run's.
        train_images: of each site of the plan.

    Raises:
        ConfigError: a round has too few sites, or too many images for the bits of a word.
    """
    server = config.server
    if not server.secure_aggregation:
        return None
    level = config.privacy.level
    # Where each site is drawn by itself, a round may have all of them.
    share = 1.0 if level == "client" else server.fraction
    sites = cohort_size(len(train_images), share)
    if sites < FEWEST_SITES:
        raise ConfigError(
            f"server.secure_aggregation: a round has {sites} of {len(train_images)} sites "
            f"(server.fraction={server.fraction:g}), and a sum needs {FEWEST_SITES} to hide one "
            "among. Give more sites (partition.clients) or a larger fraction."
        )
    largest = sorted(train_images.values(), reverse=True)[:sites]
    weighs_alike = level != "none"
    task = SecureTask(
        most_weight=sites if weighs_alike else max(sites, sum(largest)),
        sites=sites,
        trained_range=server.secure_range,
        buffer_range=server.secure_buffer_range,
        norm_factor=None if level == "client" else server.norm_factor,  # shortened to privacy.clip
        norm_policy=server.norm_policy,
    )
    _ = task.quantiser  # refuses too few bits
    return task


def check_rounding(config: ExperimentConfig, task: SecureTask | None) -> None:
    """Raise ConfigError where rounding may make a shortened update much longer than its bound.

    Args:
        config: the run's.
        task: what sites are told of secure aggregation.
    """
    if task is not None and config.privacy.level == "client":
        trained = footprint(config.model).trainable
        _ = length_before_rounding(task.quantiser, trained, config.privacy.clip)


def secure_facts(task: SecureTask | None) -> dict[str, object] | None:
    """Return what a manifest says of secure aggregation; None without it."""
    if task is None:
        return None
    plan, quantiser = graph_plan(task.sites), task.quantiser
    return {
        "protocol": "SecAgg+ (Bell et al. 2020)",
        "server_sees": "sums",
        "sites": plan.sites,
        "degree": plan.degree,
        "threshold": plan.threshold,
        "fewest": plan.fewest,
        "dropped_fraction": float(DROPPED),
        "corrupt_fraction": float(CORRUPT),
        "privacy_failure": plan.privacy_failure,
        "correctness_failure": plan.correctness_failure,
        "bits": quantiser.bits,
        "range": quantiser.trained_range,
        "step": quantiser.step,
        "buffer_range": quantiser.buffer_range,
        "buffer_step": quantiser.buffer_step,
    }
