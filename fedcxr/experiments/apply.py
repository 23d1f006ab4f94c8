"""Using the global model of a finished run: on another data set, or on single images."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.atomic import write_text_atomically
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import read_config
from fedcxr.cores import cores
from fedcxr.data.cache.images import cache_of
from fedcxr.data.images.decode import decode
from fedcxr.data.read import read_dataset
from fedcxr.data.readers.join import in_the_words_of, names_of_patient
from fedcxr.data.records import DataSet
from fedcxr.data.tokens import SYNTHETIC_KEY, Tokens, load_key
from fedcxr.errors import ConfigError, DataError, ImageError, some
from fedcxr.explain.overlay import write_overlay
from fedcxr.metrics.bootstrap import bootstrap_auroc
from fedcxr.runs.folder import RunFolder
from fedcxr.seeding import derive_seed
from fedcxr.training.device import resolve_device
from fedcxr.training.precision import Precision
from partitions.plan import read_plan, tokenise
from partitions.table import read_table
from server.checkpoint import checkpoint_file, read_checkpoint
from server.evaluate import GlobalModel, HeldOut, held_out, scored
from server.explain import heat_maps
from server.finish import score_table


@dataclass(frozen=True, slots=True)
class LoadedRun:
    """A finished run's model and what it was trained for."""

    run: RunFolder
    config: ExperimentConfig
    model: GlobalModel


def load_run(path: Path) -> LoadedRun:
    """Return the global model of a finished run, of its best round.

    Raises:
        ArtefactError: not a run, not finished, or its checkpoint is damaged.
    """
    run = RunFolder.open(path)
    manifest, summary = run.read_json("manifest.json"), run.read_json("summary.json")
    config = read_config(path / "config.yaml")
    stored = manifest["precision"]
    precision = Precision(stored["dtype"], stored["channels_last"], stored["why"])
    # The weights come from the checkpoint; the file or download they began with is not needed.
    config = config.model_copy(
        update={
            "model": config.model.model_copy(update={"weights": "none"}),
            "train": config.train.model_copy(
                update={key: manifest["normalization"][key] for key in ("mean", "std")}
            ),
        }
    )
    model = GlobalModel(
        config,
        manifest["labels"],
        precision=precision,
        device=resolve_device(config.engine.device),
        threads=cores(),
    )
    file = checkpoint_file(path / "checkpoints", summary["best_round"])
    model.load(read_checkpoint(file, model.spec, manifest["config_digest"]).parameters)
    return LoadedRun(run, config, model)


def evaluate_run(
    path: Path, data: Path, *, split: str = "test", follow_links: bool = False
) -> dict[str, Any]:
    """Return the scores of a run's model on another data set, and keep them in the run folder.

    Args:
        path: the run folder.
        data: a data set in any layout that fedcxr reads; the labels that both know are scored.
        split: `test` or `all`; where there are no official test images, `test` is all, and the
            scores say so.
        follow_links: let links lead out of the data set's folder.

    Raises:
        DataError: the data set and the model have no label in common, or no image is left.
    """
    if split not in ("test", "all"):
        raise ConfigError(f"--split {split}: expected test or all.")
    loaded = load_run(path)
    dataset = read_dataset(data, views=loaded.config.data.views, follow_links=follow_links)
    dataset = in_the_words_of(loaded.model.labels, dataset)
    dataset, split = _of_split(dataset, split)
    shared = [label for label in loaded.model.labels if label in dataset.labels]
    if not shared:
        raise DataError(
            f"{data}: none of the model's labels ({some(list(loaded.model.labels))}) "
            f"is among its labels ({some(list(dataset.labels))})."
        )
    key, known = _key_and_patients(loaded)
    tokens = Tokens(key)
    strangers = _strangers(dataset, tokens, known)
    fresh = dataset.where(lambda record: record.patient_id in strangers)
    cache = cache_of(
        fresh,
        tokens,
        size_px=loaded.config.model.image_size,
        max_bad_fraction=loaded.config.data.max_bad_fraction,
    )
    table = tokenise(fresh, tokens, ["test"] * len(fresh.records))
    images = held_out(table, cache, loaded.config, shared)
    if len(images.rows) == 0:
        raise DataError(
            f"{data}: no image is left; {len(dataset.records) - len(fresh.records)} are of "
            "patients that the run trained or chose its round on. Try --split all or --views all."
        )
    columns = [loaded.model.labels.index(label) for label in shared]
    probs = loaded.model.predict(images)[:, columns]
    scores = _scores(loaded, images, probs, shared)
    scores = {
        "data": dataset.root.name,
        "split": split,
        "left_out_images": len(dataset.records) - len(fresh.records),
        **scores,
    }
    (path / "evaluations").mkdir(exist_ok=True)
    loaded.run.write_json(
        f"evaluations/{dataset.root.name}-{split}-{cache.digest[:8]}.json", scores
    )
    return scores


def predict_images(path: Path, images: list[Path], out: Path, *, label: str | None = None) -> Path:
    """Write `predictions.csv` (probabilities by label) and a Grad-CAM overlay of each image.

    Raises:
        ConfigError: an unknown label.
        ImageError: an image that cannot be decoded; nothing is written then.
    """
    loaded = load_run(path)
    labels = loaded.model.labels
    if label is not None and label not in labels:
        raise ConfigError(f"--label {label}: the model has {', '.join(labels)}.")
    pixels = np.stack([_decode(image, loaded.config.model.image_size) for image in images])
    names = np.array([str(image) for image in images])
    data = HeldOut(
        pixels,
        np.arange(len(images)),
        np.full((len(images), len(labels)), np.nan, np.float32),
        names,
        names,
        names,
    )
    probs = loaded.model.predict(data)
    chosen = [labels.index(label) if label else int(row.argmax()) for row in probs]
    heat = heat_maps(loaded.model, data, range(len(images)), chosen)
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for number, (image, column) in enumerate(zip(images, chosen, strict=True)):
        file = out / f"{number + 1:03d}-{image.stem}.png"
        title = f"{labels[column]}: p = {probs[number, column]:.2f}"
        write_overlay(file, pixels[number], heat[number], title=title, box=None)
        files.append(file.name)
    write_text_atomically(out / "predictions.csv", _csv(names, probs, labels, chosen, files))
    return out / "predictions.csv"


def _key_and_patients(loaded: LoadedRun) -> tuple[bytes, set[str]]:
    """Return the key of the run's tokens and the patients it learned from or chose its round on.

    Its test patients are not among them. With a key lost, nobody can be recognised: then the set is
    of tokens that match nothing, and the caller's count of those left out is 0.
    """
    plan = read_plan(loaded.run.path / "partition")
    synthetic = Tokens(SYNTHETIC_KEY).fingerprint == plan.key_fingerprint
    files = [plan.val_csv, *(plan.site_csv(site.site_id) for site in plan.sites)]
    known = {patient for file in files if file.exists() for patient in read_table(file).patient_id}
    return SYNTHETIC_KEY if synthetic else load_key(), known


def _of_split(dataset: DataSet, split: str) -> tuple[DataSet, str]:
    """Return the images to score and what they are: without official test images all of them."""
    chosen = dataset.where(lambda record: record.split == "test")
    if split == "test" and chosen.records:
        return chosen, "test"
    return dataset, "all"


def _strangers(dataset: DataSet, tokens: Tokens, known: set[str]) -> set[str]:
    """Return the patients of a data set of whom none of the `known` tokens is."""
    one_record = {record.patient_id: record for record in dataset.records}
    return {
        patient_id
        for patient_id, record in one_record.items()
        if not any(tokens.patient(name) in known for name in names_of_patient(record))
    }


def _scores(
    loaded: LoadedRun, images: HeldOut, probs: NDArray[np.float32], labels: list[str]
) -> dict[str, Any]:
    target, scored_probs, patients = scored(loaded.config, images, probs)
    result = bootstrap_auroc(
        target,
        scored_probs,
        labels,
        patients,
        resamples=loaded.config.server.bootstrap,
        seed=derive_seed(loaded.config.seed, "bootstrap"),
    )
    return {
        "run": loaded.run.name,
        **score_table(result),
        "score_by": loaded.config.data.score_by,
        "test_images": len(images.rows),
        "test_patients": len(set(images.patient_id.tolist())),
        "not_scored": [label for label in loaded.model.labels if label not in labels],
    }


def _decode(image: Path, size_px: int) -> NDArray[np.uint8]:
    try:
        return decode(image, size_px)
    except ImageError as err:
        raise ImageError(f"{image}: {err}") from err


def _csv(
    names: NDArray[np.str_],
    probs: NDArray[np.float32],
    labels: tuple[str, ...],
    chosen: list[int],
    files: list[str],
) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["image", *labels, "gradcam_label", "gradcam_file"])
    for name, row, column, file in zip(names, probs, chosen, files, strict=True):
        writer.writerow([name, *(f"{p:.6f}" for p in row), labels[column], file])
    return buffer.getvalue()
