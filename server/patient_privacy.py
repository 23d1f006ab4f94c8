"""What patient-level privacy costs in a run: δ settled, each site's noise, ε round by round.

A simulation's server made the partition and knows how many patients a site has. Real sites do not
say, and each keeps its own account: of them the server knows that ε is at most what was asked for.
"""

from functools import lru_cache
from typing import Any

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import with_values
from fedcxr.data.cache.store import open_cache
from fedcxr.errors import ConfigError, DataError
from fedcxr.privacy.accounting import Account
from fedcxr.training.private_plan import DELTA_SHARE, PrivatePlan, private_plan, trains_vae
from partitions.prepare import Prepared
from partitions.table import read_table
from server.job import Job


def settle_privacy(config: ExperimentConfig, prepared: Prepared) -> ExperimentConfig:
    """Return the configuration with the run's δ, where patients are protected and can be counted.

    Raises:
        ConfigError: δ is not below 1/patients of the smallest site, or ε cannot be reached.
        DataError: no site has patients enough for the VAE that is asked for.
    """
    if config.privacy.level != "patient":
        return config
    patients = patients_by_site(prepared)
    counts = {n for n in patients.values() if n}
    if not counts:
        return config
    if config.vae.trains and not any(trains_vae(config.vae, n) for n in counts):
        raise DataError(
            f"vae: the largest site has {max(counts)} training patients, and under --privacy "
            f"patient a VAE needs {config.vae.min_images} of them (vae.min_images counts patients "
            "then). Partition for fewer sites, or train without --vae."
        )
    if config.privacy.delta is None:
        config = with_values(config, {"privacy.delta": DELTA_SHARE / min(counts)})
    for number in sorted(counts):
        try:
            _plan(config, number)
        except ConfigError as err:
            site = next(site_id for site_id, n in patients.items() if n == number)
            raise ConfigError(f"{site}: {err}") from err
    return config


def patients_by_site(prepared: Prepared) -> dict[str, int]:
    """Return of each site that the server has the table of, how many patients it trains on."""
    plan, cache = prepared.plan, open_cache(prepared.cache)
    found = {}
    for site in plan.sites:
        file = plan.site_csv(site.site_id)
        if file.is_file():
            table = read_table(file)
            rows = [i for i in table.rows("train") if table.image_id[i] in cache.row_by_id]
            found[site.site_id] = len({table.patient_id[i] for i in rows})
    return found


def privacy_in_manifest(config: ExperimentConfig, prepared: Prepared) -> dict[str, Any] | None:
    """Return what a manifest says of patients' protection; None for a run without."""
    privacy = config.privacy
    if privacy.level != "patient":
        return None
    sites = []
    for site_id, patients in patients_by_site(prepared).items():
        row: dict[str, Any] = {"site_id": site_id, "patients": patients}
        if patients:
            plan = _plan(config, patients)
            row |= {"rate": plan.rate, "steps": plan.steps, "noise": plan.noise}
            row |= {"vae_steps": plan.vae_steps}
        sites.append(row)
    return {**privacy.model_dump(), "sites": sites}


def epsilon_after(job: Job, rounds: int) -> dict[str, float | None] | None:
    """Return the most ε that any site can have spent after so many rounds, by both accountants.

    None where nothing is private, or real sites keep their own accounts.
    """
    known = job.run.read_json("manifest.json").get("privacy")
    counts = {row["patients"] for row in known["sites"]} - {0} if known else set()
    if not counts:
        return None
    config = job.config
    accounts = [_account(_plan(config, patients), rounds) for patients in sorted(counts)]
    by_prv = [found.prv for found in accounts if found.prv is not None]
    return {
        "rdp": max(found.rdp for found in accounts),
        "prv": max(by_prv) if len(by_prv) == len(accounts) else None,
    }


@lru_cache(maxsize=256)
def _account(plan: PrivatePlan, rounds: int) -> Account:
    return plan.account_after(rounds)


def _plan(config: ExperimentConfig, patients: int) -> PrivatePlan:
    return private_plan(
        config.privacy,
        config.train,
        rounds=config.server.rounds,
        patients=patients,
        vae=config.vae,
    )
