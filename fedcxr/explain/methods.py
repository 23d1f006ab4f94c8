"""How a model can be asked where it looks, by name.

A further method is a function from model, input and labels to coarse maps, and one entry here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from fedcxr.errors import ConfigError
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


def _accept(value: object) -> Method:
    """Make a method of a `Method`, or of a function of model, inputs and labels."""
    if isinstance(value, Method):
        return value
    if not callable(value) or isinstance(value, type):
        raise TypeError(
            "is no function (model, inputs (N, 1, H, W), labels (N,)) → maps (N, h, w), and no "
            "fedcxr.explain.methods.Method"
        )
    return Method(getattr(value, "__name__", "own method"), value)


METHODS: Registry[Method] = Registry("explain.methods", "method", "fedcxr.explanations", _accept)
METHODS.add("gradcam", Method("Grad-CAM", gradcam))
METHODS.add("cam", Method("CAM", cam, _no_pooled_head))


def check_methods(names: Iterable[str]) -> None:
    """Raise ConfigError unless all are names of methods; whether they fit is another question."""
    for name in names:
        METHODS.get(name)


def try_method(name: str, model: CxrModel, inputs: Tensor) -> None:
    """Try a user's method on a model in evaluation mode.

    Args:
        name: of the method.
        model: that the run trains.
        inputs: (N, 1, H, W) made-up images.

    Raises:
        ConfigError: it fails, or gives no map of finite numbers for each image.
    """
    method = METHODS.get(name)
    if method.lacks(model) is not None:
        return
    labels = torch.zeros(len(inputs), dtype=torch.int64)
    try:
        found = method.maps(model, inputs, labels)
    except Exception as err:  # whatever a user's function raises
        raise ConfigError(
            f"explain.methods: {name} fails on images {list(inputs.shape)} "
            f"({type(err).__name__}: {err})."
        ) from err
    wrong = None
    if not isinstance(found, Tensor):
        wrong = f"a {type(found).__name__}"
    elif found.ndim != 3 or len(found) != len(inputs) or not found.is_floating_point():
        wrong = f"{found.dtype} {list(found.shape)}"
    elif not bool(torch.isfinite(found).all()):
        wrong = "numbers that are not finite"
    if wrong:
        raise ConfigError(
            f"explain.methods: {name} returns {wrong} for images {list(inputs.shape)}, expected "
            f"maps of float {[len(inputs), 'h', 'w']}."
        )


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
