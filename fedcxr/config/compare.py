"""What `fedcxr compare` trains and how it judges; a run's page reads `prevalence` too."""

from typing import Annotated, Literal, get_args

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from fedcxr.config.flag import Flag
from fedcxr.config.paths import PathText
from fedcxr.section import Section

ArmName = Literal["federated", "centralized", "local", "centralized-steps", "centralized-restarts"]
ARM_NAMES: tuple[ArmName, ...] = get_args(ArmName)
Augmentation = Literal["none", "copies", "classical", "vae"]
AUGMENTATIONS: tuple[Augmentation, ...] = get_args(Augmentation)
_MAIN_ARMS: tuple[ArmName, ...] = ("federated", "centralized", "local", "centralized-steps")


class CompareConfig(Section):
    """Arms, seeds and statistics.

    What of it decides the verdict is frozen in the comparison's `protocol.json` before the first
    training; what is changed later is told as a deviation.
    """

    arms: Annotated[tuple[ArmName, ...], Flag()] = Field(default=_MAIN_ARMS, min_length=1)
    """`centralized` sees as many images as all sites together, `centralized-steps` takes as many
    steps as the largest site, `centralized-restarts` is `centralized` with an optimiser that starts
    anew each round, as the sites' does."""
    augmentations: Annotated[
        tuple[Augmentation, ...], Flag("What is added to the real images, in a study of that.")
    ] = ()
    """A study of augmentation: every arm is trained with each of these in place of `vae.added`, and
    the question is whether the VAE's samples help more than copies do. None = no such study."""
    models: Annotated[
        tuple[str, ...], Flag("Networks that a study of augmentation is made with, each.")
    ] = ()
    """A study of augmentation: every arm is trained with each of these networks in place of
    `model.name`, and the question is asked of each. None = `model.name` alone."""
    seeds: Annotated[PositiveInt, Flag("Trainings of each arm.")] = Field(default=3, le=100)
    """Trainings of each arm on each partition: seeds `seed`, `seed` + 1, …; the partition stays
    that of `seed`."""
    partitions: Annotated[
        PositiveInt, Flag("Draws of patients to sites, all arms trained on each.")
    ] = Field(default=1, le=100)
    """Draws of the patients to the sites, with the same global validation and test patients. All
    arms are trained on each of them, draw k with the seeds `seed` + 100 k, `seed` + 100 k + 1, …:
    with several the verdict is about other partitions too."""
    external: Annotated[
        tuple[PathText, ...],
        Flag("A data set from elsewhere to score every model on; may be repeated.", is_path=True),
    ] = ()
    """Folders of data sets from elsewhere, in any layout that `data.root` takes: every training's
    model is scored on them, each an endpoint of its own."""
    margin: Annotated[float, Flag("Largest loss of macro AUROC that counts as none.")] = Field(
        default=0.01, gt=0.0, lt=0.5
    )
    """Of non-inferiority: the largest loss of macro AUROC that still counts as none; in a study of
    augmentation the smallest gain that would matter."""
    primary_labels: Annotated[
        tuple[str, ...], Flag("Labels that the verdict is about; all, if not given.")
    ] = ()
    """Labels whose mean AUROC is the primary endpoint; none = all labels of the run."""
    min_positives: int = Field(default=10, ge=1, le=1_000_000)
    """Test patients with the finding, and likewise without it, that a label of the endpoint needs.
    10 is the smallest number at which `fedcxr selftest stats` found the interval to hold."""
    prevalence: dict[str, Annotated[float, Field(gt=0.0, lt=1.0)]] = Field(default_factory=dict)
    """By label, the share of the ill for which a positive predictive value is given beside that of
    the test set."""
    learning_rates: Annotated[
        tuple[PositiveFloat, ...], Flag("Tried for each arm; the best on val is taken.")
    ] = ()
    """Tried for each arm with the first seed, each a whole training; the best on val is taken.
    None = `train.learning_rate` for all."""
    at_once: Annotated[PositiveInt | None, Flag("Trainings side by side.")] = Field(
        default=None, le=1024
    )
    """Trainings side by side; none = as many as there are cores, one on a GPU."""

    @field_validator("external", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator(
        "arms", "augmentations", "models", "learning_rates", "primary_labels", "external"
    )
    @classmethod
    def _once(cls, values: tuple[object, ...]) -> tuple[object, ...]:
        twice = {value for value in values if values.count(value) > 1}
        if twice:
            raise ValueError(f"{', '.join(map(str, sorted(twice, key=str)))}: given twice")
        return values
