"""An arm of the user's own: the federation's configuration with something laid over it.

Such arms are trained at the sites; a study's own may be trained on all sites' images at one place,
and held against others than a comparison's would be. A comparison keeps both in its folder.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcxr.atomic import write_text_atomically
from fedcxr.config.compare import ARM_NAMES
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import overlay_file, parse_settings, read_config, to_yaml, with_values
from fedcxr.errors import ConfigError
from fedcxr.experiments.compare.variants import study_names
from fedcxr.runs.folder import RunFolder
from server.choices import check_choices, check_cohort


@dataclass(frozen=True, slots=True)
class StudyDesign:
    """What a study has otherwise than a comparison with further arms."""

    pooled: Collection[str] = ()
    """Further arms that train on all sites' images at one place."""
    pairs: Sequence[tuple[str, str]] = ()
    """Which arm is held against which; none = as a comparison does."""

    def to_json(self) -> dict[str, Any]:
        """Return it as the manifest holds it."""
        return {"pooled_arms": sorted(self.pooled), "pairs": [list(pair) for pair in self.pairs]}


COMPARISON = StudyDesign()


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


def keep_arms(folder: Path, arms: Mapping[str, ExperimentConfig]) -> None:
    """Write the configurations of further arms into a comparison's folder."""
    for name, config in arms.items():
        write_text_atomically(folder / "arms" / f"{name}.yaml", to_yaml(config))


def kept_arms(folder: Path) -> tuple[dict[str, ExperimentConfig], list[str]]:
    """Return the configurations of further arms by name, and which of them are pooled.

    Raises:
        ArtefactError: a file is missing or damaged.
    """
    manifest = RunFolder.open(folder).read_json("manifest.json")
    names = manifest["further_arms"]
    pooled = [str(name) for name in manifest.get("pooled_arms", ())]
    return {name: read_config(folder / "arms" / f"{name}.yaml") for name in names}, pooled


def kept_pairs(folder: Path, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return which arms a study holds against which, of those that there are; none = as usual."""
    if not (folder / "manifest.json").is_file():
        return []
    pairs = RunFolder(folder).read_json("manifest.json").get("pairs", ())
    return [(arm, against) for arm, against in pairs if arm in names and against in names]
