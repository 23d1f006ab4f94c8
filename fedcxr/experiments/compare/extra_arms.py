"""An arm of the user's own: the federation's configuration with something laid over it."""

from collections.abc import Sequence
from pathlib import Path

from fedcxr.config.compare import ARM_NAMES
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import overlay_file, parse_settings, with_values
from fedcxr.errors import ConfigError
from fedcxr.experiments.compare.variants import study_names
from server.choices import check_choices, check_cohort


def extra_arm(config: ExperimentConfig, name: str, over: Path | Sequence[str]) -> ExperimentConfig:
    """Return the configuration of an arm of the user's own, judged on the same patients.

    Args:
        config: of the comparison.
        name: of the arm.
        over: what is laid over `config`: a file, or `key=value` texts.

    Raises:
        ConfigError: the name is taken, or the arm would be judged on other patients.
    """
    taken = [*ARM_NAMES, *study_names(config)]
    if name in taken or not name.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(
            f"--arm {name}: choose another name, of letters, digits, '-' and '_', that none of "
            f"{', '.join(taken)} has."
        )
    if isinstance(over, Path):
        changed = overlay_file(config, over)
    else:
        changed = with_values(config, parse_settings(over))
    check_choices(changed)
    for section in ("data", "partition", "seed", "compare"):
        if getattr(changed, section) != getattr(config, section):
            raise ConfigError(
                f"--arm {name}: {section} differs from the other arms', so it could not be "
                f"compared with them. Leave {section} out."
            )
    check_cohort(changed, changed.partition.clients)
    return changed
