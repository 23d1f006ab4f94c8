"""Gradient times input (Shrikumar et al. 2017): how much each pixel speaks for a label."""

import torch
from torch import Tensor, nn


def gradient_times_input(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return maps (N, H, W) of images (N, 1, H, W) for a label each, (N,)."""
    with torch.enable_grad():
        images = inputs.detach().clone().requires_grad_()
        logits = model(images).gather(1, labels.view(-1, 1).to(inputs.device))
        (gradients,) = torch.autograd.grad(logits.sum(), images)
    return (gradients * inputs).squeeze(1).clamp(min=0)
