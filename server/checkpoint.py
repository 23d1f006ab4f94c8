"""A checkpoint after every round, from which a run goes on to the same bits.

All randomness is derived from names (seed, site, round), so the state of a run is its parameters,
its round and which round was best; there is no generator to save. The newest two rounds and the
best one are kept.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcxr.errors import ArtefactError
from fedcxr.parameters import (
    Parameters,
    ParameterSpec,
    describe_difference,
    load_parameters,
    save_parameters,
)

KEPT = 2


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a run after a round."""

    round_num: int
    parameters: Parameters
    best_round: int
    best_auroc: float | None
    line: dict[str, Any]
    """The round's line of rounds.jsonl, so that a crash between the two writes loses nothing."""


def write_checkpoint(
    folder: Path, checkpoint: Checkpoint, spec: ParameterSpec, config_digest: str
) -> Path:
    """Write a checkpoint atomically and drop those no longer needed; return its file."""
    state = {
        "round": checkpoint.round_num,
        "best_round": checkpoint.best_round,
        "best_auroc": checkpoint.best_auroc,
        "line": checkpoint.line,
    }
    file = checkpoint_file(folder, checkpoint.round_num)
    save_parameters(
        file,
        checkpoint.parameters,
        spec,
        {"config_digest": config_digest, "state": json.dumps(state)},
    )
    rounds = checkpoint_rounds(folder)
    for old in set(rounds[:-KEPT]) - {checkpoint.best_round}:
        checkpoint_file(folder, old).unlink(missing_ok=True)
    return file


def read_checkpoint(file: Path, spec: ParameterSpec, config_digest: str | None) -> Checkpoint:
    """Return a checkpoint.

    Args:
        file: the checkpoint.
        spec: the layout of the model that will take it.
        config_digest: of the run that goes on; None = any run's (evaluate, predict).

    Raises:
        ArtefactError: damaged, of another model or label list, or of another configuration.
    """
    parameters, metadata = load_parameters(file)
    theirs = ParameterSpec.from_json(metadata["fedcxr.spec"])
    if theirs.digest != spec.digest:
        raise ArtefactError(
            f"{file}: made for another model or label list: {describe_difference(spec, theirs)}."
        )
    if config_digest is not None and metadata.get("config_digest") != config_digest:
        raise ArtefactError(
            f"{file}: made under another configuration "
            f"(digest {metadata.get('config_digest', '')[:12]}, the run's is "
            f"{config_digest[:12]}); config.yaml was changed after the run began."
        )
    try:
        state = json.loads(metadata["state"])
        return Checkpoint(
            state["round"], parameters, state["best_round"], state["best_auroc"], state["line"]
        )
    except (KeyError, json.JSONDecodeError) as err:
        raise ArtefactError(f"{file}: not a checkpoint of a run. Use an earlier one.") from err


def newest_checkpoint(folder: Path, spec: ParameterSpec, config_digest: str) -> Checkpoint:
    """Return the newest checkpoint of a run.

    Raises:
        ArtefactError: there is none, or the newest is damaged; the message names the one before.
    """
    rounds = checkpoint_rounds(folder)
    if not rounds:
        raise ArtefactError(
            f"{folder}: no checkpoint, so there is nothing to go on from. Start the run again."
        )
    file = checkpoint_file(folder, rounds[-1])
    try:
        load_parameters(file)
    except ArtefactError as err:
        if len(rounds) == 1:
            raise
        raise ArtefactError(f"{err} Delete it to go on from round {rounds[-2]}.") from err
    return read_checkpoint(file, spec, config_digest)


def checkpoint_rounds(folder: Path) -> list[int]:
    """Return the rounds that have a checkpoint, in order."""
    names = (re.fullmatch(r"round-(\d+)\.safetensors", p.name) for p in folder.glob("round-*"))
    return sorted(int(name[1]) for name in names if name)


def checkpoint_file(folder: Path, round_num: int) -> Path:
    """Return the file of a round's checkpoint."""
    return folder / f"round-{round_num:05d}.safetensors"
