"""One arm of a comparison, or the one of a run: its scores, learning curves and costs."""

from collections.abc import Sequence
from typing import Self

from fedcxr.results.added_images import AddedImages
from fedcxr.results.details import ArmDetails
from fedcxr.results.run_files import Round
from fedcxr.results.score import Score
from fedcxr.section import Section


class LabelScores(Section):
    """One label on the test set: means over the arm's models."""

    auroc: Score
    ap: Score
    positives: int
    """Images, or studies, that are known to have the finding."""
    negatives: int


class LearningCurve(Section):
    """One training, round after round."""

    seed: int
    partition: int = 0
    """Which of the draws of patients to sites, or of the folds, from 0."""
    site: str | None
    """Whose model it is, where it is one site's."""
    round: tuple[int, ...]
    train_loss: tuple[float | None, ...]
    val_loss: tuple[float | None, ...]
    val_macro_auroc: tuple[float | None, ...]
    val_accuracy: tuple[float | None, ...]
    test_loss: tuple[float | None, ...] = ()
    """As `test_accuracy` for the record alone: nothing was chosen by it; none where it was not
    recorded."""
    test_accuracy: tuple[float | None, ...] = ()

    @classmethod
    def of(
        cls, rounds: Sequence[Round], *, seed: int, site: str | None = None, partition: int = 0
    ) -> Self:
        """Return the curve of the model that these rounds made."""
        has_test = any(line.test_loss is not None for line in rounds)
        return cls(
            seed=seed,
            partition=partition,
            site=site,
            round=tuple(line.round for line in rounds),
            train_loss=tuple(line.train_loss for line in rounds),
            val_loss=tuple(line.val_loss for line in rounds),
            val_macro_auroc=tuple(line.val_macro_auroc for line in rounds),
            val_accuracy=tuple(line.val_accuracy for line in rounds),
            test_loss=tuple(line.test_loss for line in rounds) if has_test else (),
            test_accuracy=tuple(line.test_accuracy for line in rounds) if has_test else (),
        )


class ArmResult(ArmDetails):
    """One way of training, scored on the held-out patients that all arms share."""

    name: str
    title: str
    budget: str
    models: int
    """Trained: over the seeds, and in the local arm over the sites of each seed."""
    images_seen: int
    steps: int
    """One after another in its longest training."""
    seconds: float
    bytes_up: int
    bytes_down: int
    scored: int
    """Images, or studies."""
    macro_labels: int
    """How many labels the macro means are over."""
    macro_auroc: Score
    macro_ap: Score
    five_auroc: Score | None
    """Over CheXpert's competition labels; None where the data lack one of them."""
    seed_sd: float | None
    """Over the trainings on one partition."""
    macro_by_seed: tuple[float | None, ...]
    """Of each training, partition by partition."""
    partition_sd: float | None = None
    """Over the means of the partitions; None where there is one."""
    macro_by_partition: tuple[float | None, ...] = ()
    """Means over the trainings on each; none where there is one partition."""
    by_label: dict[str, LabelScores]
    learning: tuple[LearningCurve, ...]
    setting: str = ""
    """In a study of augmentation, how it is trained beside what it adds; empty where all arms are
    trained alike."""
    added: AddedImages | None = None
    """To the real images; None for nothing."""
    differs: dict[str, str]
    """What was set otherwise than the settings say, by key."""

    @property
    def differs_words(self) -> str:
        """What was set otherwise, empty if nothing was."""
        return ", ".join(f"{key} {value}" for key, value in self.differs.items())
