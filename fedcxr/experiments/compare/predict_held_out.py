"""A finished training's model on other held-out images than its own, kept in its run folder.

`site_predictions.npz`: each site's validation patients; nothing was trained on them, and no round,
threshold or rate was chosen by them. `external/<name>.npz`: a data set from elsewhere, with all
labels of the run; the truth of those that the set lacks is unknown.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fedcxr.data.cache.store import open_cache
from fedcxr.data.records import RecordTable
from fedcxr.experiments.compare.external_sets import EXTERNAL, IMAGES_CSV, read_kept
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
        ArtefactError: the run, the partition or the cache is damaged.
    """
    manifest = RunFolder(run_folder).read_json("manifest.json")
    plan = read_plan(partition)
    tables = {site.site_id: read_table(plan.site_csv(site.site_id)) for site in plan.sites}
    own = {site_id: take(table, table.rows("val")) for site_id, table in tables.items()}
    _predict(run_folder, own, manifest["cache_digest"], run_folder / SITES_FILE)


def predict_external(run_folder: Path, kept: Path) -> None:
    """Write what the run's model says of an external set's images into the run folder.

    Args:
        run_folder: of a finished run.
        kept: the set's folder in the comparison.

    Raises:
        ArtefactError: the run, the set or the cache of its images is damaged.
    """
    file = external_file(run_folder, kept)
    file.parent.mkdir(exist_ok=True)
    images = read_table(kept / IMAGES_CSV)
    _predict(run_folder, {"test": images}, read_kept(kept).cache_digest, file)


def external_file(run_folder: Path, kept: Path) -> Path:
    """Return the file of a run's predictions of an external set, by the set's folder."""
    return run_folder / EXTERNAL / f"{kept.name}.npz"


def read_site_predictions(run_folder: Path, site_ids: Sequence[str]) -> dict[str, Predictions]:
    """Return what `predict_at_sites` kept, by site; without those that had no held-out image.

    Raises:
        ArtefactError: the file is missing or damaged.
    """
    return read_prediction_sets(run_folder / SITES_FILE, site_ids, all_there=False)[0]


def _predict(
    run_folder: Path, tables: Mapping[str, RecordTable], cache_digest: str, file: Path
) -> None:
    """Write the predictions of each table's images, but for tables without any."""
    model = Predictor.open(run_folder)
    model.threads = RunFolder(run_folder).read_json("manifest.json")["server_threads"]
    cache = open_cache(home_folder() / "cache" / cache_digest)
    found: dict[str, Predictions] = {}
    for name, table in tables.items():
        images = held_out(table, cache, model.config, model.labels)
        if len(images.rows):
            probs = model.probs_at(images.images, images.rows)
            found[name] = images.with_probs(model.labels, probs)
    write_predictions(file, found, model.config.data.score_by)
