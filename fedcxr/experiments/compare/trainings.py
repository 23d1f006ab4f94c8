"""Many trainings side by side, each in a process of its own: started, watched, ended.

A training is a simulation in a run folder of its own, so one that stopped goes on from its last
round, and one that is finished is not done again.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcxr.config.arithmetic import only_operates
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import by_key, check_config, read_config
from fedcxr.engines.fork_server import ForkServer, fork_server, kill
from fedcxr.engines.same_code import check_same_code
from fedcxr.errors import ArtefactError, FedCxrError, RunError, some
from fedcxr.experiments.byzantine.hostile_sites import BROKE_OFF, HostileSites
from fedcxr.experiments.compare.arms import Training
from fedcxr.experiments.compare.predict_held_out import (
    SITES_FILE,
    external_file,
    predict_at_sites,
    predict_external,
)
from fedcxr.experiments.simulate import resume, simulate
from fedcxr.interrupts import interrupt, raise_if_interrupted
from fedcxr.runs.folder import RunFolder

_MODULE = "fedcxr.experiments.compare.trainings"
_LOOK_S = 0.5
"""Between two looks at how far the trainings are."""
_END_S = 20.0
"""Longest wait for a training that was told to stop."""
_CODE_S = 10.0
"""Longest wait for the exit code of one whose pipe has ended."""
_ENDING_S = _END_S + 5.0
"""Longest wait for a training of a comparison that was killed; it ends by itself in `_END_S`."""
_OF_THE_COMPARISON = (
    "name",
    "runs_dir",
    "partition.folder",
    "partition.clients",  # a run writes how many sites its plan has
    "engine",
    "compare",
)
"""Keys and sections that a training takes from its comparison, or writes otherwise than asked."""


@dataclass(frozen=True, slots=True)
class TrainingsProgress:
    """What is done of all trainings."""

    images: float
    total_images: int
    trainings: int
    total_trainings: int


@dataclass(slots=True)
class _Running:
    training: Training
    pid: int
    pipe: socket.socket
    answer: bytes = b""


def run_trainings(
    trainings: Sequence[Training],
    *,
    at_once: int,
    on_progress: Callable[[TrainingsProgress], None],
) -> None:
    """Do all trainings, the longest first, and return when all are finished.

    The longest are those whose sites train VAEs, which takes longer than the rounds do.

    Where one fails the others that run go on to their end, and none is started any more.

    Args:
        trainings: what to do; the finished ones are left as they are.
        at_once: how many run side by side.
        on_progress: called every now and then with what is done.

    Raises:
        ArtefactError: a training was begun with another configuration; nothing is started.
        RunError: a training failed; names it, and why.
    """
    for training in trainings:
        _check_unchanged(training)
    left = (training for training in trainings if not is_finished(training))
    todo = deque(sorted(left, key=lambda t: (not t.config.vae.trains, -t.images)))
    running: list[_Running] = []
    failed: list[str] = []
    server = fork_server(_MODULE)
    check_same_code(*(training.config for training in todo))
    try:
        while running or (todo and not failed):
            raise_if_interrupted()
            while todo and len(running) < at_once and not failed:
                running.append(_start(server, todo.popleft()))
            on_progress(progress_of(trainings))
            failed += _collect(server, running)
    except BaseException:
        _stop(server, running)
        raise
    on_progress(progress_of(trainings))
    if failed:
        raise RunError("; ".join(failed))


def is_finished(training: Training) -> bool:
    """Return whether the run folder holds a finished run, scored at every site and elsewhere.

    A training that hostile sites have broken is finished too.
    """
    if (training.folder / BROKE_OFF).is_file():
        return True
    files = [training.folder / SITES_FILE]
    files += [external_file(training.folder, kept) for kept in training.external]
    return _status(training.folder) == "finished" and all(file.is_file() for file in files)


def progress_of(trainings: Sequence[Training]) -> TrainingsProgress:
    """Return what the run folders say of how far the trainings are."""
    done = [_share(training) for training in trainings]
    images = sum(share * training.images for share, training in zip(done, trainings, strict=True))
    finished = sum(map(is_finished, trainings))
    return TrainingsProgress(images, sum(t.images for t in trainings), finished, len(trainings))


def train_one(pipe: socket.socket, text: str) -> None:
    """Do one training in this process, which is there for that only, and ends with its owner.

    Args:
        pipe: takes a JSON object with the error, where there is one; nothing comes from it but
            its end, when the owner is gone.
        text: JSON with the run folder, its configuration, the partition at whose sites it is
            scored, the external sets that it is scored on, its hostile sites, and a file for what
            would be printed.
    """
    order = json.loads(text)
    with Path(order["log"]).open("ab", buffering=0) as log:
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
    # What a script starts in the background ignores Ctrl-C, and hands that down.
    signal.signal(signal.SIGINT, interrupt)
    try:
        watch = threading.Thread(target=_end_with, args=(pipe, threading.get_ident()), daemon=True)
        watch.start()
        hostile = HostileSites.from_json(order["hostile"]) if order["hostile"] else None
        with hostile.noting_end(Path(order["folder"])) if hostile else contextlib.nullcontext():
            _train_or_resume(Path(order["folder"]), order["config"], hostile)
            predict_at_sites(Path(order["folder"]), Path(order["partition"]))
        for kept in order["external"]:
            predict_external(Path(order["folder"]), Path(kept))
    except KeyboardInterrupt:
        os._exit(130)
    except Exception as err:
        said = str(err) if isinstance(err, FedCxrError) else f"{type(err).__name__}: {err}"
        pipe.sendall(json.dumps({"error": said}).encode())
        raise


def _end_with(pipe: socket.socket, thread: int) -> None:
    """Wait for the owner's end, then stop this process as Ctrl-C does, and see that it does."""
    try:
        pipe.recv(1)
    except OSError:
        return  # closed here: the training has ended
    signal.pthread_kill(thread, signal.SIGINT)
    time.sleep(_END_S)
    kill(os.getpid())


def _train_or_resume(
    folder: Path, tree: Mapping[str, Any], hostile: HostileSites | None = None
) -> None:
    if folder.is_dir():
        with RunFolder(folder).lock(wait_s=_ENDING_S):
            finished = _status(folder) == "finished"
            begun = any((folder / "checkpoints").glob("round-*.safetensors"))
            if not finished and not begun:
                # Stopped before its first round. What ends just now removes the same files.
                shutil.rmtree(folder, ignore_errors=True)
        if finished:
            return
        if begun:
            resume(folder, settings=_new_settings(folder, check_config(tree)), tampering=hostile)
            return
    simulate(check_config(tree), folder=folder, tampering=hostile)


def _new_settings(folder: Path, config: ExperimentConfig) -> list[str]:
    """Return as `key=value` texts what of a begun training's operation is another now."""
    then, now = by_key(read_config(folder / "config.yaml")), by_key(config)
    return [
        f"{key}={json.dumps(now.get(key))}"
        for key in sorted(then.keys() | now.keys())
        if only_operates(key) and then.get(key) != now.get(key)
    ]


def _check_unchanged(training: Training) -> None:
    file = training.folder / "config.yaml"
    if not file.is_file():
        return
    then, now = (by_key(config) for config in (read_config(file), training.config))
    changed = [
        f"{key} was {then.get(key)!r}, is {now.get(key)!r}"
        for key in sorted(then.keys() | now.keys())
        if then.get(key) != now.get(key) and not only_operates(key, _OF_THE_COMPARISON)
    ]
    if changed:
        raise ArtefactError(
            f"{file}: {training.name} was begun with another configuration than the comparison "
            f"has now: {some(changed)}. Put the comparison's config.yaml back as it was (or the "
            "file of your own arm in arms/), or start a new comparison."
        )


def _status(folder: Path) -> str | None:
    manifest = folder / "manifest.json"
    return str(json.loads(manifest.read_text("utf-8"))["status"]) if manifest.is_file() else None


def _start(server: ForkServer, training: Training) -> _Running:
    ours, theirs = socket.socketpair()
    logs = training.folder.parent / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    order = {
        "folder": str(training.folder.absolute()),
        "config": training.config.model_dump(mode="json"),
        "partition": str(training.federation.absolute()),
        "external": [str(kept.absolute()) for kept in training.external],
        "hostile": training.hostile.to_json() if training.hostile else None,
        "log": str((logs / f"{training.name}.log").absolute()),
    }
    with theirs:
        pid = server.fork(theirs, f"{_MODULE}:train_one", json.dumps(order))
    return _Running(training, pid, ours)


def _collect(server: ForkServer, running: list[_Running]) -> list[str]:
    """Wait a moment; take the ended ones out and return what went wrong with them."""
    ready, _, _ = select.select([one.pipe for one in running], [], [], _LOOK_S)
    failed = []
    for one in [one for one in running if one.pipe in ready]:
        more = one.pipe.recv(2**16)
        one.answer += more
        if more:
            continue
        running.remove(one)
        one.pipe.close()
        code = server.exit_code(one.pid, _CODE_S)
        if code != 0:
            failed.append(_reason(one, code))
    return failed


def _reason(one: _Running, code: int | None) -> str:
    log = one.training.folder.parent / "logs" / f"{one.training.name}.log"
    try:
        said = str(json.loads(one.answer)["error"])
    except ValueError:
        killed = f"was killed (signal {-code})" if code is not None and code < 0 else "broke off"
        said = f"its process {killed}; see {log}"
    return f"{one.training.name}: {said}"


def _stop(server: ForkServer, running: Sequence[_Running]) -> None:
    """Tell trainings to stop as Ctrl-C does, and see that they do."""
    for one in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.pid, signal.SIGINT)
    end = time.monotonic() + _END_S
    for one in running:
        if server.exit_code(one.pid, max(0.1, end - time.monotonic())) is None:
            kill(one.pid)
            server.exit_code(one.pid, _CODE_S)
        one.pipe.close()


def _share(training: Training) -> float:
    log = training.folder / "rounds.jsonl"
    if not log.is_file():
        return 0.0
    lines = log.read_bytes().count(b"\n")
    return max(0, lines - 1) / training.config.server.rounds  # the first line is of round 0
