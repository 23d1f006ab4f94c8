"""The global model of a finished run, scored on another data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.cache.images import cache_of
from fedcxr.data.read import read_dataset
from fedcxr.data.readers.join import in_the_words_of
from fedcxr.data.records import DataSet
from fedcxr.data.tokens import Tokens, load_key
from fedcxr.errors import ConfigError, DataError, some
from fedcxr.experiments.known_patients import known_patients
from fedcxr.filenames import shortened
from fedcxr.inference import Predictor
from fedcxr.metrics.run_scores import score_run
from fedcxr.metrics.studies import units_of
from fedcxr.runs.folder import RunFolder
from partitions.plan import tokenise
from server.evaluate import HeldOut, held_out, scored
from server.finish import score_table


def evaluate_run(
    path: Path,
    data: Path,
    *,
    split: str = "test",
    other_patients: bool = False,
    follow_links: bool = False,
) -> dict[str, Any]:
    """Return the scores of a run's model on another data set, and keep them in the run folder.

    Images of patients that the run trained or chose its round on are left out. Where these patients
    cannot be recognised the user must say that the data are of others.

    Args:
        path: the run folder.
        data: a data set in any layout that fedcxr reads; the labels that both know are scored.
        split: `test` or `all`; without official test images it is all, and the scores say so.
        other_patients: the user's word that none of the data's patients was in the run.
        follow_links: let links lead out of the data set's folder.

    Raises:
        ArtefactError: the run's patients cannot be recognised, nor are these said to be others.
        DataError: the data set and the model have no label in common, or no image is left.
    """
    if split not in ("test", "all"):
        raise ConfigError(f"--split {split}: expected test or all.")
    run, model = RunFolder.open(path), Predictor.open(path)
    own = model.config.data
    dataset = read_dataset(data, views=own.views, task=own.task, follow_links=follow_links)
    dataset, split = of_split(in_the_words_of(model.labels, dataset), split)
    shared = shared_labels(model.labels, dataset)
    known = known_patients(path)
    if not other_patients:
        known.demand_all(path)
    tokens = Tokens(known.key or load_key())
    fresh = known.without_them(dataset)
    if not fresh.records:
        raise DataError(
            f"{data}: no image is left; {len(dataset.records)} are of patients that the run "
            "trained or chose its round on. Try --split all or --views all."
        )
    images, cache_digest = _decoded(model, fresh, tokens, shared)
    columns = [model.labels.index(label) for label in shared]
    probs = model.probs_at(images.images, images.rows)[:, columns]
    scores = {
        "data": dataset.root.name,
        "split": split,
        "left_out_images": len(dataset.records) - len(fresh.records),
        "patients": {**known.to_json(), "said_to_be_others": other_patients},
        "run": run.name,
        **_scores(model, images, probs, shared),
    }
    (path / "evaluations").mkdir(exist_ok=True)
    name = f"{shortened(dataset.root.name, 200)}-{split}-{cache_digest[:8]}.json"
    run.write_json(f"evaluations/{name}", scores)
    return scores


def of_split(dataset: DataSet, split: str) -> tuple[DataSet, str]:
    """Return the images to score and what they are: without official test images all of them."""
    chosen = dataset.where(lambda record: record.split == "test")
    if split == "test" and chosen.records:
        return chosen, "test"
    return dataset, "all"


def shared_labels(labels: Sequence[str], dataset: DataSet) -> list[str]:
    """Return those of a model's labels that a data set has.

    Args:
        labels: the model's.
        dataset: in the model's words (see `in_the_words_of`).

    Raises:
        DataError: there is none.
    """
    shared = [label for label in labels if label in dataset.labels]
    if not shared:
        raise DataError(
            f"{dataset.root}: none of the model's labels ({some(list(labels))}) "
            f"is among its labels ({some(list(dataset.labels))})."
        )
    return shared


def _decoded(
    model: Predictor, dataset: DataSet, tokens: Tokens, labels: list[str]
) -> tuple[HeldOut, str]:
    """Return the images of a data set with their truth, and the digest of their cache."""
    cache = cache_of(
        dataset,
        tokens,
        size_px=model.config.model.image_size,
        max_bad_fraction=model.config.data.max_bad_fraction,
    )
    table = tokenise(dataset, tokens, ["test"] * len(dataset.records))
    return held_out(table, cache, model.config, labels), cache.digest


def _scores(
    model: Predictor, images: HeldOut, probs: NDArray[np.float32], labels: list[str]
) -> dict[str, Any]:
    target, scored_probs, patients = scored(model.config, images, probs)
    units = units_of(model.config.data.score_by)
    return {
        **score_table(score_run(target, scored_probs, labels, patients, units=units)),
        "score_by": model.config.data.score_by,
        "test_images": len(images.rows),
        "test_patients": len(set(images.patient_id.tolist())),
        "not_scored": [label for label in model.labels if label not in labels],
    }
