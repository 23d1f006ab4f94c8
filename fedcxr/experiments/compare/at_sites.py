"""A finished run's model on each site's own held-out patients, kept beside its other predictions.

They are the sites' validation patients: nothing was trained on them, and no round, threshold or
rate was chosen by them. Only for simulations, where all sites' data are at hand.
"""

from collections.abc import Sequence
from pathlib import Path

from fedcxr.data.cache.store import open_cache
from fedcxr.home import home_folder
from fedcxr.inference import Predictor
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.predictions import Predictions, read_prediction_sets, write_predictions
from partitions.plan import read_plan
from partitions.record_table import take
from partitions.table import read_table
from server.evaluate import held_out

SITES_FILE = "site_predictions.npz"


def predict_at_sites(run_folder: Path, partition: Path) -> None:
    """Write what the run's model says of each site's held-out images into the run folder.

    Args:
        run_folder: of a finished run.
        partition: the partition folder whose sites are asked.

    Raises:
        ArtefactError: the run or the partition is damaged.
    """
    model = Predictor.open(run_folder)
    manifest = RunFolder(run_folder).read_json("manifest.json")
    model.threads = manifest["server_threads"]
    cache = open_cache(home_folder() / "cache" / manifest["cache_digest"])
    plan = read_plan(partition)
    found: dict[str, Predictions] = {}
    for site in plan.sites:
        table = read_table(plan.site_csv(site.site_id))
        images = held_out(take(table, table.rows("val")), cache, model.config, model.labels)
        if len(images.rows):
            probs = model.probs_at(images.images, images.rows)
            found[site.site_id] = images.with_probs(model.labels, probs)
    write_predictions(run_folder / SITES_FILE, found, model.config.data.score_by)


def read_site_predictions(run_folder: Path, site_ids: Sequence[str]) -> dict[str, Predictions]:
    """Return what `predict_at_sites` kept, by site; without those that had no held-out image.

    Raises:
        ArtefactError: the file is missing or damaged.
    """
    return read_prediction_sets(run_folder / SITES_FILE, site_ids, all_there=False)[0]
