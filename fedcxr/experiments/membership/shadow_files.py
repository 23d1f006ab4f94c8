"""Shadow models of a run, trained once: what each says of all patients is kept in a file.

One that is there is not trained again, so more of them, or a stopped attack, go on where it was.
What they are taught follows from their number alone, not from how many there are.
"""

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fedcxr.attacks.shadows import taught, train_shadow
from fedcxr.attacks.signals import Answers, References
from fedcxr.cores import cores
from fedcxr.errors import ArtefactError, RunError
from fedcxr.experiments.membership.attacked_run import Attacked
from fedcxr.tensor_file import read_tensor_file, write_tensor_file
from fedcxr.training.pool import ImagePool

MOST = 1024
SHADOWS = "shadows"
OnProgress = Callable[[int, int], None]


def references(
    attacked: Attacked, number: int, folder: Path, on_progress: OnProgress
) -> tuple[References, NDArray[np.bool_]]:
    """Return what so many shadow models say, training those that are not there yet.

    Args:
        attacked: the run.
        number: of shadow models.
        folder: of their files.
        on_progress: told how many are there, of how many.

    Returns:
        Their answers, and (K, P) whom each was taught.

    Raises:
        ArtefactError: a file is damaged, or of another population or training.
        RunError: a training broke off.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digest, population = attacked.made_of(), attacked.population
    left = [model for model in range(number) if not shadow_file(folder, model).is_file()]
    on_progress(number - len(left), number)
    _train_all(attacked, left, folder, lambda done: on_progress(number - len(left) + done, number))
    found = []
    for model in range(number):
        probs = _read(shadow_file(folder, model), digest)
        found.append(Answers.of(probs, population.target))
    seed = attacked.model.config.seed
    inside = np.array([taught(population.num_patients, n, seed) for n in range(number)])
    return References.of(found, inside[:, population.patient]), inside


def shadow_file(folder: Path, model: int) -> Path:
    """Return the file of a shadow model's answers."""
    return folder / f"shadow-{model:04d}.safetensors"


def make_shadow(run: str, model: int, out: str, threads: int) -> None:
    """Train one shadow model and write what it says; in whichever process."""
    attacked = _opened(run)
    _make(attacked, model, Path(out), threads)


@lru_cache(maxsize=1)
def _opened(run: str) -> Attacked:
    """Return the run, kept by the process: it trains several."""
    return Attacked.open(Path(run))


def _make(attacked: Attacked, model: int, folder: Path, threads: int) -> None:
    population = attacked.population
    own = taught(population.num_patients, model, attacked.model.config.seed)[population.patient]
    pool = ImagePool.of(population.images, population.rows[own], population.target[own])
    shadow = train_shadow(attacked.model, pool, model, rates=attacked.rates, threads=threads)
    probs = torch.from_numpy(attacked.probs_of(shadow))
    metadata = {"made_of": attacked.made_of(), "model": str(model)}
    write_tensor_file(shadow_file(folder, model), {"probs": probs}, metadata)


def _train_all(
    attacked: Attacked, left: Sequence[int], folder: Path, on_done: Callable[[int], None]
) -> None:
    """Train these models, as many at once as there are cores, each on one thread."""
    on_gpu = attacked.model.device != "cpu"
    workers = 1 if on_gpu else min(cores(), len(left))
    if workers < 2:
        for done, model in enumerate(left, start=1):
            _make(attacked, model, folder, 1)
            on_done(done)
        return
    pool = ProcessPoolExecutor(
        workers,
        mp_context=get_context("spawn"),
        initializer=signal.signal,  # Ctrl-C ends them at once; what they finished is kept
        initargs=(signal.SIGINT, signal.SIG_DFL),
    )
    places = str(attacked.folder.absolute()), str(folder.absolute())
    try:
        jobs = [pool.submit(make_shadow, places[0], model, places[1], 1) for model in left]
        for done, job in enumerate(as_completed(jobs), start=1):
            job.result()
            on_done(done)
    except BrokenProcessPool as err:
        raise RunError(
            "The process of a shadow model was killed, perhaps for want of memory. Those that are "
            "finished are kept: run the same command again."
        ) from err
    finally:
        pool.shutdown(cancel_futures=True)


def _read(file: Path, digest: str) -> NDArray[np.float32]:
    tensors, metadata = read_tensor_file(file)
    if metadata.get("made_of") != digest or "probs" not in tensors:
        raise ArtefactError(
            f"{file}: of another run, or of another training of this one. Delete {file.parent} to "
            "train its models anew."
        )
    probs: NDArray[np.float32] = tensors["probs"].numpy()
    return probs
