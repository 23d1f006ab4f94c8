"""What a site keeps between rounds, two generations of it, and never sends.

Under `batch_norm: local` each site has its own batch-norm statistics, under a codec what its
updates have lost so far, and under `moments: keep` the optimiser's state. Each is written after the
round that made it, under that round's number; an order for round r starts from the newest
generation before r, so a server that goes back a round after a crash finds the right one.
"""

import re
from pathlib import Path
from typing import Literal

from fedcxr.errors import ArtefactError
from fedcxr.parameters import Parameters, ParameterSpec, load_parameters, save_parameters
from fedcxr.tensor_file import read_tensor_file, write_tensor_file
from fedcxr.training.optimizers import OPTIMIZERS, OptimizerState

KEPT_GENERATIONS = 2

Kind = Literal["round", "lost", "moments"]
"""The site's own model, what its updates have lost, or the optimiser's state; names its files."""


def read_state(folder: Path, run: str, round_num: int, kind: Kind = "round") -> Parameters | None:
    """Return what the site kept from the newest round before `round_num`, None if it never did.

    Raises:
        ArtefactError: it kept later rounds only; the server went back further than two rounds.
    """
    file = _newest_before(folder / run, round_num, kind)
    return None if file is None else load_parameters(file)[0]


def write_state(
    folder: Path,
    run: str,
    round_num: int,
    parameters: Parameters,
    spec: ParameterSpec,
    kind: Kind = "round",
) -> None:
    """Write the generation of `round_num` atomically, then drop all but the newest two."""
    file = _new_file(folder / run, round_num, kind)
    save_parameters(file, parameters, spec, {"round": str(round_num)})
    _drop_old(folder / run, round_num, kind)


def read_moments(folder: Path, run: str, round_num: int, optimizer: str) -> OptimizerState | None:
    """Return the optimiser's state from the newest round before `round_num`, None if there is none.

    Raises:
        ArtefactError: later rounds only were kept, or the file is damaged or another optimiser's.
    """
    file = _newest_before(folder / run, round_num, "moments")
    if file is None:
        return None
    tensors, about = read_tensor_file(file)
    if (kept := about.get("optimizer")) != optimizer:
        raise ArtefactError(
            f"{file}: holds the moments of {kept or 'no optimiser that it names'}, and this run "
            f"trains with {optimizer}. Start the run anew."
        )
    missing = [name for name in OPTIMIZERS.get(optimizer).names if name not in tensors]
    if missing:
        raise ArtefactError(f"{file}: holds no moments {missing[0]!r}. Start the run anew.")
    return OptimizerState(optimizer, tensors)


def write_moments(folder: Path, run: str, round_num: int, state: OptimizerState) -> None:
    """Write the optimiser's state of `round_num` atomically, then drop all but the newest two."""
    file = _new_file(folder / run, round_num, "moments")
    about = {"round": str(round_num), "optimizer": state.optimizer}
    write_tensor_file(file, dict(state.tensors), about)
    _drop_old(folder / run, round_num, "moments")


def _newest_before(folder: Path, round_num: int, kind: Kind) -> Path | None:
    kept = _generations(folder, kind)
    before = [n for n in kept if n < round_num]
    if kept and not before and kept != [round_num]:
        raise ArtefactError(
            f"{folder}: kept from rounds {kept}, none from before round {round_num}. "
            "The server went back too far; start the run anew."
        )
    return _file(folder, max(before), kind) if before else None


def _new_file(folder: Path, round_num: int, kind: Kind) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return _file(folder, round_num, kind)


def _drop_old(folder: Path, round_num: int, kind: Kind) -> None:
    kept = {n for n in _generations(folder, kind) if n <= round_num}
    for old in sorted(kept)[:-KEPT_GENERATIONS]:
        _file(folder, old, kind).unlink(missing_ok=True)


def _generations(folder: Path, kind: Kind) -> list[int]:
    names = (re.fullmatch(rf"{kind}-(\d+)\.safetensors", p.name) for p in folder.glob(f"{kind}-*"))
    return sorted(int(name[1]) for name in names if name)


def _file(folder: Path, round_num: int, kind: Kind) -> Path:
    return folder / f"{kind}-{round_num:05d}.safetensors"
