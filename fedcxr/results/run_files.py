"""What a run writes, as its page and the command line read it.

manifest.json grows while the run goes on; rounds.jsonl has a line a round; summary.json is written
when all is done: a run that was stopped has none yet. The manifest, the rounds and the plan hold
more than is read here.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.results.heat_maps import HeatMaps
from fedcxr.results.run_privacy import RunEpsilon, RunPrivacy
from fedcxr.results.secure_facts import SecureFacts
from fedcxr.results.stored_test_set import StoredTestSet
from fedcxr.results.vae_numbers import SiteVae
from fedcxr.section import Section

StateCounts = dict[str, dict[str, int]]
"""By label, by state or target: how many images."""


class _Part(BaseModel):
    """A part of a file that holds more."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class SplitCounts(_Part):
    """What the server's validation or test set holds."""

    patients: int
    images: int
    label_counts: StateCounts


class SiteCounts(SplitCounts):
    """What a site holds."""

    site_id: str
    train_images: int
    val_images: int


class GlobalSplits(_Part):
    """The server's own patients."""

    val: SplitCounts
    test: SplitCounts


class RunPlan(_Part):
    """partition/plan.json."""

    scheme: str
    parameters: dict[str, Any]
    global_splits: GlobalSplits = Field(alias="global")
    sites: tuple[SiteCounts, ...]


class Disjointness(_Part):
    """Whether it was shown that no patient is in two sets."""

    verified: bool
    pairs_checked: int
    reason: str | None
    """Why it could not be shown, or who compared what."""
    status: Literal["proven", "checked", "not verifiable"] | None = None
    """`checked`: the sites compared tokens of their patients, and the server has their word."""


class Precision(_Part):
    """In which numbers was computed, and why in these."""

    dtype: str
    why: str


class Normalization(_Part):
    """How pixels were scaled."""

    kind: str
    mean: float | None
    std: float | None


class PolicyCounts(_Part):
    """How many images have each state of a label in the reports, and each target in training."""

    of: str
    images: int
    before: StateCounts
    after: StateCounts | None
    """None where the sites' tables stay with them."""
    reason: str | None


class RunData(_Part):
    """The data set of a run."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    layout: str
    source: str
    notes: tuple[str, ...]
    test_set: StoredTestSet
    bad_images: int


class Manifest(_Part):
    """manifest.json."""

    fedcxr: str
    run: str
    status: Literal["running", "interrupted", "failed", "finished"]
    created: str
    partition_digest: str
    disjoint: Disjointness
    seed: int
    engine: str
    workers: int
    threads_per_client: int
    precision: Precision
    labels: tuple[str, ...]
    views: str
    score_by: Literal["image", "study"]
    uncertain: dict[str, str]
    """Policy for `all`, and for each label that has another."""
    blank: dict[str, str]
    smoothed: tuple[float, float] | None
    """Range of the targets of the policy of that name; None where no label has it."""
    self_train_after: int | None
    """Rounds; None where no label has the policy `self_trained`."""
    label_counts: PolicyCounts
    batch_norm: str
    privacy: RunPrivacy | None = None
    """None where nobody is protected by noise."""
    codec: str
    topk: float | None
    """Share of the weights that the codec of that name sends."""
    secure_aggregation: SecureFacts | None = None
    """None where the server saw each site's update."""
    data: RunData
    normalization: Normalization | None = None
    """None until the sites have answered."""


class SiteLoss(_Part):
    """What a site gave to a round."""

    site_id: str
    train_loss: float | None
    num_examples: int | None = None
    """Images that it trained on; an older fedcxr did not keep them."""


class Absence(_Part):
    """A site that gave nothing to a round."""

    site_id: str
    reason: str


class Round(_Part):
    """A line of rounds.jsonl; of round 0, which is before training, nothing was sent or timed."""

    round: int
    train_loss: float | None
    val_loss: float | None
    val_macro_auroc: float | None
    val_accuracy: float | None
    test_loss: float | None = None
    """As `test_accuracy` for the record alone, where `server.test_curve` asked for it."""
    test_accuracy: float | None = None
    sites: tuple[SiteLoss, ...]
    refused: tuple[Absence, ...]
    missing: tuple[Absence, ...]
    seconds: float
    seconds_train: float | None = None
    seconds_evaluate: float | None = None
    images: int = 0
    images_per_second: float | None = None
    bytes_down: int = 0
    bytes_up: int = 0
    epsilon: RunEpsilon | None = None
    """None where nobody is protected by noise, or real sites keep their own accounts."""


class LabelAuroc(Section):
    """The AUROC of a label on the test set, with its interval over patients."""

    value: float | None
    ci: tuple[float, float] | None
    positives: int
    negatives: int
    reason: str | None


class SiteScore(_Part):
    """What a site says of the final model on its own validation patients."""

    site_id: str
    val_macro_auroc: float | None = None
    """None where it gave none, or where no label has both classes."""


class Participation(Section):
    """In how many rounds a site was asked and counted, and in which it was not."""

    asked: int
    counted: int
    missing: tuple[int, ...]
    refused: tuple[int, ...]
    skipped: tuple[int, ...]


class EarlyStop(Section):
    """Why a run ended before its last round."""

    round: int
    best_round: int
    stop_after: int
    min_improvement: float


class RunSummary(_Part):
    """summary.json."""

    macro_auroc: float | None
    macro_auroc_ci: tuple[float, float] | None
    macro_auroc_reason: str | None = None
    """Why there is no macro AUROC or no interval; a run of an older fedcxr does not say it."""
    macro_labels: int
    auroc: dict[str, LabelAuroc]
    num_rounds: int
    best_round: int
    stopped_early: EarlyStop | None
    test_images: int
    test_patients: int
    sites: tuple[SiteCounts, ...]
    site_scores: tuple[SiteScore, ...]
    participation: dict[str, Participation]
    refused_rounds: tuple[int, ...]
    """Whose new model was not taken."""
    collapsed_labels: tuple[str, ...]
    """To which the model gives every image the same probability."""
    phases: dict[str, float]
    """Seconds."""
    seconds: float
    train_images_per_second: float | None
    heat_maps: HeatMaps
    vae: tuple[SiteVae, ...] | None = None
    """What each site said of its VAE; None for a run without."""
    tracker_problems: dict[str, str] = {}
    """What experiment trackers failed with, by tracker."""
    parameters_sha256: str


class RunFacts(Section):
    """What a run has beside the scores of its one arm."""

    folder: Path
    manifest: Manifest
    record: dict[str, Any]
    """The whole manifest."""
    plan: RunPlan
    config: Annotated[ExperimentConfig, SkipValidation]
    config_text: str
    rounds: tuple[Round, ...]
    """By number, the last line of each."""
    summary: RunSummary | None
    """None until the run is finished."""

    @property
    def best_round(self) -> int | None:
        """The round that was chosen, or the best so far after training; None without any."""
        if self.summary is not None:
            return self.summary.best_round
        scored = [
            (line.val_macro_auroc, -line.round)
            for line in self.rounds
            if line.round and line.val_macro_auroc is not None
        ]
        return -max(scored)[1] if scored else None

    @property
    def trained(self) -> tuple[Round, ...]:
        """The rounds without the one before training."""
        return tuple(line for line in self.rounds if line.round)
