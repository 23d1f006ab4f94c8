"""What a comparison is judged by: the endpoint and the protocol, fixed before its first training.

How they are settled and frozen: `fedcxr/experiments/compare/freezing.py` and `endpoint.py`; how a
data set from elsewhere is read and kept: `external_data.py` and `external_sets.py` there.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from fedcxr.errors import ArtefactError, some
from fedcxr.metrics.superiority import Question
from fedcxr.section import Section

PROTOCOL_FORMAT: Literal[1] = 1
_NOT_IN_ALL: dict[str, tuple[object, ...]] = {
    "further_partitions": ((), []),
    "external": ((), []),
    "question": ("non-inferiority",),
}
"""Keys that a protocol is written without where they have one of these values."""


class LabelPatients(Section):
    """Test patients with a finding, and those without: who has both kinds of image is in both."""

    label: str
    positives: int
    negatives: int


class Endpoint(Section):
    """A mean over labels, and the rule by which they are in it."""

    measure: Literal["macro_auroc"] = "macro_auroc"
    primary_labels: tuple[str, ...]
    """As asked for; none = all labels of the run."""
    min_positives: int
    """Patients with the finding, and likewise without, that a label needs, in each fold."""
    patients: tuple[LabelPatients, ...]
    """Of every primary label; over folds those of the fold that has fewest."""
    labels: tuple[str, ...]
    """Those with patients enough: the mean is over them."""
    folds: int | None = None
    """Of the cross-validation in each of which the mean is taken; None = there is one test set."""

    @property
    def left_out(self) -> list[LabelPatients]:
        """Return the primary labels that have too few patients."""
        return [each for each in self.patients if each.label not in self.labels]

    @property
    def means_over(self) -> tuple[str, ...]:
        """Return the labels of every macro mean; the primary ones where none has enough.

        Such a mean describes, and gets no verdict.
        """
        return self.labels or tuple(each.label for each in self.patients)

    def columns(self, labels: Sequence[str]) -> list[int]:
        """Return the columns of the macro means, in a table of these labels.

        Raises:
            ArtefactError: the table lacks one.
        """
        missing = [label for label in self.means_over if label not in labels]
        if missing:
            raise ArtefactError(
                f"The trainings of the comparison have predicted no {some(missing)}, which its "
                "config.yaml asks for now. Put its data.labels back as they were."
            )
        return [labels.index(label) for label in self.means_over]

    @model_serializer(mode="wrap")
    def _dump(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return it without folds where there are none, as it was before there could be any."""
        tree: dict[str, Any] = dump(self)
        return {key: value for key, value in tree.items() if key != "folds" or value}


class LeftOut(Section):
    """Images of an external set that no model is scored on, and why."""

    known_patients: int
    """Of patients whom the federation has."""
    known_images: int
    """Whose file the federation has, byte by byte, under whatever name."""
    copies: int
    """Whose file the set itself has twice."""
    unreadable: int


class ExternalSet(Section):
    """What of a data set from elsewhere is scored, and what is not."""

    name: str
    """Of its folder, numbered where two are called alike."""
    layout: str
    is_synthetic: bool
    split: str
    """`test`: its official test images; `all`: it has none, or no use for them."""
    labels: tuple[str, ...]
    """Of the run's labels, those that it has."""
    lacking: tuple[str, ...]
    """Of the run's labels, those that it has not: nobody's truth is known."""
    images: int
    patients: int
    left_out: LeftOut
    digest: str
    """Of all that is scored: whose images, their labels, and what the files hold."""


class ExternalEndpoint(Section):
    """A data set from elsewhere, and the endpoint on it."""

    data: ExternalSet
    endpoint: Endpoint
    """Over the primary labels that the set shares with the run."""

    @property
    def lacking(self) -> list[str]:
        """Return the primary labels that the set has not."""
        asked = self.endpoint.primary_labels or self.data.lacking
        return [label for label in self.data.lacking if label in asked]


class Protocol(Section):
    """All that decides the verdict of a comparison."""

    format: Literal[1] = PROTOCOL_FORMAT
    created: str
    """When it was fixed."""
    margin: float
    question: Question = "non-inferiority"
    endpoint: Endpoint
    seeds: tuple[int, ...]
    learning_rates: tuple[float, ...]
    """Tried by each arm; none = one, fixed in advance."""
    partition: str
    """Digest of the plan."""
    further_partitions: tuple[str, ...] = ()
    """Digests of the plans of the draws, or folds, after the first."""
    external: tuple[ExternalEndpoint, ...] = ()
    """Data sets from elsewhere, each with an endpoint of its own."""
    arms: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    """Arm and reference, in the order in which they are tested; the first is the primary one."""
    correction: Literal["holm"] = "holm"
    """Of the p values by label."""
    level: float
    """Of all intervals."""
    resamples: int | None = None
    """Patients drawn anew behind an interval, by a fedcxr that did so; None = none are."""

    @property
    def digest(self) -> str:
        """Return the sha256 of the canonical JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return what `protocol.json` holds."""
        return {**self.model_dump(mode="json"), "digest": self.digest}

    @model_serializer(mode="wrap")
    def _dump(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return it without what a comparison of arms on one partition alone has not."""
        tree: dict[str, Any] = dump(self)
        return {k: value for k, value in tree.items() if value not in _NOT_IN_ALL.get(k, ())}


class Deviation(Section):
    """One thing that was planned and is otherwise now, both as JSON holds them."""

    key: str
    planned: Any
    now: Any
