"""What a site keeps between rounds, two generations of it, and never sends.

Under `batch_norm: local` each site has its own batch-norm statistics, under a codec what its
updates have lost so far, and under `moments: keep` Adam's moments. Each is written after the round
that made it, under that round's number; an order for round r starts from the newest generation
before r, so a server that goes back a round after a crash finds the right one.
"""

import re
from pathlib import Path
from typing import Literal

from fedcxr.errors import ArtefactError
from fedcxr.tensor_file import read_tensor_file, write_tensor_file
from fedcxr.training.adam import Moments

KEPT_GENERATIONS = 2

Kind = Literal["round", "lost", "adam"]
"""The site's own model, what its updates have lost, or Adam's moments; files are named after it."""


def read_moments(folder: Path, run: str, round_num: int) -> Moments | None:
    """Return Adam's moments from the newest round before `round_num`, None if there is none.

    Raises:
        ArtefactError: later rounds only were kept, or the file is damaged.
    """
    file = _newest_before(folder / run, round_num, "adam")
    if file is None:
        return None
    tensors, _ = read_tensor_file(file)
    try:
        return Moments(tensors["means"], tensors["squares"], tensors["steps"])
    except KeyError as err:
        raise ArtefactError(f"{file}: holds no moments {err}. Start the run anew.") from err


def write_moments(folder: Path, run: str, round_num: int, moments: Moments) -> None:
    """Write the moments of `round_num` atomically, then drop all but the newest two."""
    tensors = {"means": moments.means, "squares": moments.squares, "steps": moments.steps}
    file = _new_file(folder / run, round_num, "adam")
    write_tensor_file(file, tensors, {"round": str(round_num)})
    _drop_old(folder / run, round_num, "adam")


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
