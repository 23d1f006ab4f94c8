"""Which images are read, which labels count, and what an uncertain or blank label means."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from fedcxr.config.flag import Flag
from fedcxr.config.paths import PathText
from fedcxr.section import Section

BlankPolicy = Literal["ignore", "zeros", "ones"]
LabelPolicy = Literal["ignore", "zeros", "ones", "smoothed", "multi_class", "self_trained"]
TaskName = Literal["lung-lesion"]


class SyntheticConfig(Section):
    """The embedded data set, made when no `data.root` is given."""

    patients: PositiveInt = 1600
    size_px: int = Field(default=96, ge=32, le=2048)
    seed: int = Field(default=0, ge=0)


class DataConfig(Section):
    """The data set and how its labels become targets."""

    root: Annotated[
        PathText | tuple[PathText, ...] | None,
        Flag(
            "CheXpert, NIH ChestX-ray14 or own data; twice = joined; none = synthetic.",
            name="--data",
            is_path=True,
        ),
    ] = None
    """Folder of CheXpert, NIH ChestX-ray14 or own data (`dataset.yaml`), or several to join; none =
    the synthetic data set."""
    synthetic: SyntheticConfig = SyntheticConfig()
    views: Annotated[Literal["frontal", "all"], Flag()] = "frontal"
    labels: Annotated[tuple[str, ...] | None, Flag("Comma-separated; default all.")] = None
    """The labels to train on; none = all of the data set, or those that joined ones share."""
    task: Annotated[TaskName | None, Flag("One label of its own in place of all: {choices}.")] = (
        None
    )
    """A binary task, whose one label is made of those of the data set; `lung-lesion` is CheXpert's
    Lung Lesion, or either of NIH's Nodule and Mass."""
    label_table: Annotated[str | None, Flag("train_cheXbert.csv in place of train.csv.")] = Field(
        default=None, pattern=r"^[^/\\]+\.csv$"
    )
    """CheXpert's table of training labels, such as train_cheXbert.csv; none = train.csv."""
    score_by: Annotated[Literal["image", "study"], Flag()] = "image"
    """What AUROC counts; `study` takes the maximum over a study's views (Irvin et al. 2019, §4)."""
    uncertain: Annotated[LabelPolicy, Flag("-1 becomes: {choices}.")] = "ignore"
    """What -1 becomes in training: unknown, 0, 1, a random value, a class of its own, or what the
    first rounds' model predicts (Irvin et al. 2019, §3.1; Pham et al. 2021, §3.3). It is never
    scored."""
    uncertain_by_label: dict[str, LabelPolicy] = Field(default_factory=dict)
    smooth_low: float = Field(default=0.55, ge=0.0, le=1.0)
    """`smoothed` draws from here to `smooth_high`, once for each image and label of a run."""
    smooth_high: float = Field(default=0.85, ge=0.0, le=1.0)
    self_train_after: PositiveInt | None = None
    """`self_trained` ignores -1 for so many rounds, then predicts it; none = half of the rounds."""
    blank: BlankPolicy = "zeros"
    """What a label that the report does not mention becomes; `zeros` as in the CheXpert paper."""
    blank_by_label: dict[str, BlankPolicy] = Field(default_factory=dict)
    accept_changed_data: Annotated[
        bool,
        Flag(
            "Take data that are not those the partition was made from.",
            name="--accept-changed-data",
        ),
    ] = False
    """Take data that are not as they were when the partition was made, or the run began: today's
    labels and pixels, everybody in the set they were in. Holds for one start."""
    follow_links: Annotated[bool, Flag("Links may lead out of the folder.")] = False
    """Follow symbolic links that lead out of the folder, such as that of a linked images folder."""
    max_bad_fraction: float = Field(default=0.001, ge=0.0, lt=1.0)
    """Stop when more than this fraction of the image files cannot be read."""

    @property
    def roots(self) -> tuple[str, ...]:
        """Return the folders; empty = the synthetic data set."""
        if self.root is None:
            return ()
        return (self.root,) if isinstance(self.root, str) else self.root

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.smooth_low > self.smooth_high:
            raise ValueError("smooth_low is above smooth_high")
        if self.root is not None and (not self.roots or len(set(self.roots)) < len(self.roots)):
            raise ValueError("root: name each folder once, at least one")
        if self.task is not None and self.labels is not None:
            raise ValueError("task has a label of its own: leave labels out")
        return self
