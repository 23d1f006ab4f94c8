"""A network of torchvision that is not among fedcxr's: three input channels, a head of 1000."""

from torch import Tensor, nn
from torchvision.models import shufflenet_v2_x0_5


class ThreeChannels(nn.Module):
    """Feeds the one gray channel to a network that takes three."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, L) of images (N, 1, H, W)."""
        logits: Tensor = self.network(images.expand(-1, 3, -1, -1))
        return logits


def shufflenet(num_labels: int, image_size: int) -> nn.Module:
    """Return ShuffleNetV2 x0.5 (Ma et al. 2018) with a head of one logit a label."""
    network = shufflenet_v2_x0_5(weights=None)
    network.fc = nn.Linear(network.fc.in_features, num_labels)
    return ThreeChannels(network)
