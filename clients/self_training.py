"""Uncertain labels filled by a first model: predicted once at the site, kept there, never sent.

For the rounds up to `self_train_after` the uncertain labels under `self_trained` are unknown. In
the first round after that in which a site takes part, it predicts its own of them with the
parameters it has just been given, and trains with these probabilities as soft targets from then on.
The file lies in the site's state folder, under the run, and says which round made it: an order for
that round or an earlier one (the server went back after a crash) predicts anew, from the same
parameters to the same bits.

Source: Irvin et al. 2019, "CheXpert", §3.1 (U-SelfTrained). Deviation: there a second model is
trained from the start on what the first, trained to convergence, has filled in; here the rounds go
on from the first model, which is as far as `self_train_after` rounds brought it.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from clients.resident_model import Worker
from clients.site import Site, SiteLocation
from fedcxr.config.task import SiteTask
from fedcxr.errors import ArtefactError, RunError
from fedcxr.tensor_file import read_tensor_file, write_tensor_file
from fedcxr.training.predict import predict
from fedcxr.training.transforms import Normalization
from fedcxr.wire import Order

FILE = "self-trained.safetensors"


def filled_target(
    location: SiteLocation, site: Site, task: SiteTask, order: Order, worker: Worker
) -> NDArray[np.float32]:
    """Return the (N, L) training targets of this round, a first model's predictions among them.

    The worker's model must hold what the site starts the round from; it is only read.

    Raises:
        RunError: the model's predictions are not finite.
        ArtefactError: the kept predictions are damaged, or of other images or labels.
    """
    asked = site.unfilled
    if not len(asked.rows) or order.round_num <= task.policy.self_train_after:
        return site.train.target
    file = location.state / task.run / FILE
    kept = _read(file, asked.digest, before=order.round_num)
    if kept is None:
        kept = _predict(site, task, worker)
        _write(file, kept, asked.digest, order.round_num)
    target = site.train.target.copy()  # the site's own is shared by all rounds of this process
    target[asked.rows, asked.columns] = kept
    return target


def _predict(site: Site, task: SiteTask, worker: Worker) -> NDArray[np.float32]:
    """Return the (K,) probabilities of the entries to fill."""
    images, row_of = np.unique(site.unfilled.rows, return_inverse=True)
    probs = predict(
        worker.model,
        site.images,
        site.train.rows[images],
        batch_size=task.train.batch_size,
        normalization=Normalization(task.train.normalization, task.train.mean, task.train.std),
        precision=worker.precision,
        device=worker.device,
        num_labels=len(task.labels),
    )
    found: NDArray[np.float32] = probs[row_of, site.unfilled.columns]
    if not np.isfinite(found).all():
        raise RunError("the first model's predictions are not finite; lower train.learning_rate")
    return found


def _read(file: Path, digest: str, *, before: int) -> NDArray[np.float32] | None:
    """Return the (K,) probabilities that a round before `before` made, None if none did."""
    if not file.is_file():
        return None
    tensors, metadata = read_tensor_file(file)
    probs = tensors["probs"].numpy() if "probs" in tensors else np.empty(0, np.float32)
    made_in = metadata.get("round", "")
    if not made_in.isdecimal() or metadata.get("sha256") != _checksum(probs, made_in):
        raise ArtefactError(f"{file}: damaged. Delete it to predict the uncertain labels anew.")
    if int(made_in) >= before:
        return None
    if metadata.get("entries") != digest:
        raise ArtefactError(
            f"{file}: made for other images or labels than the site has now. "
            "Give the site back its data, or start the run anew."
        )
    kept: NDArray[np.float32] = probs
    return kept


def _write(file: Path, probs: NDArray[np.float32], digest: str, round_num: int) -> None:
    made_in = str(round_num)
    about = {"round": made_in, "entries": digest, "sha256": _checksum(probs, made_in)}
    write_tensor_file(file, {"probs": torch.from_numpy(probs)}, about)


def _checksum(probs: NDArray[np.float32], made_in: str) -> str:
    values = np.ascontiguousarray(probs, dtype="<f4").tobytes()
    return hashlib.sha256(made_in.encode() + b"\0" + values).hexdigest()
