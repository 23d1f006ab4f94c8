"""EfficientNet-B0. Source: Tan and Le 2019, "EfficientNet: Rethinking Model Scaling"."""

from fedcxr.models.base import CxrModel, deepest_map, one_channel, without_inplace

_MAPS = ((32, "features.8"), (16, "features.5"), (8, "features.3"), (4, "features.2"))
_POOLED = ("features.8", "classifier.1")


def efficientnet_b0(num_labels: int, image_size: int) -> CxrModel:
    """Return EfficientNet-B0: 4.0 M parameters, at 224 px and more explained at its last map."""
    from torchvision.models import (
        efficientnet_b0 as torchvision_efficientnet_b0,  # a second of a core
    )

    network = torchvision_efficientnet_b0(num_classes=num_labels)
    network.features[0][0] = one_channel(network.features[0][0])
    return CxrModel(without_inplace(network), deepest_map(image_size, _MAPS), _POOLED)
