"""Which network, at which size, from which weights."""

from typing import Annotated

from pydantic import Field

from fedcxr.config.flag import Flag
from fedcxr.config.paths import PathText
from fedcxr.section import Section

_TITLES = {
    "alexnet": "AlexNet",
    "densenet121": "DenseNet121",
    "resnet50": "ResNet-50",
    "efficientnet_b0": "EfficientNet-B0",
    "vit_b_16": "ViT-B/16",
}


class ModelConfig(Section):
    """The network that every site trains."""

    name: Annotated[
        str,
        Flag(
            "densenet_small, densenet121, resnet50, alexnet, efficientnet_b0, vit_b_16.",
            name="--model",
        ),
    ] = "densenet_small"
    image_size: Annotated[int, Flag("Pixels a side.")] = Field(default=64, ge=32, le=1024)
    """Side of the square input, pixels."""
    weights: Annotated[PathText, Flag("none, imagenet or a file.")] = "none"
    """`none` (random, from the seed), `imagenet`, or a safetensors file."""


def network_title(name: str) -> str:
    """Return a network's name as papers write it; that of any other as it is.

    >>> network_title("alexnet"), network_title("densenet_small")
    ('AlexNet', 'densenet_small')
    """
    return _TITLES.get(name, name)
