"""What an earlier study of a binary task reported, from a file beside the code.

Its numbers are of other patients, another training and another test set. They stand in a table of
their own and in no column beside ours.
"""

from functools import cache
from importlib import resources

from fedcxr.config.data import TaskName
from fedcxr.section import Section

_FILES: dict[TaskName, str] = {"lung-lesion": "published_lung_lesion.json"}


class PublishedRow(Section):
    """One training of the study, in percent of its test images."""

    model: str
    training: str
    accuracy: float
    precision: float
    recall: float
    f1: float


class PublishedStudy(Section):
    """What a study reported, and how it was done."""

    study: str
    design: str
    rows: tuple[PublishedRow, ...]


@cache
def published_study(task: TaskName) -> PublishedStudy:
    """Return the study that a task follows."""
    text = (resources.files("fedcxr.report") / _FILES[task]).read_text("utf-8")
    return PublishedStudy.model_validate_json(text)
