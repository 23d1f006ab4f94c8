"""What a site reports of a model on its own validation patients, and of its own pixels."""

import math

import numpy as np
from numpy.typing import NDArray

from clients.memory import memory_of
from clients.resident_model import Worker
from clients.site import Site, SiteLocation
from clients.train import sent_parameters, start_from
from fedcxr.config.task import SiteTask
from fedcxr.metrics.auroc import macro, score_labels
from fedcxr.metrics.curves import bce
from fedcxr.parameters import load_into
from fedcxr.schema import KNOWN, POSITIVE
from fedcxr.training.batches import pixel_moments
from fedcxr.training.predict import predict
from fedcxr.training.transforms import Normalization
from fedcxr.vectors import Vectors
from fedcxr.wire import Order


def evaluate_order(
    location: SiteLocation,
    site: Site,
    task: SiteTask,
    order: Order,
    *,
    vectors: Vectors,
    worker: Worker,
) -> dict[str, float]:
    """Return the site's loss and macro AUROC on its val images; what is not defined is left out.

    What is private to the site is its own, of this round or before.
    """
    if len(site.val.rows) == 0:
        return {"num-examples": 0}
    memory = memory_of(location.state, task.run, order.round_num + 1)
    start = start_from(memory, worker.schema(task), order, sent_parameters(vectors))
    load_into(worker.model, worker.spec, start)
    probs = predict(
        worker.model,
        site.images,
        site.val.rows,
        batch_size=task.train.batch_size,
        normalization=Normalization(task.train.normalization, task.train.mean, task.train.std),
        precision=worker.precision,
        device=worker.device,
        num_labels=len(task.labels),
    )
    numbers = {"num-examples": float(len(site.val.rows))}
    loss = bce(site.val.target, probs)
    if math.isfinite(loss):  # nan where no val label is known; a bare nan may not leave the site
        numbers["val-loss"] = loss
    value, defined = macro(score_labels(site.val.target, probs, task.labels))
    if value is not None:
        numbers |= {"val-macro-auroc": value, "val-labels": float(defined)}
    return numbers


def site_counts(site: Site) -> dict[str, float]:
    """Return the numbers of a site's card: patients and images."""
    return {
        "num-patients": site.num_patients,
        "num-train": len(site.train.rows),
        "num-val": len(site.val.rows),
    }


def site_frequencies(site: Site) -> dict[str, NDArray[np.float64]]:
    """Return by label how many training targets are known, and their sum; soft ones in part."""
    target = site.train.target
    known = (~np.isnan(target)).sum(axis=0, dtype=np.float64)
    return {KNOWN: known, POSITIVE: np.nansum(target, axis=0, dtype=np.float64)}


def site_moments(site: Site) -> dict[str, float]:
    """Return the count, sum and sum of squares of the training pixels, in [0, 1]."""
    count, total, squares = pixel_moments(site.images, site.train.rows)
    return {"pixel-count": count, "pixel-sum": total, "pixel-sum-of-squares": squares}
