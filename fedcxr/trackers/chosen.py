"""From the configuration to a run's trackers."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from fedcxr.config.track import TrackConfig
from fedcxr.errors import ConfigError
from fedcxr.registry import Registry
from fedcxr.trackers.mlflow_tracker import MlflowTracker
from fedcxr.trackers.protocol import Tracker
from fedcxr.trackers.tensorboard_tracker import TensorBoardTracker
from fedcxr.trackers.wandb_tracker import WandbTracker

_METHODS = ("on_start", "on_round", "on_end")


def _accept(value: object) -> Callable[[], Tracker]:
    if isinstance(value, type):
        lacking = [name for name in _METHODS if not callable(getattr(value, name, None))]
        if not lacking:
            return value
    elif isinstance(value, Tracker):
        return lambda: value
    else:
        lacking = list(_METHODS)
    raise TypeError(
        f"lacks {', '.join(lacking)}: expected a class without arguments, or an object, as "
        "fedcxr.trackers.protocol.Tracker says"
    )


TRACKERS = Registry[Callable[[], Tracker]]("track.own", "tracker", "fedcxr.trackers", _accept)
"""Of users; fedcxr's own have a key each."""


def check_trackers(config: TrackConfig) -> None:
    """Raise ConfigError where a package is missing, or an own tracker cannot be imported."""
    for package in ("tensorboard", "mlflow", "wandb"):
        if getattr(config, package) is not None and not _is_installed(package):
            raise ConfigError(
                f"track.{package}: the package {package} is not installed. Install it with "
                f"pip install 'fedcxr[{package}]', or leave it out."
            )
    for name in config.own:
        TRACKERS.get(name)


def _is_installed(package: str) -> bool:
    spec = find_spec(package)
    # W&B makes a folder of its name where a script runs: that is no package
    return spec is not None and spec.origin is not None


def chosen_trackers(config: TrackConfig) -> dict[str, Tracker]:
    """Return the trackers of a run by the names that messages have for them.

    Raises:
        ConfigError: as of `check_trackers`, or an own tracker cannot be made.
    """
    check_trackers(config)
    found: dict[str, Tracker] = {}
    if config.tensorboard is not None:
        found["tensorboard"] = TensorBoardTracker(Path(config.tensorboard))
    if config.mlflow is not None:
        found["mlflow"] = MlflowTracker(config.mlflow)
    if config.wandb is not None:
        found["wandb"] = WandbTracker(config.wandb)
    for name in config.own:
        make = TRACKERS.get(name)
        try:
            found[name] = make()
        except Exception as err:  # whatever a user's class raises
            raise ConfigError(
                f"track.own = {name}: cannot be made ({type(err).__name__}: {err}). Give a class "
                "that takes no arguments."
            ) from err
    return found
