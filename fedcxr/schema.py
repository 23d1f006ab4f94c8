"""What a task has server and sites exchange: derived on both sides, and compared by its digest.

Nothing that is not declared here passes in either direction.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from fedcxr.algorithms.protocol import Algorithm
from fedcxr.chain import UPDATE, Chain, chain_of
from fedcxr.codecs import Codec
from fedcxr.config.algorithm import AlgorithmConfig
from fedcxr.config.privacy import PrivacyConfig, PrivacyLevel
from fedcxr.config.task import SiteTask
from fedcxr.parameters import Parameters, ParameterSpec
from fedcxr.secagg.quantise import Layout
from fedcxr.section import Section
from fedcxr.shared_part import SharedPart
from fedcxr.vectors import Declared, VectorSpec

VECTOR = "vector"
COUNTERS = "counters"
MASKED = "masked"
"""All that a site sends of its training under secure aggregation."""
KNOWN = "known-targets"
"""Of each label the training targets that are known, counted at the site."""
POSITIVE = "positive-targets"
"""Of each label the sum of its known training targets."""


def model_vectors(parameters: Parameters) -> dict[str, NDArray[Any]]:
    """Return a model as the vectors that carry it."""
    return {VECTOR: parameters.vector, COUNTERS: parameters.counters}


@dataclass(frozen=True)  # no slots: cached_property keeps its value in the instance
class WireSchema:
    """The model's layout, what of it is shared, and every vector that crosses."""

    shared: SharedPart
    algorithm: AlgorithmConfig = field(default_factory=AlgorithmConfig)
    chain: Chain = field(default_factory=Chain)
    num_known: int = 0
    """Labels whose known training targets a site counts and sends; 0 = it sends no such count."""
    is_secure: bool = False
    """Whether a site's numbers leave it as masked words alone."""
    num_shared: int = 0
    """Labels whose class frequencies sites share at the start; 0 = they share none."""
    protects: PrivacyLevel = "none"
    """Who is protected."""

    @property
    def is_private(self) -> bool:
        """Whether somebody is protected, so that the update is all that a site sends."""
        return self.protects != "none"

    @property
    def spec(self) -> ParameterSpec:
        """The layout of the whole model."""
        return self.shared.whole

    @cached_property
    def rules(self) -> Algorithm:
        """What the algorithm does."""
        return self.algorithm.algorithm

    @cached_property
    def parameters(self) -> Section:
        """The algorithm's own parameters."""
        return self.algorithm.parameters

    @property
    def size(self) -> int:
        """T: the trainable numbers that are shared."""
        return self.shared.spec.num_trainable

    @cached_property
    def model(self) -> Declared:
        """The whole model, as an order to evaluate carries it."""
        return {
            VECTOR: VectorSpec("<f4", self.spec.num_float),
            COUNTERS: VectorSpec("<i8", self.spec.num_counters),
        }

    @cached_property
    def order(self) -> Declared:
        """What an order to train carries."""
        return {**self.model, **self._own(self.rules.to_sites)}

    @cached_property
    def made(self) -> Declared:
        """What a training makes for the server, before the chain."""
        spec = self.shared.spec
        declared = {
            UPDATE: VectorSpec("<f4", spec.num_float),
            COUNTERS: VectorSpec("<i8", spec.num_counters),
            **self._own(self.rules.from_sites),
        }
        if self.num_known:
            declared[KNOWN] = VectorSpec("<i8", self.num_known)
        return declared

    @cached_property
    def card(self) -> Declared:
        """What a site's card carries."""
        counts = VectorSpec("<f8", self.num_shared)
        return {KNOWN: counts, POSITIVE: counts} if self.num_shared else {}

    @cached_property
    def reply(self) -> Declared:
        """What a reply to an order to train carries."""
        if self.is_secure:
            return {MASKED: VectorSpec("<u4", self.layout.words)}
        return self.chain.declare(self.made, self.shared.spec)

    @cached_property
    def layout(self) -> Layout:
        """How many numbers of each kind secure aggregation sums up."""
        spec = self.shared.spec
        return Layout(spec.num_trainable, spec.num_float - spec.num_trainable, spec.num_counters)

    @cached_property
    def digest(self) -> str:
        """The sha256 of all of it: equal where and only where both sides mean the same."""
        text = json.dumps([self.spec.to_json(), sorted(self.shared.private)])
        for declared in (self.order, self.reply, self.card):
            rows = [[name, spec.dtype, spec.length] for name, spec in declared.items()]
            text += json.dumps(sorted(rows))
        return hashlib.sha256(text.encode()).hexdigest()

    def _own(self, names: Sequence[str]) -> dict[str, VectorSpec]:
        taken = {VECTOR, COUNTERS, UPDATE, KNOWN, POSITIVE, *self.chain.names(self.shared.spec)}
        if taken & set(names):
            raise ValueError(f"an algorithm cannot name a vector {sorted(taken & set(names))}")
        return {name: VectorSpec("<f4", self.size) for name in names}


def schema_of(task: SiteTask, spec: ParameterSpec) -> WireSchema:
    """Return the schema of a run.

    Args:
        task: what the sites are told.
        spec: the layout of the task's model.
    """
    private = task.algorithm.algorithm.private(spec.names)
    if task.batch_norm == "local":
        kinds = zip(spec.names, spec.kinds, strict=True)
        private |= {name for name, kind in kinds if kind != "trainable"}
    return WireSchema(
        SharedPart(spec, private),
        task.algorithm,
        chain_of(Codec(task.codec, task.topk), site_clip(task.privacy)),
        is_secure=task.secure is not None,
        num_known=len(task.labels) if task.counts_known else 0,
        num_shared=len(task.labels) if task.train.class_frequencies == "shared" else 0,
        protects=task.privacy.level,
    )


def site_clip(privacy: PrivacyConfig) -> float | None:
    """Return the norm to which a site shortens its whole update; none = it does not."""
    # What adapts is known to the server, which shortens in any case.
    return privacy.clip if privacy.level == "client" and not privacy.adaptive_clip else None
