"""Which network, at which size, from which weights."""

from typing import Annotated

from pydantic import Field

from fedcxr.config.flag import Flag
from fedcxr.config.paths import PathText
from fedcxr.section import Section


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
