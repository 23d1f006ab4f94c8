"""ResNet-50. Source: He et al. 2016, "Deep Residual Learning for Image Recognition"."""

from fedcxr.models.base import CxrModel, deepest_map, one_channel, without_inplace

_MAPS = ((32, "layer4"), (16, "layer3"), (8, "layer2"), (4, "layer1"))
_POOLED = ("layer4", "fc")


def resnet50(num_labels: int, image_size: int) -> CxrModel:
    """Return ResNet-50: 23.5 M parameters, at 224 px and more explained at its last stage."""
    from torchvision.models import resnet50 as torchvision_resnet50  # a second of a core

    network = torchvision_resnet50(num_classes=num_labels)
    network.conv1 = one_channel(network.conv1)
    return CxrModel(without_inplace(network), deepest_map(image_size, _MAPS), _POOLED)
