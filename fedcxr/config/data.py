"""Which images are read, which labels count, and what an uncertain or blank label means."""

from typing import Literal

from pydantic import Field, PositiveInt

from fedcxr.config.section import Section

LabelPolicy = Literal["ignore", "zeros", "ones"]


class SyntheticConfig(Section):
    """The embedded data set, made when no `data.root` is given."""

    patients: PositiveInt = 1600
    size_px: int = Field(default=96, ge=32, le=2048)
    seed: int = Field(default=0, ge=0)


class DataConfig(Section):
    """The data set and how its labels become targets."""

    root: str | None = None
    """Folder of CheXpert or NIH ChestX-ray14; none = the synthetic data set."""
    synthetic: SyntheticConfig = SyntheticConfig()
    views: Literal["frontal", "all"] = "frontal"
    labels: tuple[str, ...] | None = None
    """The labels to train on; none = all 14 of the data set."""
    score_by: Literal["image", "study"] = "image"
    """What AUROC counts; `study` takes the maximum over a study's views (Irvin et al. 2019, §4)."""
    uncertain: LabelPolicy = "ignore"
    """What -1 becomes: unknown, 0 or 1 (U-Ignore, U-Zeros, U-Ones; Irvin et al. 2019, §3.1)."""
    uncertain_by_label: dict[str, LabelPolicy] = Field(default_factory=dict)
    blank: LabelPolicy = "zeros"
    """What a label that the report does not mention becomes; `zeros` as in the CheXpert paper."""
    blank_by_label: dict[str, LabelPolicy] = Field(default_factory=dict)
    max_bad_fraction: float = Field(default=0.001, ge=0.0, lt=1.0)
    """Stop when more than this fraction of the image files cannot be read."""
