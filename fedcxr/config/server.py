"""How the server runs the rounds and judges the global model."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from fedcxr.config.flag import Flag
from fedcxr.section import Section

BatchNorm = Literal["average", "local", "frozen", "group"]
CodecName = Literal["none", "fp16", "int8", "topk"]
NormPolicy = Literal["refuse", "clip"]


class ServerConfig(Section):
    """Rounds, cohort and waits."""

    rounds: Annotated[PositiveInt, Flag("Communication rounds.")] = 10
    stop_after: Annotated[
        PositiveInt | None, Flag("End after so many rounds without a better validation AUROC.")
    ] = None
    """Rounds without a better validation macro AUROC after which the run ends (early stopping);
    none = all rounds."""
    min_improvement: float = Field(default=0.0, ge=0.0, lt=1.0)
    """By how much the AUROC must exceed the best one to count as better, for `stop_after`."""
    test_curve: bool = False
    """Record loss and accuracy on the test patients after every round too, for a figure. Nothing is
    chosen by them: neither the round, nor when to stop, nor the learning rate."""
    keep_updates: bool = False
    """Keep every round's model and each site's, as the server saw them, for `fedcxr attack`: a file
    of the model's size each. They say of a site's patients what its updates do."""
    fraction: Annotated[float, Flag("Share of sites a round.")] = Field(default=1.0, gt=0.0, le=1.0)
    """Share of the sites in each round's cohort; at least one."""
    quorum: float = Field(default=0.5, gt=0.0, le=1.0)
    """Share of the cohort that must answer rightly, or the run stops."""
    deadline_s: PositiveFloat | None = None
    """Longest time from a client's beginning of an order to its answer; none = no limit in a
    simulation (a client that does nothing for ten minutes is ended), an hour for real sites."""
    join_timeout_s: PositiveFloat = 120.0
    """Longest wait for the sites to be there at the start."""
    min_sites: Annotated[
        PositiveInt | None, Flag("Begin with so many sites once the wait for all is over.")
    ] = None
    """Sites with which a run over real sites begins when `join_timeout_s` is over; the others join
    at the next round. None = all of the plan; a simulation has all of them from the start."""
    norm_factor: float | None = Field(default=10.0, gt=1.0)
    """How many times as long as usual a site's update may be, by the medians of the rounds before;
    none = however long."""
    norm_policy: NormPolicy = "refuse"
    """What becomes of a longer one: it does not count, or it is shortened to the limit."""
    aggregator: Annotated[
        str, Flag("mean, label-mean, median, trimmed-mean, krum or multi-krum.")
    ] = Field(default="mean", max_length=200)
    """How the sites' updates become one: `mean` (by images), `label-mean` (the head's rows by the
    known targets of their label), `median` or `trimmed-mean` (of each number), `krum` or
    `multi-krum` (of the updates with the nearest neighbours)."""
    trim: float = Field(default=0.2, ge=0.0, lt=0.5)
    """Aggregator `trimmed-mean`: share of a round's updates that is left out at each end of each
    number, rounded up."""
    byzantine: int = Field(default=1, ge=0)
    """Aggregators `krum` and `multi-krum`: how many of a round's updates may be hostile, f."""
    batch_norm: Annotated[BatchNorm, Flag()] = "average"
    """Batch-norm statistics: averaged with the rest, kept at each site, or never changed; `group`:
    there are none, the network has group norm in the place of every batch norm."""
    codec: Annotated[CodecName, Flag("Of updates: {choices}.")] = "none"
    """How a site's update travels to the server. All but `none` lose something, which the site
    keeps and adds to its next update (error feedback)."""
    topk: Annotated[float, Flag("Share of numbers that topk sends.")] = Field(
        default=0.05, gt=0.0, le=1.0
    )
    """Codec `topk`: share of the trainable numbers that is sent."""
    secure_aggregation: Annotated[bool, Flag("The server sees sums of updates alone.")] = False
    """Whether sites mask their updates so that the server learns a round's sum and no summand
    (SecAgg+). Needs at least three sites a round, and the aggregator `mean`."""
    secure_range: PositiveFloat = 0.1
    """`secure_aggregation`: how far a trained number may move in a round; what would move further
    is clipped at the site, and counted."""
    secure_buffer_range: PositiveFloat = 1000.0
    """The same of a batch-norm statistic."""
