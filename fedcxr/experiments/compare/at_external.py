"""A finished run's model on the images of data sets from elsewhere, kept in its run folder.

One file a set, `external/<name>.npz`, with all labels of the run; the truth of those that the set
lacks is unknown.
"""

from pathlib import Path

from fedcxr.data.cache.store import open_cache
from fedcxr.experiments.compare.external_sets import EXTERNAL, IMAGES_CSV, read_kept
from fedcxr.home import home_folder
from fedcxr.inference import Predictor
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.predictions import write_predictions
from partitions.table import read_table
from server.evaluate import held_out


def predict_external(run_folder: Path, kept: Path) -> None:
    """Write what the run's model says of an external set's images into the run folder.

    Args:
        run_folder: of a finished run.
        kept: the set's folder in the comparison.

    Raises:
        ArtefactError: the run, the set or the cache of its images is damaged.
    """
    model = Predictor.open(run_folder)
    model.threads = RunFolder(run_folder).read_json("manifest.json")["server_threads"]
    cache = open_cache(home_folder() / "cache" / read_kept(kept).cache_digest)
    images = held_out(read_table(kept / IMAGES_CSV), cache, model.config, model.labels)
    probs = model.probs_at(images.images, images.rows)
    file = external_file(run_folder, kept)
    file.parent.mkdir(exist_ok=True)
    found = {"test": images.with_probs(model.labels, probs)}
    write_predictions(file, found, model.config.data.score_by)


def external_file(run_folder: Path, kept: Path) -> Path:
    """Return the file of a run's predictions of an external set, by the set's folder."""
    return run_folder / EXTERNAL / f"{kept.name}.npz"
