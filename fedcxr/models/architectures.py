"""Name → model. A radiograph has one channel, so every stem has one; see `base.one_channel`."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from fedcxr.config.model import ModelConfig
from fedcxr.errors import ConfigError, some
from fedcxr.models.alexnet import alexnet
from fedcxr.models.base import CxrModel, Family
from fedcxr.models.densenet import densenet121, densenet_small
from fedcxr.models.efficientnet import efficientnet_b0
from fedcxr.models.group_norm import batch_norms, use_group_norm
from fedcxr.models.own import as_family, built, try_out, with_head
from fedcxr.models.randomness import seeded_generators
from fedcxr.models.resnet import resnet50
from fedcxr.models.vit import PATCH_PX, vit_b_16
from fedcxr.models.weights import load_weights
from fedcxr.registry import Registry

MODELS: Registry[Family] = Registry("model.name", "network", "fedcxr.models", as_family)
_FAMILIES = {
    "densenet121": Family(
        densenet121, "features.conv0.weight", "classifier", "DenseNet121_Weights"
    ),
    "densenet_small": Family(densenet_small, "features.conv0.weight", "classifier", None),
    "resnet50": Family(resnet50, "conv1.weight", "fc", "ResNet50_Weights"),
    "alexnet": Family(alexnet, "features.0.weight", "classifier.6", "AlexNet_Weights", min_size=64),
    "efficientnet_b0": Family(
        efficientnet_b0, "features.0.0.weight", "classifier.1", "EfficientNet_B0_Weights"
    ),
    "vit_b_16": Family(
        vit_b_16, "conv_proj.weight", "heads.head", "ViT_B_16_Weights", multiple_of=PATCH_PX
    ),
}

for _name, _family in _FAMILIES.items():
    MODELS.add(_name, _family)
MODEL_NAMES = MODELS.names()


def check_model(config: ModelConfig) -> None:
    """Raise ConfigError unless name, size and weights can go together.

    Builds nothing but a user's own network, which is tried on two made-up images.
    """
    family = _family_of(config)
    is_deterministic(config)
    if config.weights == "imagenet" and family.weights is None:
        raise ConfigError(
            f"model.weights: there are no ImageNet weights for {config.name}. "
            f"Set model.weights=none, or choose another model, such as densenet121."
        )
    if config.weights not in ("none", "imagenet") and not Path(config.weights).is_file():
        raise ConfigError(
            f"model.weights: {config.weights!r} is not none, imagenet or the path of a file. "
            f"Name a safetensors file that is there."
        )


def is_deterministic(config: ModelConfig) -> bool:
    """Return whether a model computes the same again; a user's own is tried.

    Raises:
        ConfigError: a user's own does not fit.
    """
    return MODELS.reference(config.name) is None or try_out(_family_of(config), config)


def head_tensors(config: ModelConfig) -> str:
    """Return what the names of the head's tensors begin with in a model.

    >>> head_tensors(ModelConfig(name="densenet121"))
    'network.classifier'
    """
    return f"network.{with_head(_family_of(config), config).head}"


def build_model(
    config: ModelConfig,
    num_outputs: int,
    seed: int,
    *,
    outputs: Mapping[str, str] | None = None,
    group_norm: bool = False,
) -> CxrModel:
    """Return the model that a run begins with, on the CPU, in training mode: float32, NCHW.

    Random values (all of them, or those of new rows of the head) come from `seed` alone. The one
    input channel's kernel is the sum of the three RGB
    ones, which makes ImageNet weights see what they would see in the gray image copied to three
    channels.

    Args:
        config: name, image size and weights.
        num_outputs: rows of the head.
        seed: of the random values.
        outputs: the names of the rows, by which a file's head is taken over, each with what another
            vocabulary calls it; none = not known.
        group_norm: as of `random_model`; of weights with batch norm, the statistics are left out.

    Raises:
        ConfigError: unknown name, image size that does not fit it, no such weights.
        NetworkError: ImageNet weights cannot be downloaded.
        ArtefactError: the weights file is damaged or of another model.
    """
    check_model(config)
    model = random_model(config, num_outputs, seed, group_norm=group_norm)
    if config.weights != "none":
        family = with_head(_family_of(config), config)
        model.starting_weights = load_weights(
            model, family, config.weights, config.image_size, outputs or {}
        )
    return model


def random_model(
    config: ModelConfig, num_outputs: int, seed: int, *, group_norm: bool = False
) -> CxrModel:
    """Return the same network with random values alone, whatever `config.weights` says.

    For values that come from elsewhere, a checkpoint or an order, or do not matter: the file or the
    download that a run began with need not be there. torch's global generator is left as it was.

    Args:
        config: name and image size.
        num_outputs: rows of the head.
        seed: of the random values.
        group_norm: put a group norm in the place of every batch norm (`server.batch_norm=group`).

    Raises:
        ConfigError: unknown name, image size that does not fit it, or a batch norm that no group
            norm can stand for.
    """
    family = _family_of(config)
    if MODELS.reference(config.name):
        model = built(family, config, num_outputs, seed)
    else:
        with seeded_generators(seed):  # the CPU's generator only: nothing touches a GPU
            model = family.build(num_outputs, config.image_size)
    if group_norm:
        use_group_norm(model)
        if left := batch_norms(model):
            raise ConfigError(
                f"server.batch_norm = group: {config.name} has batch norms of another kind than "
                f"nn.BatchNorm2d ({some(left, 3)}). Take another value, or another model."
            )
    return model


def _family_of(config: ModelConfig) -> Family:
    """Return the architecture, where one has this name and takes this image size."""
    if not MODELS.has(config.name):
        near = get_close_matches(config.name, MODEL_NAMES, n=3, cutoff=0.4)
        raise ConfigError(
            f"model.name: {config.name!r} is not known. "
            + (f"Did you mean {' or '.join(near)}? " if near else "")
            + f"Known: {', '.join(MODEL_NAMES)}, or your own as package.module:Name."
        )
    family = MODELS.get(config.name)
    if config.image_size < family.min_size:
        raise ConfigError(
            f"model.image_size: {config.image_size} is too small for {config.name}. "
            f"Give at least {family.min_size}."
        )
    if config.image_size % family.multiple_of:
        raise ConfigError(
            f"model.image_size: {config.image_size} does not fit {config.name}. "
            f"Give a multiple of {family.multiple_of}, such as "
            f"{max(1, round(config.image_size / family.multiple_of)) * family.multiple_of}."
        )
    return family
