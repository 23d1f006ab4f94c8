"""The optimiser's state from round to round, in the site's memory (`train.moments: keep`)."""

import torch

from fedcxr.chain import Memory
from fedcxr.errors import ArtefactError
from fedcxr.training.optimizers import OPTIMIZERS, OptimizerState

MOMENTS = "moments"


def read_moments(memory: Memory, optimizer: str) -> OptimizerState | None:
    """Return the optimiser's state after the newest round before this one, None if there is none.

    Raises:
        ArtefactError: later rounds only were kept, or the file is damaged or another optimiser's.
    """
    kept = memory.read(MOMENTS)
    if kept is None:
        return None
    wanted = {f"{optimizer}.{name}": name for name in OPTIMIZERS.get(optimizer).names}
    held = ", ".join(sorted({name.partition(".")[0] for name in kept})) or "no optimiser"
    if held != optimizer:
        raise ArtefactError(
            f"The site's memory holds the state of {held}, and this run trains with {optimizer}. "
            "Start the run anew."
        )
    missing = sorted(set(wanted) - set(kept))
    if missing:
        raise ArtefactError(f"The site's memory holds no {missing[0]}. Start the run anew.")
    tensors = {name: torch.from_numpy(kept[key].copy()) for key, name in wanted.items()}
    return OptimizerState(optimizer, tensors)


def write_moments(memory: Memory, state: OptimizerState) -> None:
    """Keep the optimiser's state of this round."""
    vectors = {f"{state.optimizer}.{name}": tensor for name, tensor in state.tensors.items()}
    memory.write(MOMENTS, {name: tensor.numpy() for name, tensor in vectors.items()})
