"""A result: everything that a page shows. A comparison's stands in `comparison.json`.

A run is a comparison of one arm, put together from the files of its folder; `reading.py` reads
both. One definition for who writes it (`fedcxr/experiments/compare/judge.py`) and for who reads it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import ConfigDict, Field

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.errors import ArtefactError, some
from fedcxr.metrics.studies import Units, units_of
from fedcxr.metrics.superiority import Question
from fedcxr.results.arms import ArmResult
from fedcxr.results.at_sites import SiteDifference, SiteMatrix
from fedcxr.results.differences import Difference
from fedcxr.results.external import ExternalResult
from fedcxr.results.frozen import Deviation, Endpoint, Protocol
from fedcxr.results.run_files import RunFacts, StateCounts
from fedcxr.results.stored_test_set import StoredTestSet
from fedcxr.results.task_scores import TaskScores
from fedcxr.results.undertrained import FairnessWarning
from fedcxr.results.validation import what_misfits
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.predictions import Predictions
from fedcxr.section import Section

FILE = "comparison.json"
FORMAT: Literal[4] = 4

Unit = Literal["image", "study"]
MAIN_QUESTION = ("federated", "centralized")


class Draw(Section):
    """One partition, and what was trained on it."""

    digest: str
    pairs_compared: int
    """As of `Partition`."""
    seeds: tuple[int, ...]
    """Of an arm's trainings."""
    test_patients: int | None = None
    """None in a comparison of an older fedcxr."""


class Partition(Section):
    """How the patients were divided among the sites."""

    scheme: str
    clients: int
    digest: str
    pairs_compared: int
    """Pairs of sets of patients that were shown to be disjoint; 0 where they were not compared."""
    folds: int | None = None
    """Of a cross-validation: the draws are its folds, each with other test patients. None = there
    is one test set."""
    draws: tuple[Draw, ...] = ()
    """All partitions, with the same global validation and test patients. Digest and pairs are the
    first one's, and what is told by site is of its sites."""


class Data(Section):
    """The data set and its test patients."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    source: str
    layout: str
    synthetic: bool
    """Computed, and not taken of people."""
    labels: tuple[str, ...]
    test_images: int
    """In the test table, or those of all folds; those that could be read were scored."""
    test_patients: int
    val_images: int
    """As the patients of the first fold."""
    val_patients: int
    score_by: Unit
    test_set: StoredTestSet
    partition: Partition


class TrainingSettings(Section):
    """How the arms were trained, but for what one has of its own (`ArmResult.differs`)."""

    seeds: tuple[int, ...]
    """Of an arm's trainings, partition by partition."""
    rounds: int
    local_epochs: int
    moments: str
    batch_size: int
    learning_rate: float | None
    """None where each arm has its own."""
    learning_rate_how: str
    model: str
    image_size: int
    precision: str

    @classmethod
    def of(
        cls,
        config: ExperimentConfig,
        *,
        seeds: Sequence[int],
        precision: str,
        learning_rate_how: str,
        has_one_rate: bool = True,
    ) -> Self:
        """Return what a configuration says of it, with what stands elsewhere."""
        return cls(
            seeds=tuple(seeds),
            rounds=config.server.rounds,
            local_epochs=config.train.local_epochs,
            moments=config.train.moments,
            batch_size=config.train.batch_size,
            learning_rate=config.train.learning_rate if has_one_rate else None,
            learning_rate_how=learning_rate_how,
            model=", ".join(config.compare.models) or config.model.name,
            image_size=config.model.image_size,
            precision=precision,
        )


class Statistics(Section):
    """How it was judged."""

    level: float
    margin: float | None
    """In macro AUROC; None for a run, which gets no verdict."""
    question: Question = "non-inferiority"


class LabelFrequency(Section):
    """Positive and known targets of a label by split, after the label policies."""

    train: tuple[int, int]
    val: tuple[int, int]
    test: tuple[int, int]


def label_frequencies(
    trained: Sequence[StateCounts], val: Predictions, test: Predictions
) -> dict[str, LabelFrequency]:
    """Return positive and known targets by label, all after the label policies.

    Args:
        trained: training targets by label and kind, which are added up.
        val: as they are scored, likewise the next.
        test: of the same labels.
    """
    found = {}
    for column, label in enumerate(test.labels):
        positive, negative = (
            sum(kinds[label][state] for kinds in trained) for state in ("positive", "negative")
        )
        found[label] = LabelFrequency(
            train=(positive, positive + negative),
            val=val.positive_and_known(column),
            test=test.positive_and_known(column),
        )
    return found


class Comparison(Section):
    """All of `comparison.json`, or a run as a comparison of one arm."""

    format: Literal[4] = FORMAT
    name: str
    created: str
    fedcxr: str
    data: Data
    training: TrainingSettings
    statistics: Statistics
    protocol: Protocol | None
    """None where training began under a fedcxr that froze none."""
    deviations: tuple[Deviation, ...]
    endpoint: Endpoint | None
    """None for a run."""
    arms: tuple[ArmResult, ...]
    differences: tuple[Difference, ...]
    site_matrix: SiteMatrix
    site_differences: tuple[SiteDifference, ...]
    label_frequencies: dict[str, LabelFrequency]
    external: tuple[ExternalResult, ...] = ()
    task: TaskScores | None = None
    """None where the labels are not those of a binary task."""
    warnings: tuple[FairnessWarning, ...]
    notes: tuple[str, ...]
    run: RunFacts | None = Field(default=None, exclude=True)
    """None for a comparison."""

    def arm(self, name: str) -> ArmResult:
        """Return an arm by its name."""
        return next(arm for arm in self.arms if arm.name == name)

    @property
    def primary(self) -> Difference | None:
        """The difference that the page is about: federated minus centralized, or the first."""
        for difference in self.differences:
            if (difference.arm, difference.against) == MAIN_QUESTION:
                return difference
        return self.differences[0] if self.differences else None

    @property
    def sensitivity(self) -> list[Difference]:
        """The primary arm against others than the primary's reference: other budgets."""
        primary = self.primary
        if primary is None:
            return []
        own = (each for each in self.differences if each.arm == primary.arm)
        return [each for each in own if each.against != primary.against]

    @property
    def units(self) -> Units:
        """What is scored and counted on the test set, one and many."""
        return units_of(self.data.score_by)

    @property
    def main_arm(self) -> ArmResult:
        """The arm that is shown where there is room for one."""
        return self.arm(self.primary.arm) if self.primary else self.arms[0]


def read_comparison(folder: Path) -> Comparison:
    """Return the comparison in `folder`.

    Raises:
        ArtefactError: no comparison.json, or one that is damaged or of another fedcxr.
    """
    path = folder / FILE
    tree = RunFolder(folder).read_json(FILE)
    if tree.get("format") != FORMAT:
        raise ArtefactError(
            f"{path}: format {tree.get('format')!r}, this fedcxr reads format {FORMAT}. "
            f"Compute its figures again from the predictions: `fedcxr report {folder}`."
        )
    found, wrong = what_misfits(Comparison, tree)
    if found is None:
        raise ArtefactError(
            f"{path}: {some(wrong)}. The file was changed after the run; restore it, or judge "
            f"the comparison again: `fedcxr report {folder}`."
        )
    _check_names(found, path)
    return found


def write_comparison_result(folder: Path, found: Comparison) -> None:
    """Write `comparison.json` into a comparison's folder."""
    RunFolder(folder).write_json(FILE, found.model_dump(mode="json"))


def _check_names(found: Comparison, path: Path) -> None:
    """Raise ArtefactError for an arm that is there twice, and for one that is not there."""
    again = "The file was changed after the run; judge it again: `fedcxr report`."
    names = [arm.name for arm in found.arms]
    if not names:
        raise ArtefactError(f"{path}: no arm was judged yet. Finish the run: `fedcxr resume`.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ArtefactError(f"{path}: arms has the name {some(twice)} again. {again}")
    named = (name for each in found.differences for name in (each.arm, each.against))
    strange = sorted({name for name in named if name not in names})
    if strange:
        raise ArtefactError(f"{path}: differences name {some(strange)}, which no arm is. {again}")
