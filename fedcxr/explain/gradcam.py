"""Grad-CAM, by captum: a layer's map, each channel weighed by its mean gradient.

Of any network and any layer. Here it looks at the deepest map of at least 7 cells a side
(`models.base.deepest_map`), which on small images lies before the last one.
Source: Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", eq. 1 and 2.
"""

from torch import Tensor

from fedcxr.models.base import CxrModel


def gradcam(model: CxrModel, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return the map of `model.cam_layer` that speaks for a label, (N, h, w), nowhere negative.

    Args:
        model: in evaluation mode, float32.
        inputs: (N, 1, H, W) as the model was trained on, on the model's device.
        labels: (N,) whose logit is explained, one for each image.
    """
    from captum.attr import LayerGradCam  # with pyplot: a third of a second, at a run's end only

    explain = LayerGradCam(model, model.cam_layer)
    maps: Tensor = explain.attribute(inputs, target=labels, relu_attributions=True)
    return maps.detach().squeeze(1)
