"""A checkpoint after every round, from which a run goes on to the same bits.

All randomness is derived from names (seed, site, round), so the state of a run is its parameters,
the algorithm's vectors, its round and which round was best; there is no generator to save. Kept are
the newest two rounds, and the best round as each of the two knew it: if the newest is lost, the run
goes on from the one before, whose best round must still be there.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedcxr.codecs import Floats
from fedcxr.config.arithmetic import Arithmetic
from fedcxr.errors import ArtefactError, some
from fedcxr.models.weights import OUTPUTS
from fedcxr.parameters import (
    Parameters,
    ParameterSpec,
    load_parameters,
    load_with_vectors,
    save_parameters,
)
from fedcxr.runs.checkpoint_files import checkpoint_file, checkpoint_rounds
from fedcxr.runs.saved_model import check_layout

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
    norms: tuple[tuple[float, float, float], ...] = ()
    """Of each round whose model was taken the usual norms of an update, of its trained values and
    of its buffers, and of what is sent besides: they bound the next ones (`server/bounds.py`)."""
    vectors: Mapping[str, Floats] = field(default_factory=dict)
    """The algorithm's state at the server, by name."""


def write_checkpoint(
    folder: Path,
    checkpoint: Checkpoint,
    spec: ParameterSpec,
    arithmetic: Arithmetic,
    *,
    outputs: Sequence[str],
    best_before: int,
) -> Path:
    """Write a checkpoint atomically and drop those no longer needed; return its file.

    Args:
        folder: of the run's checkpoints.
        checkpoint: the state after a round.
        spec: the layout of its parameters.
        arithmetic: what decides the run's weights.
        outputs: the names of the model's outputs: a head is told apart by them.
        best_before: the best round as the checkpoint before this one knew it.
    """
    state = {
        "round": checkpoint.round_num,
        "best_round": checkpoint.best_round,
        "best_auroc": checkpoint.best_auroc,
        "line": checkpoint.line,
        "norms": checkpoint.norms,
    }
    file = checkpoint_file(folder, checkpoint.round_num)
    save_parameters(
        file,
        checkpoint.parameters,
        spec,
        {
            "arithmetic": arithmetic.to_json(),
            OUTPUTS: json.dumps(list(outputs)),
            "state": json.dumps(state),
        },
        checkpoint.vectors,
    )
    rounds = checkpoint_rounds(folder)
    for old in set(rounds[:-KEPT]) - {checkpoint.best_round, best_before}:
        checkpoint_file(folder, old).unlink(missing_ok=True)
    return file


def read_checkpoint(file: Path, spec: ParameterSpec, arithmetic: Arithmetic) -> Checkpoint:
    """Return a checkpoint.

    Args:
        file: the checkpoint.
        spec: the layout of the model that will take it.
        arithmetic: of the run that goes on from it.

    Raises:
        ArtefactError: damaged, of another model or label list, or of another configuration.
    """
    parameters, metadata, vectors = load_with_vectors(file)
    check_layout(file, metadata, spec)
    try:
        then, state = Arithmetic.from_json(metadata["arithmetic"]), json.loads(metadata["state"])
        found = Checkpoint(
            state["round"],
            parameters,
            state["best_round"],
            state["best_auroc"],
            state["line"],
            tuple((float(one), float(two), float(three)) for one, two, three in state["norms"]),
            vectors,
        )
    except (KeyError, TypeError, ValueError) as err:
        raise _not_of_a_run(file) from err
    _check_same(file, then, arithmetic)
    return found


def _not_of_a_run(file: Path) -> ArtefactError:
    return ArtefactError(
        f"{file}: not a checkpoint of a run, or of an earlier version. Use an earlier one."
    )


def _check_same(file: Path, then: Arithmetic, now: Arithmetic) -> None:
    changed = then.differences(now)
    if changed:
        raise ArtefactError(
            f"{file}: made under another configuration: {some(changed)}. These keys decide the "
            "weights: put config.yaml back as it was, or start a new run."
        )


def newest_checkpoint(folder: Path, spec: ParameterSpec, arithmetic: Arithmetic) -> Checkpoint:
    """Return the newest checkpoint of a run.

    Raises:
        ArtefactError: there is none, or the newest is damaged; the message names the one before.
    """
    file, _ = _newest(folder)
    return read_checkpoint(file, spec, arithmetic)


def check_newest(folder: Path, arithmetic: Arithmetic) -> None:
    """Raise ArtefactError unless a run can go on from its newest checkpoint.

    As `newest_checkpoint`, but for the layout of a model, which nobody has built yet.
    """
    file, metadata = _newest(folder)
    try:
        then = Arithmetic.from_json(metadata["arithmetic"])
    except (KeyError, TypeError, ValueError) as err:
        raise _not_of_a_run(file) from err
    _check_same(file, then, arithmetic)


def _newest(folder: Path) -> tuple[Path, dict[str, str]]:
    """Return the newest checkpoint's file and metadata, if it is whole."""
    rounds = checkpoint_rounds(folder)
    if not rounds:
        raise ArtefactError(
            f"{folder}: no checkpoint, so there is nothing to go on from. Start the run again."
        )
    file = checkpoint_file(folder, rounds[-1])
    try:
        return file, load_parameters(file)[1]
    except ArtefactError as err:
        if len(rounds) == 1:
            raise
        raise ArtefactError(f"{err} Delete it to go on from round {rounds[-2]}.") from err
