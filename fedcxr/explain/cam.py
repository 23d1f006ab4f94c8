"""The class activation map: the head's weights over the last map. One forward pass, no gradient.

The logit is a linear layer of the last map's mean, so each cell's share in it can be read off:
mean(CAM) + bias = logit, exactly. That holds for networks with such a head only, and for their last
map only: at 64 px this is 2 × 2 cells, too coarse to point, where Grad-CAM takes a finer map.
Source: Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", §2, eq. 2.
"""

import torch
from torch import Tensor

from fedcxr.models.base import CxrModel


def cam(model: CxrModel, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return M_c(x, y) = Σ_k w_k^c f_k(x, y), (N, h, w); negative where it speaks against.

    Args:
        model: in evaluation mode, float32; must have a `pooled_head`.
        inputs: (N, 1, H, W) as the model was trained on, on the model's device.
        labels: (N,) whose logit is explained, one for each image.
    """
    head = model.pooled_head
    assert head is not None, "ask `lacks` first"
    seen: list[Tensor] = []
    hook = head.map_layer.register_forward_hook(lambda _layer, _given, made: seen.append(made))
    try:
        with torch.no_grad():
            model(inputs)
            weights = head.linear.weight[labels]  # (N, C)
            return torch.einsum("nc,nchw->nhw", weights, seen[0])
    finally:
        hook.remove()
