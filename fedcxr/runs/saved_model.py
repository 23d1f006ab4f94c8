"""The weights in the files of a run's `checkpoints/`.

For whoever uses a model. What a run needs beside the weights to go on, the server keeps in the same
file (`server/checkpoint.py`).
"""

from collections.abc import Mapping
from pathlib import Path

from fedcxr.config.arithmetic import Arithmetic
from fedcxr.errors import ArtefactError
from fedcxr.parameters import Parameters, ParameterSpec, describe_difference, load_parameters


def read_weights(file: Path, spec: ParameterSpec, config_digest: str) -> Parameters:
    """Return a checkpoint's parameters if the run with this digest made them.

    Args:
        file: the checkpoint.
        spec: the layout of the model that will take it.
        config_digest: what the run's manifest says of its configuration.

    Raises:
        ArtefactError: damaged, of another model or label list, or of another run.
    """
    parameters, metadata = load_parameters(file)
    check_layout(file, metadata, spec)
    try:
        digest = Arithmetic.from_json(metadata["arithmetic"]).digest
    except (KeyError, TypeError, ValueError) as err:
        raise ArtefactError(
            f"{file}: not a checkpoint of a run, or of an earlier version. Use an earlier one."
        ) from err
    if digest != config_digest:
        raise ArtefactError(
            f"{file}: belongs to another run (digest {digest[:12]}, this one's is "
            f"{config_digest[:12]}). Put the run's own checkpoint back."
        )
    return parameters


def check_layout(file: Path, metadata: Mapping[str, str], spec: ParameterSpec) -> None:
    """Raise ArtefactError unless a checkpoint, by what it says of itself, is laid out so."""
    theirs = ParameterSpec.from_json(metadata["fedcxr.spec"])
    if theirs.digest != spec.digest:
        raise ArtefactError(
            f"{file}: made for another model or label list: {describe_difference(spec, theirs)}."
        )
