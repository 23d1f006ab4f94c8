"""What a site keeps between rounds, two generations of it, and never sends.

Under `batch_norm: local` each site has its own batch-norm statistics, and under a codec what its
updates have lost so far. Both are written after the round that made them, under that round's
number; an order for round r starts from the newest generation before r, so a server that goes back
a round after a crash finds the right one.
"""

import re
from pathlib import Path
from typing import Literal

from fedcxr.errors import ArtefactError
from fedcxr.parameters import Parameters, ParameterSpec, load_parameters, save_parameters

KEPT_GENERATIONS = 2

Kind = Literal["round", "lost"]
"""The site's own model, or what its updates have lost; files are named after it."""


def read_state(folder: Path, run: str, round_num: int, kind: Kind = "round") -> Parameters | None:
    """Return what the site kept from the newest round before `round_num`, None if it never did.

    Raises:
        ArtefactError: it kept later rounds only; the server went back further than two rounds.
    """
    kept = _generations(folder / run, kind)
    before = [n for n in kept if n < round_num]
    if kept and not before and kept != [round_num]:
        raise ArtefactError(
            f"{folder / run}: kept from rounds {kept}, none from before round {round_num}. "
            "The server went back too far; start the run anew."
        )
    if not before:
        return None
    parameters, _ = load_parameters(_file(folder / run, max(before), kind))
    return parameters


def write_state(
    folder: Path,
    run: str,
    round_num: int,
    parameters: Parameters,
    spec: ParameterSpec,
    kind: Kind = "round",
) -> None:
    """Write the generation of `round_num` atomically, then drop all but the newest two."""
    (folder / run).mkdir(parents=True, exist_ok=True)
    file = _file(folder / run, round_num, kind)
    save_parameters(file, parameters, spec, {"round": str(round_num)})
    kept = {n for n in _generations(folder / run, kind) if n <= round_num}
    for old in sorted(kept)[:-KEPT_GENERATIONS]:
        _file(folder / run, old, kind).unlink(missing_ok=True)


def _generations(folder: Path, kind: Kind) -> list[int]:
    names = (re.fullmatch(rf"{kind}-(\d+)\.safetensors", p.name) for p in folder.glob(f"{kind}-*"))
    return sorted(int(name[1]) for name in names if name)


def _file(folder: Path, round_num: int, kind: Kind) -> Path:
    return folder / f"{kind}-{round_num:05d}.safetensors"
