"""What an attack by gradient inversion is to do, checked before anything is computed."""

import math
from dataclasses import dataclass

from fedcxr.attacks.protections import PROTECTIONS, Protection
from fedcxr.errors import ConfigError

METHODS = ("auto", "cosine", "layers", "tokens")
TRANSFORMERS = ("vit_b_16",)
"""Networks that `tokens` is for."""


@dataclass(frozen=True, slots=True)
class InversionDesign:
    """Which images, seen through what, sought how."""

    images: int = 8
    """Of different patients of the site."""
    protections: tuple[str, ...] = ("none", "frozen", "dp", "sum")
    method: str = "auto"
    """`auto`: `tokens` for a vision transformer, `layers` for other networks."""
    steps: int = 300
    restarts: int = 1
    statistics: float = 0.01
    """Weight of batch-norm statistics, where they are sent; 0 = the attacker does without."""
    per_update: int = 1
    """Images that a site trains on before it sends its update."""
    batch_size: int | None = None
    """Images of one of its steps; none = all of the update's."""
    learning_rate: float = 1e-3
    """Between its steps."""
    cohort: int = 8
    """Sites in a sum."""
    clip: float = 1.0
    noise: float = 1.0
    crafted: bool = False
    """Whether the server sends a head of random numbers in place of the model's."""

    @property
    def local_steps(self) -> int:
        """Steps of a site."""
        return math.ceil(self.per_update / (self.batch_size or self.per_update))

    def together(self, protection: Protection) -> int:
        """Return how many images what the server sees is made of."""
        return self.per_update * (self.cohort if protection.summed else 1)

    def images_for(self, protection: Protection, available: int) -> int:
        """Return how many images whole updates, or cohorts, take.

        Raises:
            ConfigError: the site has fewer.
        """
        together = self.together(protection)
        needed = math.ceil(self.images / together) * together
        if needed > available:
            raise ConfigError(
                f"--images {self.images}: with {together} images in what the server sees under "
                f"{protection.name!r}, {needed} patients are needed and the site has {available}. "
                "Lower --images, --per-update or --cohort, or choose another --site."
            )
        return needed

    def steps_of_search(self, model: str, available: int) -> int:
        """Return how many steps all searches take together.

        Raises:
            ConfigError: it does not fit the network or the site.
        """
        each = 1 if self.method_for(model) == "tokens" else self.steps * self.restarts
        total = 0
        for name in self.protections:
            protection = PROTECTIONS[name]
            images = self.images_for(protection, available)
            total += images // self.together(protection) * each
        return total

    def check(self) -> None:
        """Raise ConfigError unless it can be carried out, as far as it can be known yet."""
        unknown = [name for name in self.protections if name not in PROTECTIONS]
        if unknown or not self.protections or len(set(self.protections)) < len(self.protections):
            wrong = f"there is no {unknown[0]!r}" if unknown else "name each once, at least one"
            raise ConfigError(f"--protection: {wrong}. Known: {', '.join(PROTECTIONS)}.")
        if self.method not in METHODS:
            raise ConfigError(f"--method {self.method}: known are {', '.join(METHODS)}.")
        least = {
            "images": 1,
            "steps": 1,
            "restarts": 1,
            "per_update": 1,
            "batch_size": 1,
            "cohort": 2,
        }
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise ConfigError(f"{_flag(name)} {value}: expected at least {low}.")
        for name in ("clip", "learning_rate", "noise", "statistics"):
            value = getattr(self, name)
            lowest = 0.0 if name in ("noise", "statistics") else math.ulp(0.0)
            if not (math.isfinite(value) and value >= lowest):
                bound = "0 or more" if lowest == 0.0 else "a number above 0"
                raise ConfigError(f"{_flag(name)} {value:g}: expected {bound}.")
        if "dp" in self.protections and self.noise == 0:
            raise ConfigError("--noise 0: without noise nothing is private. Leave dp out.")

    def method_for(self, model: str) -> str:
        """Return the method for a network.

        Raises:
            ConfigError: it does not fit.
        """
        if self.method == "auto":
            return "tokens" if model in TRANSFORMERS else "layers"
        if self.method == "tokens" and model not in TRANSFORMERS:
            known = ", ".join(TRANSFORMERS)
            raise ConfigError(f"--method tokens: {model} has no tokens. It is for {known}.")
        return self.method


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
