"""A small network that judges samples at a site, and is thrown away afterwards."""

from torch import Tensor, nn

from fedcxr.models.randomness import seeded_generators

_CHANNELS = (16, 32, 64, 64)


class Judge(nn.Module):
    """Four convolutions of stride 2, the mean over the last map, a linear head: 75,000 numbers."""

    def __init__(self, num_outputs: int) -> None:
        """Draw the values from torch's global generator."""
        super().__init__()
        layers: list[nn.Module] = []
        below = 1
        for above in _CHANNELS:
            convolution = nn.Conv2d(below, above, 3, stride=2, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(above), nn.ReLU()]
            below = above
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(below, num_outputs)

    def features(self, images: Tensor) -> Tensor:
        """Return what the head is given, (N, 64), of images (N, 1, H, W)."""
        found: Tensor = self.body(images)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, L) of images (N, 1, H, W)."""
        logits: Tensor = self.head(self.features(images))
        return logits


def build_judge(num_outputs: int, seed: int) -> Judge:
    """Return a judge with random values that follow from the seed alone."""
    with seeded_generators(seed):
        return Judge(num_outputs)
