"""How training images are varied, by name: a draw on the CPU, and its use where the images are.

What is drawn is drawn on the CPU from a generator that is seeded by name, so that every device and
any number of workers see the same variations. Not for images that are added (`vae.added`).
"""

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from fedcxr.config.train import AugmentConfig
from fedcxr.errors import ConfigError
from fedcxr.registry import Registry
from fedcxr.training.transforms import augment, draw_views

log = logging.getLogger(__name__)

NUM_RANDOM = 16
"""Random numbers that a user's function is given for each image."""
_IMAGES, _SIDE_PX = 4, 32

Draw = Callable[[int, AugmentConfig, torch.Generator], Tensor]
"""(number of images, configuration, generator) → (N, …), made on the CPU."""
Apply = Callable[[Tensor, Tensor], Tensor]
"""(images (N, 1, H, W) as the network sees them, what was drawn) → images of the same shape."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """One way to vary images."""

    draw: Draw
    apply: Apply
    reads_keys: bool = False
    """Whether it reads the other keys of `train.augment`."""


def _draw_uniform(num: int, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Return (N, 16) numbers in [0, 1)."""
    return torch.rand(num, NUM_RANDOM, generator=generator)


def _accept(value: object) -> Augmentation:
    """Make an augmentation of an `Augmentation`, or of a function of images and random numbers."""
    if isinstance(value, Augmentation):
        return value
    takes = "a function (images (N, 1, H, W), random numbers (N, 16) in [0, 1)) → images"
    made = value() if isinstance(value, type) else value
    if not callable(made):
        raise TypeError(f"is no {takes[2:]}, and no fedcxr.training.augmentations.Augmentation")
    try:
        inspect.signature(made).bind(None, None)
    except ValueError:  # written in C: no signature to look at
        pass
    except TypeError as err:
        raise TypeError(f"is not {takes}: {err}") from err
    return Augmentation(_draw_uniform, made)


AUGMENTATIONS: Registry[Augmentation] = Registry(
    "train.augment.name", "augmentation", "fedcxr.augmentations", _accept
)
AUGMENTATIONS.add("views", Augmentation(draw_views, augment, reads_keys=True))


def check_augmentation(config: AugmentConfig) -> None:
    """Check the chosen augmentation, a user's own by trying it.

    Raises:
        ConfigError: an unknown name, a key that it does not read, or one that does not fit.
    """
    chosen = AUGMENTATIONS.get(config.name)
    if not chosen.reads_keys:
        fields = AugmentConfig.model_fields
        changed = [
            key
            for key, field in fields.items()
            if key != "name" and getattr(config, key) != field.default
        ]
        if changed:
            raise ConfigError(
                f"train.augment.{changed[0]} = {getattr(config, changed[0])}: train.augment.name = "
                f"{config.name} does not read it. Leave it at its default "
                f"({fields[changed[0]].default}), or take train.augment.name=views."
            )
    if AUGMENTATIONS.reference(config.name):
        _try(config)


@lru_cache(maxsize=8)
def _try(config: AugmentConfig) -> None:
    """Try a user's augmentation on made-up images; say where it is not deterministic."""
    chosen = AUGMENTATIONS.get(config.name)
    images = torch.linspace(-1, 1, _IMAGES * _SIDE_PX**2).reshape(_IMAGES, 1, _SIDE_PX, _SIDE_PX)
    try:
        drawn = chosen.draw(_IMAGES, config, torch.Generator().manual_seed(0))
        found, again = chosen.apply(images.clone(), drawn), chosen.apply(images.clone(), drawn)
    except Exception as err:  # whatever a user's function raises
        raise ConfigError(
            f"train.augment.name = {config.name}: fails on images {list(images.shape)} "
            f"({type(err).__name__}: {err})."
        ) from err
    wrong = None
    if not isinstance(found, Tensor):
        wrong = f"a {type(found).__name__}"
    elif found.shape != images.shape or found.dtype != images.dtype:
        wrong = f"{found.dtype} {list(found.shape)}"
    elif not bool(torch.isfinite(found).all()):
        wrong = "numbers that are not finite"
    if wrong:
        raise ConfigError(
            f"train.augment.name = {config.name}: returns {wrong} for images "
            f"{list(images.shape)}, expected torch.float32 {list(images.shape)}."
        )
    if not torch.equal(found, again):
        log.warning(
            "train.augment.name = %s: not deterministic; the same run again will give other "
            "weights. Take chance from the random numbers that it is given",
            config.name,
        )
