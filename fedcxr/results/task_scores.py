"""What the arms of a binary task give at a probability of a half, beside their AUROC.

Studies of one question report accuracy, precision, recall and F1 where the likelier class is the
answer. That threshold is part of the question and chosen on no data.
"""

from fedcxr.config.data import TaskName
from fedcxr.results.differences import About
from fedcxr.results.heat_maps import HeatMap
from fedcxr.results.score import Score
from fedcxr.section import Section

HALF = 0.5
"""The probability from which on the answer is positive."""


class TaskRates(Section):
    """Shares of the test images at a half, or by how much two arms differ in them."""

    accuracy: Score
    precision: Score
    recall: Score
    f1: Score
    auroc: Score


class TaskArm(TaskRates):
    """The same of one arm: means over its models."""

    arm: str
    model: str
    """The network, as papers call it."""
    added: str
    """What is added to its real images: `none`, `copies`, `classical` or `vae`."""
    tp: float
    """Images, or studies: mean over the models, as are the next three."""
    fn: float
    fp: float
    tn: float


class TaskDifference(TaskRates):
    """One arm minus another."""

    arm: str
    against: str
    about: About


class TaskExample(Section):
    """A heat map of an arm's first training."""

    arm: str
    folder: str
    """Of the training, relative to the comparison's."""
    heat_map: HeatMap


class TaskScores(Section):
    """All of it."""

    task: TaskName
    label: str
    arms: tuple[TaskArm, ...]
    differences: tuple[TaskDifference, ...]
    examples: tuple[TaskExample, ...]

    @property
    def adds_something(self) -> bool:
        """Whether the arms differ in what is added to their real images."""
        return len({arm.added for arm in self.arms}) > 1
