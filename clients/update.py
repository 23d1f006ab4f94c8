"""What a trained site sends: its parameters, or under a codec its update made small.

What the codec loses stays at the site and is added to its next update (error feedback), so over the
rounds the server gets all of it. It is what *this* site has sent that counts: an update that the
server refused or that came too late is gone, as it is without a codec.

Source: Karimireddy et al. 2019, "Error feedback fixes SignSGD and other gradient compression
schemes", Algorithm 2; here the update of a whole round takes the place of a gradient.
"""

from pathlib import Path

import numpy as np

from clients.state import read_state, write_state
from fedcxr.codecs import Codec, Encoded, Floats, decode, encode
from fedcxr.config.task import SiteTask
from fedcxr.errors import RunError
from fedcxr.parameters import Parameters, ParameterSpec


def encode_update(
    state: Path,
    task: SiteTask,
    round_num: int,
    *,
    given: Parameters,
    trained: Parameters,
    spec: ParameterSpec,
) -> Parameters | Encoded:
    """Return what the site sends of its training, and keep what a codec loses of it.

    Under `batch_norm: local` the trained buffers are the server's own, so nothing of them is lost.

    Raises:
        RunError: the update is not finite.
        ArtefactError: what was kept is damaged, or of later rounds only.
    """
    codec = Codec(task.codec, task.topk)
    if codec.name == "none":
        return trained
    wanted = _wanted(state, task.run, round_num, given=given, trained=trained)
    encoded = Encoded(codec.name, encode(codec, wanted, given.vector, spec), trained.counters)
    decoded = np.empty_like(wanted)
    decode(encoded, spec, decoded)
    lost = Parameters(wanted - decoded, np.zeros_like(trained.counters))
    write_state(state, task.run, round_num, lost, spec, "lost")
    return encoded


def _wanted(
    state: Path, run: str, round_num: int, *, given: Parameters, trained: Parameters
) -> Floats:
    """Return the update of this round and what those before it lost."""
    with np.errstate(over="ignore", invalid="ignore"):  # told of below, in words
        wanted = trained.vector - given.vector
        lost = read_state(state, run, round_num, "lost")
        if lost is not None:
            wanted += lost.vector
    if not np.isfinite(wanted).all():
        raise RunError("the update is not finite; lower train.learning_rate")
    return wanted
