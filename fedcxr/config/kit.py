"""What `kit.yaml` says: the facts of a server's or a site's start-up kit that are no secret."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, ValidationError

from fedcxr.config.load import parse_yaml
from fedcxr.config.task import SiteTask
from fedcxr.config.vae import VAE_NUMBERS
from fedcxr.errors import ConfigError, LimitError
from fedcxr.section import Section

KIT_YAML = "kit.yaml"
NODE_KEY = "node.key"
RESERVED = ("server", "authority")
"""Folders of a deployment that no site can be named after."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]+)):(?P<port>\d{1,5})")


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`; an IPv6 host stands in brackets.

    >>> parse_address("fl.example.org:9092"), parse_address("[::1]:9092")
    (('fl.example.org', 9092), ('::1', 9092))

    Raises:
        ValueError: it is no such text.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or not 1 <= int(found["port"]) <= 65535:
        raise ValueError(f"{text!r} is not HOST:PORT, as in fl.example.org:9092 or [::1]:9092")
    return found["v6"] or found["host"], int(found["port"])


def check_site_name(name: str) -> str:
    """Return the name of a site; `ValueError` where it cannot be that of a folder everywhere."""
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise ValueError(
            f"{name!r} cannot name a site: letters, digits, '.', '_' and '-', a letter or digit "
            f"first, 64 at most, and not {' or '.join(RESERVED)}"
        )
    return name


def _check_address(text: str) -> str:
    parse_address(text)
    return text


def _check_vae_numbers(text: str) -> str:
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in VAE_NUMBERS]
    if text not in ("all", "none") and unknown:
        raise ValueError(f"{unknown[0]!r} is no number of a VAE: {', '.join(VAE_NUMBERS)}")
    return text


Address = Annotated[str, AfterValidator(_check_address)]
SiteName = Annotated[str, AfterValidator(check_site_name)]


class ServerKitConfig(Section):
    """The server's `kit.yaml`."""

    kit: Literal["server"] = "server"
    address: Address
    """Where the sites reach the server."""


class SiteLimits(Section):
    """The most that a site's owner lets a run ask for; none = no limit."""

    local_epochs: PositiveInt | None = None
    """Most epochs a round."""
    steps: PositiveInt | None = None
    """Most steps a round, of a batch each; a VAE's own are not among them."""
    image_size: PositiveInt | None = None
    """Longest side, pixels."""
    models: tuple[str, ...] | None = None
    """The networks that may be trained."""
    algorithms: tuple[str, ...] | None = None
    """The algorithms that may be followed."""
    vae: bool = True
    """Whether a VAE of the site's images may be made, for the site's own use."""
    label_counts: bool = True
    """Whether it may be told how many of the training targets of each label are known and positive.
    """
    min_sites: PositiveInt | None = None
    """Fewest sites of a round, as the server says how many it asks; in a mean of few, one site's
    update shows. The site cannot check the number."""
    secure_aggregation: bool = False
    """Whether a run must have the site mask its updates, so that the server sees sums alone."""
    scores: bool = True
    """Whether the loss and AUROC of a model on the site's own val images may be told."""
    privacy: Literal["patient"] | None = None
    """`patient`: each patient must be protected by DP-SGD at the site; none = as the run says."""
    epsilon: PositiveFloat | None = None
    """Most ε for a patient over a whole run; a run without patient-level privacy has more."""
    delta: float | None = Field(default=None, gt=0.0, lt=1.0)
    """Most δ for a patient; a run without patient-level privacy has more."""

    def check(self, task: SiteTask, *, num_sites: int, asks_scores: bool = False) -> None:
        """Raise `LimitError` where an order asks for more; it names every limit but `steps`.

        Args:
            task: the run's.
            num_sites: that are sent the order.
            asks_scores: whether it asks for the site's own scores.
        """
        asked = []
        if self.local_epochs is not None and task.train.local_epochs > self.local_epochs:
            asked.append(f"local_epochs: {task.train.local_epochs} of {self.local_epochs}")
        if self.image_size is not None and task.model.image_size > self.image_size:
            asked.append(f"image_size: {task.model.image_size} of {self.image_size}")
        if self.models is not None and task.model.name not in self.models:
            asked.append(f"models: {task.model.name} is none of {', '.join(self.models)}")
        if self.algorithms is not None and task.algorithm.name not in self.algorithms:
            asked.append(f"algorithms: {task.algorithm.name} is none of {self.algorithms}")
        if task.vae.enabled and not self.vae:
            asked.append("vae: none is to be made")
        if _tells_counts(task) and not self.label_counts:
            asked.append("label_counts: none are to leave")
        if self.min_sites is not None and num_sites < self.min_sites:
            asked.append(f"min_sites: it asks {num_sites} sites, and {self.min_sites} are needed")
        if self._needs_privacy and task.privacy.level != "patient":
            asked.append(f"privacy: patient is needed, and the run has {task.privacy.level}")
        if self.secure_aggregation and task.secure is None:
            asked.append("secure_aggregation: the server would see the site's own update")
        if asks_scores and not self.scores:
            asked.append("scores: none are to leave")
        _refuse(asked)

    def check_privacy(self, epsilon: float, delta: float) -> None:
        """Raise `LimitError` where a patient would be protected less than the owner wants.

        Args:
            epsilon: over all rounds of the run.
            delta: of it.
        """
        asked = []
        if self.epsilon is not None and epsilon > self.epsilon:
            asked.append(f"epsilon: {epsilon:.4g} of {self.epsilon:g}")
        if self.delta is not None and delta > self.delta:
            asked.append(f"delta: {delta:.3g} of {self.delta:g}")
        _refuse(asked)

    @property
    def _needs_privacy(self) -> bool:
        return any(limit is not None for limit in (self.privacy, self.epsilon, self.delta))

    def check_steps(self, steps: int) -> None:
        """Raise `LimitError` where a round would take more steps than the owner allows."""
        if self.steps is not None and steps > self.steps:
            _refuse([f"steps: {steps} of {self.steps}"])


class SiteKitConfig(Section):
    """A site's `kit.yaml`; its owner may change all but the first three."""

    kit: Literal["site"] = "site"
    site: SiteName
    """The site's name in the plan, bound to the kit's key."""
    server: Address
    vae_numbers: Annotated[str, AfterValidator(_check_vae_numbers)] = "none"
    """Which numbers of its own VAE the site lets out: all, none, or names with commas between."""
    plugins: tuple[Annotated[str, Field(pattern=r"^[^\W\d]\w*$")], ...] = ()
    """Installed packages whose models, losses and the like a run may name, without dots."""
    limits: SiteLimits = SiteLimits()


KitConfig = ServerKitConfig | SiteKitConfig


def kit_yaml(config: KitConfig) -> str:
    """Return the text of a `kit.yaml`."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def read_kit_yaml(folder: Path) -> KitConfig:
    """Return what a kit's `kit.yaml` says.

    Raises:
        ConfigError: it is not there, or a key is missing, unknown or out of range; all of them are
            named.
    """
    file = folder / KIT_YAML
    try:
        tree: dict[str, Any] = parse_yaml(file.read_text("utf-8"), str(file))
    except OSError as err:
        raise ConfigError(
            f"{file}: cannot be read ({err.strerror}). Give the folder of a kit that "
            "`fedcxr provision` made, such as deploy/server or deploy/site-00."
        ) from err
    except UnicodeDecodeError as err:
        raise ConfigError(f"{file}: not UTF-8 text. Take it from the kit as it was made.") from err
    kind = tree.get("kit")
    if kind not in ("server", "site"):
        raise ConfigError(f"{file}: 'kit' is {kind!r}; expected server or site.")
    try:
        if kind == "server":
            return ServerKitConfig.model_validate(tree)
        return SiteKitConfig.model_validate(tree)
    except ValidationError as err:
        lines = [_explained(problem["loc"], problem["msg"]) for problem in err.errors()]
        raise ConfigError(f"{file} is wrong:\n  " + "\n  ".join(lines)) from err


def _refuse(asked: list[str]) -> None:
    if asked:
        raise LimitError(f"kit.yaml, limits: the run asks for more: {'; '.join(asked)}.")


def _tells_counts(task: SiteTask) -> bool:
    """Return whether a run has sites send counts of each label."""
    return task.counts_known or task.train.class_frequencies == "shared"


def _explained(place: tuple[str | int, ...], message: str) -> str:
    where = ".".join(str(part) for part in place)
    return f"{where}: {message.removeprefix('Value error, ')}."
