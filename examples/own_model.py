"""A network of torchvision that is not among fedcxr's: three input channels, a head of 1000."""

from torch import Tensor, nn
from torchvision.models import resnet18, shufflenet_v2_x0_5


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


def resnet(num_labels: int, image_size: int) -> nn.Module:
    """Return ResNet-18 (He et al. 2016), whose head torchvision makes as wide as it is told."""
    return ThreeChannels(resnet18(weights=None, num_classes=num_labels))
