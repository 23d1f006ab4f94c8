"""How patients are given to splits and sites."""

from difflib import get_close_matches
from typing import Annotated, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from fedcxr.config.flag import Flag
from fedcxr.config.paths import PathText
from fedcxr.plugins import entries_of
from fedcxr.section import Section

SchemeName = Literal[
    "iid", "dirichlet", "quantity", "by-attribute", "by-source", "hospitals", "sites-file"
]

SCHEMES: tuple[SchemeName, ...] = get_args(SchemeName)
SCHEME_GROUP = "fedcxr.schemes"
"""Of the entry points by which packages offer schemes of their own."""


def _check_scheme(name: str) -> str:
    if name in SCHEMES or ":" in name or name in entries_of(SCHEME_GROUP):
        return name
    near = get_close_matches(name, SCHEMES, n=1)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(
        f"there is no scheme {name!r}{meant}: {', '.join(SCHEMES)}, or your own by "
        "package.module:Name"
    )


ATTRIBUTES = ("projection", "view", "sex", "age_band")
"""What every record has; any other attribute is a column of the data set's own table."""


class ClassSizes(Section):
    """Images with and without the run's one label, in each set of patients."""

    train: tuple[PositiveInt, PositiveInt]
    """Of all sites together, their own validation patients included."""
    val: tuple[PositiveInt, PositiveInt]
    test: tuple[PositiveInt, PositiveInt]


class PartitionConfig(Section):
    """Whole patients to global val and test, then to sites."""

    folder: Annotated[
        PathText | None, Flag("Use this partition folder.", name="--partition", is_path=True)
    ] = None
    """A partition folder made before, used as it is."""
    clients: Annotated[PositiveInt, Flag("Number of sites.")] = Field(default=5, le=10_000)
    scheme: Annotated[str, Flag(f"{', '.join(SCHEMES)}."), AfterValidator(_check_scheme)] = "iid"
    """One of `SchemeName`, or a user's own."""
    alpha: Annotated[
        PositiveFloat,
        Flag("Dirichlet: small = uneven labels.", chooses=("scheme", "dirichlet")),
    ] = 0.5
    """Concentration of the Dirichlet scheme: small = sites differ more in their labels."""
    exponent: Annotated[
        NonNegativeFloat,
        Flag("Quantity: large = uneven sizes.", chooses=("scheme", "quantity")),
    ] = Field(default=1.0, le=10.0)
    """Of the quantity scheme: site k holds patients in proportion to (k + 1) ** -exponent."""
    attribute: Annotated[
        str,
        Flag(
            f"{', '.join(ATTRIBUTES)} or a column.",
            chooses=("scheme", "by-attribute"),
        ),
    ] = Field(default="projection", min_length=1, max_length=100)
    """Of the by-attribute scheme: projection (AP or PA), view, sex, age_band, or a column."""
    sites_file: Annotated[
        PathText | None,
        Flag(
            "CSV with patient_id and site.",
            is_path=True,
            chooses=("scheme", "sites-file"),
        ),
    ] = None
    """Of the sites-file scheme: a CSV file with the columns patient_id and site."""
    min_images: Annotated[NonNegativeInt, Flag("Training images of every site.")] = 0
    """Training images that every site must have."""
    min_positives: Annotated[
        NonNegativeInt, Flag("Training positives of every label at every site.")
    ] = 0
    """Positive training images of every label that every site must have."""
    val_fraction: float = Field(default=0.10, gt=0.0, lt=0.5)
    """Of the patients outside an official test set: those the server keeps to choose the round."""
    test_fraction: float = Field(default=0.20, gt=0.0, lt=0.5)
    """Of the patients, where the data set has no official test set: those held out."""
    folds: Annotated[int | None, Flag("Cross-validate by patient, in so many parts.")] = Field(
        default=None, ge=2, le=20
    )
    """Test on one of so many equal parts of the patients outside an official test set."""
    fold: Annotated[NonNegativeInt | None, Flag("The fold to test on, from 0.")] = None
    """Which of the folds is the test set, from 0. None = in a comparison each in turn, elsewhere
    the first."""
    class_sizes: ClassSizes | None = None
    """A sample with so many images with and without the run's one label, all scaled down by one
    factor where the data have fewer; it takes the place of `val_fraction` and `test_fraction`, and
    patients of an official val or test set are in none."""
    site_val_fraction: float = Field(default=0.10, ge=0.0, lt=0.5)
    """Patients of each site that the site keeps for its own validation."""

    @property
    def test_fold(self) -> int:
        """Return the fold that one partition is tested on."""
        return self.fold or 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.fold and self.fold >= (self.folds or 0):
            raise ValueError(f"fold {self.fold} of {self.folds or 0} folds: they count from 0")
        if (self.scheme == "sites-file") != (self.sites_file is not None):
            raise ValueError("scheme sites-file needs sites_file, and the others take none")
        if self.class_sizes is not None:
            unused = [
                name
                for name in ("folds", "val_fraction", "test_fraction")
                if getattr(self, name) != type(self).model_fields[name].default
            ]
            if unused:
                raise ValueError(f"class_sizes says who is in which set: leave out {unused[0]}")
        return self
