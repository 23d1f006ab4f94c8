"""Which network, at which size, from which weights."""

from pydantic import Field

from fedcxr.config.paths import PathText
from fedcxr.section import Section


class ModelConfig(Section):
    """The network that every site trains."""

    name: str = "densenet_small"
    image_size: int = Field(default=64, ge=32, le=1024)
    """Side of the square input, pixels."""
    weights: PathText = "none"
    """`none` (random, from the seed), `imagenet`, or a safetensors file."""

    def without_weights(self) -> "ModelConfig":
        """Return the same network with random weights.

        For every model whose values come from elsewhere, a checkpoint or an order: the file or the
        download that a run began with need not be there again.
        """
        return self.model_copy(update={"weights": "none"})
