"""A user's own network: made to fit, and tried before anything trains.

What is brought is a class or function `(num_labels, image_size) → nn.Module` for images
(N, 1, H, W), or a `Family` whose `build` is one.
"""

import dataclasses
import inspect
import logging
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from fedcxr.config.model import ModelConfig
from fedcxr.errors import ConfigError, some
from fedcxr.models.base import CxrModel, Family, without_inplace
from fedcxr.models.randomness import seeded_generators

log = logging.getLogger(__name__)

Build = Callable[[int, int], nn.Module]

_LABELS, _IMAGES = 3, 2
_TAKES = "a class or function (num_labels, image_size) that makes an nn.Module"


def as_family(value: object) -> Family:
    """Return the family of what a user's name leads to; `TypeError` where it makes no network."""
    if isinstance(value, Family):
        return value
    if not callable(value):
        raise TypeError(f"is a {type(value).__name__}, expected {_TAKES}")
    try:
        inspect.signature(value).bind(_LABELS, 64)
    except ValueError:  # written in C: no signature to look at
        pass
    except TypeError as err:
        raise TypeError(f"cannot be called with (num_labels, image_size): {err}") from err
    return Family(partial(_build, value), stem="", head="", weights=None)


def with_head(family: Family, config: ModelConfig) -> Family:
    """Return a user's family with the name of its head: the last linear layer of one row a label.

    Raises:
        ConfigError: there is no such layer; a codec of labels' rows and weights from a file need
            its name.
    """
    return family if family.head else dataclasses.replace(family, head=_head(family, config))


@lru_cache(maxsize=8)
def _head(family: Family, config: ModelConfig) -> str:
    network = built(family, config, _LABELS, seed=0).network
    layers = [
        name
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear) and layer.out_features == _LABELS
    ]
    if not layers:
        raise ConfigError(
            f"model.name = {config.name}: has no nn.Linear of one output a label, whose rows are "
            "the labels'. Let it end with one, or give a fedcxr.models.base.Family with its head."
        )
    return str(layers[-1])


def built(family: Family, config: ModelConfig, num_outputs: int, seed: int) -> CxrModel:
    """Return the network with random values from the seed.

    Raises:
        ConfigError: it cannot be built.
    """
    with seeded_generators(seed):  # the CPU's generator only: nothing touches a GPU
        try:
            return family.build(num_outputs, config.image_size)
        except (ConfigError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as err:  # whatever a user's class raises
            raise ConfigError(
                f"model.name = {config.name}: cannot be built for {num_outputs} labels at "
                f"{config.image_size} px ({type(err).__name__}: {err}). Mend it, or set another "
                "model.image_size."
            ) from err


@lru_cache(maxsize=8)
def try_out(family: Family, config: ModelConfig) -> bool:
    """Check that a user's network fits, on two made-up images; return whether it is deterministic.

    Raises:
        ConfigError: names or shapes of its tensors, their kinds, or its output do not fit.
    """
    first, second = (built(family, config, _LABELS, seed=0) for _ in range(2))
    _check_state(config, first, second)
    images = torch.linspace(-1, 1, _IMAGES * config.image_size**2)
    images = images.reshape(_IMAGES, 1, config.image_size, config.image_size)
    with seeded_generators(0), torch.no_grad():
        _check_output(config, _output(config, first.eval(), images))
    same_start = _same(first.state_dict(), second.state_dict())
    steps = [_gradients(config, model, images) for model in (first, second)]
    same = same_start and _same(*steps)
    if not same:
        log.warning(
            "model.name = %s: not deterministic (%s); the same run again will give other weights",
            config.name,
            "two of one seed begin otherwise" if not same_start else "gradients differ",
        )
    return same


def _build(build: Build, num_outputs: int, image_size: int) -> CxrModel:
    network = build(num_outputs, image_size)
    if isinstance(network, CxrModel):
        return network
    if not isinstance(network, nn.Module):
        raise ConfigError(f"model.name: a {type(network).__name__} came, expected {_TAKES}.")
    layers = [name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)]
    cam_layer = getattr(network, "cam_layer", None) or (layers[-1] if layers else None)
    if not isinstance(cam_layer, str):
        raise ConfigError(
            "model.name: the network has no nn.Conv2d for Grad-CAM to look at. Name the layer "
            "whose output is (N, C, h, w) in an attribute cam_layer, as in cam_layer = 'blocks.3'."
        )
    return CxrModel(without_inplace(network), cam_layer)


def _check_state(config: ModelConfig, first: CxrModel, second: CxrModel) -> None:
    """Refuse tensors that cannot be averaged, or that another process would not find again."""
    shapes = [{n: tuple(t.shape) for n, t in m.state_dict().items()} for m in (first, second)]
    names = [set(shape) for shape in shapes]
    other = sorted(names[0] ^ names[1])
    other += sorted(n for n in names[0] & names[1] if shapes[0][n] != shapes[1][n])
    if other:
        raise ConfigError(
            f"model.name = {config.name}: built twice, it has other parameters: {some(other, 4)}. "
            "Every site builds its own, so names and shapes must follow from (num_labels, "
            "image_size) alone."
        )
    state = first.state_dict()
    allowed = (torch.float32, torch.int64)
    wrong = [
        f"{n} is {t.dtype} {list(t.shape)}" for n, t in state.items() if t.dtype not in allowed
    ]
    if wrong:
        raise ConfigError(
            f"model.name = {config.name}: {some(wrong, 4)}, and all parameters must be "
            "torch.float32. Call .float() on it; engine.precision chooses how it computes."
        )
    if not any(p.requires_grad for p in first.parameters()):
        raise ConfigError(f"model.name = {config.name}: has nothing to train. Set requires_grad.")


def _output(config: ModelConfig, model: CxrModel, images: Tensor) -> Any:  # noqa: ANN401  # a user's
    try:
        return model(images)
    except Exception as err:  # whatever a user's network raises
        raise ConfigError(
            f"model.name = {config.name}: fails on images {list(images.shape)} "
            f"({type(err).__name__}: {err}). A radiograph has one channel; docs/extending.md has "
            "the adapter for networks of three."
        ) from err


def _check_output(config: ModelConfig, output: object) -> None:
    wanted = f"torch.float32 {[_IMAGES, _LABELS]}: one logit for each of {_LABELS} labels"
    if not isinstance(output, Tensor):
        found = f"a {type(output).__name__}"
    elif list(output.shape) == [_IMAGES, _LABELS] and output.dtype == torch.float32:
        if bool(torch.isfinite(output).all()):
            return
        found = "numbers that are not finite"
    else:
        found = f"{output.dtype} {list(output.shape)}"
    raise ConfigError(
        f"model.name = {config.name}: of {_IMAGES} images of {config.image_size} px it returns "
        f"{found}, expected {wanted}."
    )


def _gradients(config: ModelConfig, model: CxrModel, images: Tensor) -> dict[str, Tensor]:
    """Return the gradients of a training step, by name."""
    with seeded_generators(1):
        output: Tensor = _output(config, model.train(), images)
        if not output.requires_grad:
            raise ConfigError(
                f"model.name = {config.name}: no gradient reaches its parameters. Leave out "
                "no_grad and detach."
            )
        output.square().sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it so
    named = model.named_parameters()
    return {name: tensor.grad for name, tensor in named if tensor.grad is not None}


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)
