"""AlexNet. Source: Krizhevsky 2014, "One weird trick for parallelizing convolutional nets"."""

from fedcxr.models.base import CxrModel, deepest_map, one_channel, without_inplace

_MAPS = ((16, "features.11"), (8, "features.4"))


def alexnet(num_labels: int, image_size: int) -> CxrModel:
    """Return AlexNet: 57 M parameters, at 112 px and more explained at its last convolution."""
    from torchvision.models import alexnet as torchvision_alexnet  # a second of a core

    network = torchvision_alexnet(num_classes=num_labels)
    network.features[0] = one_channel(network.features[0])
    return CxrModel(without_inplace(network), deepest_map(image_size, _MAPS))
