"""The heat maps that a study of a binary task shows: those of each arm's first training."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from fedcxr.experiments.compare.arms import Training
from fedcxr.results.reading import read_summary
from fedcxr.results.task_scores import TaskExample


def task_examples(folder: Path, trainings: Iterable[Training]) -> Iterator[TaskExample]:
    """Yield the heat maps of trainings, with their folders as seen from the comparison's."""
    for training in trainings:
        place = training.folder.relative_to(folder).as_posix()
        for heat_map in read_summary(training.folder).heat_maps.files:
            yield TaskExample(arm=training.arm, folder=place, heat_map=heat_map)
