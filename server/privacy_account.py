"""A run's protection, whoever is protected: settled before it begins, told in its files."""

from typing import Any

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import with_values
from fedcxr.privacy.client_plan import ClientPlan
from partitions.prepare import Prepared
from server import patient_privacy
from server.client_privacy import site_plan_of
from server.job import Job


def settle_privacy(config: ExperimentConfig, prepared: Prepared) -> ExperimentConfig:
    """Return the configuration with the run's δ, as far as the server can tell it.

    Raises:
        ConfigError: δ is too large, ε cannot be reached, or a round expects too few sites.
    """
    plan = site_plan_of(config, prepared.plan)
    if plan is None:
        return patient_privacy.settle_privacy(config, prepared)
    return with_values(config, {"privacy.delta": plan.delta})


def privacy_in_manifest(config: ExperimentConfig, prepared: Prepared) -> dict[str, Any] | None:
    """Return what a manifest says of the protection; None for a run without."""
    plan = site_plan_of(config, prepared.plan)
    if plan is None:
        return patient_privacy.privacy_in_manifest(config, prepared)
    num_sites = len(prepared.plan.sites)
    found = {"noise": plan.noise, "rate": plan.rate, "num_sites": num_sites, "sites": []}
    if isinstance(plan, ClientPlan) and config.server.secure_aggregation:
        known = plan.account_unsampled(config.server.rounds)
        found |= {"kept_back": plan.kept_back}
        found |= {"epsilon_among_sites": {"rdp": known.rdp, "prv": known.prv}}
    return {**config.privacy.model_dump(), **found}


def epsilon_after(job: Job, rounds: int) -> dict[str, float | None] | None:
    """Return ε after so many rounds, by both accountants; None where the server cannot tell it."""
    plan = site_plan_of(job.config, job.prepared.plan)
    if plan is None:
        return patient_privacy.epsilon_after(job, rounds)
    found = plan.account_after(rounds)
    return {"rdp": found.rdp, "prv": found.prv}
