"""Weights from elsewhere: torchvision's ImageNet ones, or a safetensors file.

A file holds a torchvision state dict (stem of three or one channel) or is a fedcxr checkpoint. Its
head is taken over label by label, by name: the same shape says nothing of what a row stands for. A
fedcxr checkpoint names its outputs, and so can any safetensors file, as a JSON list under the key
`outputs` of its metadata; of a file that does not, the head is left out. Nothing here unpickles a
file of the user's; torchvision's own download is checked against the hash in its name and read with
`weights_only`.
"""

import json
import re
import urllib.error
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor, nn

from fedcxr.errors import ArtefactError, ConfigError, NetworkError, StorageError, some
from fedcxr.models.base import CxrModel, Family, StartingWeights, sum_channels
from fedcxr.models.vit import fit_positions
from fedcxr.parameters import FORMAT, ParameterSpec, load_parameters
from fedcxr.storage import writing
from fedcxr.tensor_file import read_tensor_file

_OLD_DENSE_NAME = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
"""DenseNet's published weights still say `norm.1` where the module is called `norm1`."""


_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")

OUTPUTS = "outputs"
"""Of a file's metadata: the names of the head's rows, a JSON list."""


def load_weights(
    model: CxrModel,
    family: Family,
    weights: str,
    image_size: int,
    outputs: Mapping[str, str],
) -> StartingWeights:
    """Overwrite a model with `imagenet` weights or those of a safetensors file; return what was.

    Args:
        model: whose values are overwritten, its head's row by row.
        family: what its architecture calls its stem and head.
        weights: `imagenet` or the path of a file.
        image_size: side of the model's input.
        outputs: the names of the head's rows, each with what another vocabulary calls it; none =
            not known, and the head stays as it is.

    Raises:
        ConfigError: nobody knows where downloaded weights are kept.
        NetworkError: the download cannot be reached.
        StorageError: the download cannot be written.
        ArtefactError: the file is damaged, of another format or another model.
    """
    theirs: Sequence[str] = ()
    if weights == "imagenet":
        where, state = "ImageNet weights", _download(family)
    else:
        where = weights
        state, theirs = _read_file(Path(weights))
    head = {name: state.pop(name) for name in _head_names(family) if name in state}
    _overwrite(model, family, fit_positions(state, image_size), where)
    copied = _copy_head(model, family, head, theirs, outputs, where)
    return StartingWeights(
        weights, copied, tuple(output for output in outputs if output not in copied)
    )


def _head_names(family: Family) -> tuple[str, str]:
    return f"{family.head}.weight", f"{family.head}.bias"


def _copy_head(
    model: CxrModel,
    family: Family,
    head: dict[str, Tensor],
    theirs: Sequence[str],
    outputs: Mapping[str, str],
    where: str,
) -> tuple[str, ...]:
    """Take over the rows of the outputs that both have; return these outputs."""
    if not head or not theirs:
        return ()
    if any(len(tensor) != len(theirs) for tensor in head.values()):
        raise ArtefactError(
            f"{where}: its head has {[len(tensor) for tensor in head.values()]} rows, and its "
            f"metadata names {len(theirs)} outputs. Use another file."
        )
    row_of = {name: row for row, name in enumerate(theirs)}
    found = {}
    for row, (output, synonym) in enumerate(outputs.items()):
        named = next((name for name in (output, synonym) if name in row_of), None)
        if named is not None:
            found[output] = (row, row_of[named])
    ours = model.network.state_dict()
    for name, tensor in head.items():
        if tensor.shape[1:] != ours[name].shape[1:]:
            raise ArtefactError(
                f"{where}: {name} is {list(tensor.shape)}, expected rows of "
                f"{list(ours[name].shape[1:])}. Set model.name to the model they were made with."
            )
        for mine, yours in found.values():
            ours[name][mine] = tensor[yours]
    model.network.load_state_dict(ours)
    return tuple(found)


def _overwrite(model: CxrModel, family: Family, state: dict[str, Tensor], where: str) -> None:
    """Copy `state` (torchvision's names, no head) over the network, after checking all of it."""
    ours = model.network.state_dict()
    grouped = _group_norms(model)
    state = {n: t for n, t in state.items() if n not in grouped}
    head = _head_names(family)
    stem = state.get(family.stem)
    if stem is not None and stem.ndim == 4 and stem.shape[1] == 3:
        state[family.stem] = sum_channels(stem)
    wrong = [f"{n} is missing" for n in ours if n not in state and n not in head]
    wrong = [w for w in wrong if "num_batches_tracked" not in w]  # old files have no counters
    wrong += [f"{n} is unknown" for n in state if n not in ours]
    wrong += [
        f"{n} is {list(t.shape)}, expected {list(ours[n].shape)}"
        for n, t in state.items()
        if n in ours and t.shape != ours[n].shape
    ]
    if wrong:
        raise ArtefactError(
            f"{where}: weights of another model: {some(wrong, limit=5)}. "
            f"Set model.name to the model they were made with, or model.weights=none."
        )
    model.network.load_state_dict(state, strict=False)


def _group_norms(model: CxrModel) -> set[str]:
    """Return what the statistics would be called of batch norms that group norms stand for."""
    layers = [n for n, layer in model.network.named_modules() if isinstance(layer, nn.GroupNorm)]
    return {f"{layer}.{name}" for layer in layers for name in _STATISTICS}


def _read_file(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors of a state dict or a checkpoint under torchvision's names, and outputs."""
    tensors, metadata = read_tensor_file(path)
    if metadata.get("fedcxr.format") == FORMAT:
        tensors = _read_checkpoint(path)
    renamed = {_OLD_DENSE_NAME.sub(r"\1\2", name): tensor for name, tensor in tensors.items()}
    state = {name.removeprefix("network."): tensor for name, tensor in renamed.items()}
    return state, _outputs_in(metadata, path)


def _outputs_in(metadata: dict[str, str], path: Path) -> list[str]:
    """Return the outputs that a file names; none where it names none."""
    try:
        named = json.loads(metadata.get(OUTPUTS, "[]"))
    except ValueError:
        named = None
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise ArtefactError(
            f"{path}: '{OUTPUTS}' of its metadata is not a JSON list of names. Mend or remove it."
        )
    return named


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return a checkpoint's tensors by name."""
    parameters, metadata = load_parameters(path)
    spec = ParameterSpec.from_json(metadata["fedcxr.spec"])
    vector, counters = torch.from_numpy(parameters.vector), torch.from_numpy(parameters.counters)
    rows = zip(spec.names, spec.shapes, spec.kinds, spec.offsets, spec.sizes, strict=True)
    return {
        name: (counters if kind == "counter" else vector)[start : start + size].reshape(shape)
        for name, shape, kind, start, size in rows
    }


def _download(family: Family) -> dict[str, Tensor]:
    """Return torchvision's ImageNet weights, from its cache or from the network."""
    import torchvision  # a second of a core, which most runs do without

    assert family.weights is not None, "the registry refuses imagenet where there is none"
    chosen = getattr(torchvision.models, family.weights).IMAGENET1K_V1
    name = PurePosixPath(chosen.url).name
    cached = Path(torch.hub.get_dir()) / "checkpoints" / name
    if cached.parts[0].startswith("~"):
        raise ConfigError(
            f"{cached}: the home directory is not known. Set HOME, or TORCH_HOME to the folder for "
            f"downloaded weights."
        )
    instead = (
        f"Put the file {name} (from torchvision) at {cached}, give a safetensors file "
        f"(--weights FILE), or start from random weights (--weights none)."
    )
    try:
        with writing(cached):
            state: dict[str, Tensor] = chosen.get_state_dict(
                progress=False, check_hash=True, weights_only=True
            )
    except StorageError as err:
        raise StorageError(f"{err} TORCH_HOME names the folder of downloaded weights.") from err
    except (urllib.error.URLError, TimeoutError, ConnectionError) as err:
        raise NetworkError(f"{name}: the ImageNet weights cannot be fetched. {instead}") from err
    except Exception as err:  # a half file or another one: torch raises many kinds
        raise ArtefactError(f"{name}: the ImageNet weights are damaged. {instead}") from err
    return {_OLD_DENSE_NAME.sub(r"\1\2", key): tensor for key, tensor in state.items()}
