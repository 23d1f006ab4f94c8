"""How a model can be asked where it looks, by name.

A further method is a function from model, input and labels to coarse maps, and one entry here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from fedcxr.explain.cam import cam
from fedcxr.explain.gradcam import gradcam
from fedcxr.explain.heat import HeatMaps, as_heat
from fedcxr.explain.needs import NO_POOLED_HEAD
from fedcxr.models.base import CxrModel
from fedcxr.registry import Registry

_BATCH = 16
"""Images explained at once: their activations are all kept for the gradient."""


@dataclass(frozen=True, slots=True)
class Method:
    """One way to ask."""

    title: str
    maps: Callable[[CxrModel, Tensor, Tensor], Tensor]
    """(model, inputs (N, 1, H, W), labels (N,)) → (N, h, w), positive where a place speaks for."""
    lacks: Callable[[CxrModel], str | None] = lambda _model: None
    """What the method needs and the model lacks, as in `needs.py`; None where it fits."""


def _no_pooled_head(model: CxrModel) -> str | None:
    return NO_POOLED_HEAD if model.pooled_head is None else None


METHODS = Registry[Method]("explain.methods", "method")
METHODS.add("gradcam", Method("Grad-CAM", gradcam))
METHODS.add("cam", Method("CAM", cam, _no_pooled_head))


def check_methods(names: Iterable[str]) -> None:
    """Raise ConfigError unless all are names of methods; whether they fit is another question."""
    for name in names:
        METHODS.get(name)


def heat_maps(method: Method, model: CxrModel, inputs: Tensor, labels: int | Tensor) -> HeatMaps:
    """Return where a model looks for a label, by a method that fits it.

    Args:
        method: an entry of `METHODS`.
        model: in evaluation mode, float32.
        inputs: (N, 1, H, W) as the model was trained on, on the model's device.
        labels: the label to explain, or (N,) one for each image.
    """
    assert not model.training, "batch statistics would mix the images: call model.eval() first"
    size = (inputs.shape[2], inputs.shape[3])
    if not len(inputs):
        return as_heat(inputs.new_zeros((0, 1, 1)), size)
    chosen = torch.as_tensor(labels, device=inputs.device).expand(len(inputs))
    parts = zip(torch.split(inputs, _BATCH), torch.split(chosen, _BATCH), strict=True)
    return as_heat(torch.cat([method.maps(model, *part) for part in parts]), size)
