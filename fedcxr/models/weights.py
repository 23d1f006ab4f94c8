"""Weights from elsewhere: torchvision's ImageNet ones, or a safetensors file.

A file holds a torchvision state dict (stem of three or one channel; a head of another size is
dropped) or is a fedcxr checkpoint. Nothing here unpickles a file of the user's; torchvision's own
download is checked against the hash in its name and read with `weights_only`.
"""

import re
import urllib.error
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from fedcxr.errors import ArtefactError, ConfigError, NetworkError, StorageError, some
from fedcxr.models.base import CxrModel, Family, sum_channels
from fedcxr.models.vit import fit_positions
from fedcxr.parameters import FORMAT, ParameterSpec, load_parameters
from fedcxr.storage import writing
from fedcxr.tensor_file import read_tensor_file

_OLD_DENSE_NAME = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
"""DenseNet's published weights still say `norm.1` where the module is called `norm1`."""


def load_weights(model: CxrModel, family: Family, weights: str, image_size: int) -> None:
    """Overwrite the body of `model` with `imagenet` weights or those of a safetensors file.

    The head is overwritten only where its size is the same and the file is no ImageNet one.

    Raises:
        ConfigError: nobody knows where downloaded weights are kept.
        NetworkError: the download cannot be reached.
        StorageError: the download cannot be written.
        ArtefactError: the file is damaged, of another format or another model.
    """
    if weights == "imagenet":
        where, state = "ImageNet weights", _download(family)
        state = {name: t for name, t in state.items() if not name.startswith(family.head + ".")}
    else:
        where, state = weights, _read_file(Path(weights))
    _overwrite(model, family, fit_positions(state, image_size), where)


def _overwrite(model: CxrModel, family: Family, state: dict[str, Tensor], where: str) -> None:
    """Copy `state` (torchvision's names) over the network, after checking every name and shape."""
    ours = model.network.state_dict()
    stem = state.get(family.stem)
    if stem is not None and stem.ndim == 4 and stem.shape[1] == 3:
        state[family.stem] = sum_channels(stem)
    head = (f"{family.head}.weight", f"{family.head}.bias")
    for name in head:
        if name in state and state[name].shape != ours[name].shape:
            del state[name]
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


def _read_file(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a state dict or a fedcxr checkpoint under torchvision's names."""
    tensors, metadata = read_tensor_file(path)
    if metadata.get("fedcxr.format") == FORMAT:
        tensors = _read_checkpoint(path)
    renamed = {_OLD_DENSE_NAME.sub(r"\1\2", name): tensor for name, tensor in tensors.items()}
    return {name.removeprefix("network."): tensor for name, tensor in renamed.items()}


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
