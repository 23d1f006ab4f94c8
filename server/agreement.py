"""What follows from all sites' cards together: settled once, for the whole run."""

import dataclasses
import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fedcxr.errors import RunError, some
from fedcxr.runs.versions import code_digest
from fedcxr.schema import KNOWN, POSITIVE
from fedcxr.training.choices import own_entries
from server.job import Job
from server.roster import Card

log = logging.getLogger(__name__)


def with_agreement(job: Job, cards: Mapping[str, Card]) -> Job:
    """Return the job with what follows from all sites' cards; a run that goes on has it already."""
    train = job.config.train
    agreed: dict[str, Any] = {}
    if job.resume:
        manifest = job.run.read_json("manifest.json")
        if train.normalization == "pooled":
            agreed |= {key: manifest["normalization"][key] for key in ("mean", "std")}
        if train.class_frequencies == "shared":
            agreed["positive_share"] = tuple(manifest["positive_share"][x] for x in job.labels)
        if not agreed:
            return job
        config = job.config.model_copy(update={"train": train.model_copy(update=agreed)})
        return dataclasses.replace(job, config=config)
    if train.normalization == "pooled":
        job = with_pooled_moments(job, cards)
    if train.class_frequencies == "shared":
        job = with_shared_frequencies(job, cards)
    return job


def with_pooled_moments(job: Job, cards: Mapping[str, Card]) -> Job:
    """Return the job with mean and deviation over all sites' training pixels, by count.

    Raises:
        RunError: the sites have no training pixels.
    """
    count, total, squares = (
        math.fsum(card.numbers.get(key, 0.0) for card in cards.values())
        for key in ("pixel-count", "pixel-sum", "pixel-sum-of-squares")
    )
    if count <= 0:
        raise RunError(
            "No site has training pixels to pool a mean over. Use train.normalization=preset."
        )
    mean = total / count
    std = max(math.sqrt(max(squares / count - mean * mean, 0.0)), 1e-3)
    train = job.config.train.model_copy(update={"mean": mean, "std": std})
    return dataclasses.replace(job, config=job.config.model_copy(update={"train": train}))


def with_shared_frequencies(job: Job, cards: Mapping[str, Card]) -> Job:
    """Return the job with how often each label is positive over all sites' known targets.

    A label that no site knows has the share 0.
    """
    known = np.sum([card.vectors[KNOWN] for card in cards.values()], axis=0)
    positive = np.sum([card.vectors[POSITIVE] for card in cards.values()], axis=0)
    shares = tuple((positive / np.maximum(known, 1)).tolist())
    train = job.config.train.model_copy(update={"positive_share": shares})
    return dataclasses.replace(job, config=job.config.model_copy(update={"train": train}))


def note_agreement(job: Job, cards: Mapping[str, Card]) -> None:
    """Write what the sites agreed on into the manifest, and who runs other code."""
    train = job.config.train
    own = own_entries(job.config.model, train, job.config.algorithm)
    ours = code_digest(tuple(own.values()))
    other = sorted(s for s, card in cards.items() if card.texts.get("code-digest") != ours)
    job.run.update_manifest(
        normalization={"kind": train.normalization, "mean": train.mean, "std": train.std},
        sites_with_other_code=other,
        positive_share=dict(zip(job.labels, train.positive_share, strict=False)) or None,
    )
    if other:
        log.warning("these sites run other code than the server: %s", some(other))
