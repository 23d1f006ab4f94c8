"""From a round's replies to the new model: intake, aggregator, and the algorithm's step."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np

from fedcxr.algorithms.protocol import Round
from fedcxr.codecs import Floats
from fedcxr.errors import QuorumError
from fedcxr.parameters import Parameters
from fedcxr.schema import WireSchema
from server.aggregate.aggregator import Aggregate, AggregatorKind, AggregatorPlace
from server.exchange import Reply
from server.intake import Intake

State = Mapping[str, Floats]
"""The algorithm's own at the server, (T,) each."""
Noised = Callable[[Aggregate, Parameters, int, int], Aggregate]
"""(aggregate, the shared values that the sites were sent, round, T) → the aggregate with noise."""


def first_state(schema: WireSchema) -> State:
    """Return the algorithm's state before round 1."""
    return schema.rules.begin(schema.parameters, schema.size)


def aggregate_round(
    intake: Intake,
    replies: Iterable[Reply],
    *,
    round_num: int,
    aggregator: AggregatorKind,
    place: AggregatorPlace,
    parameters: Parameters,
    state: State,
    noised: Noised = lambda found, given, round_num, size: found,
) -> tuple[Parameters, State]:
    """Return the model after a round, and the algorithm's new state.

    Args:
        intake: of the run.
        replies: in the order of the round's orders, each dropped before the next is pulled.
        round_num: from 1.
        aggregator: the run's.
        place: what it is made with.
        parameters: the model that the sites were sent.
        state: the algorithm's, from the round before.
        noised: what becomes of the aggregate before the algorithm's step.

    Raises:
        QuorumError: fewer sites than the quorum, or than the aggregator needs, answered rightly.
    """
    schema = place.schema
    given = schema.shared.take(parameters)
    adding = aggregator.make(place)
    try:
        for update in intake.take(round_num, given, replies):
            adding.add(update)
            del update  # before the next one is waited for: a reply is 28 MB
        _check_number(intake, aggregator, place, round_num)
        found = noised(adding.result(), given, round_num, schema.size)
    finally:
        shutil.rmtree(place.folder, ignore_errors=True)
    return step(intake, schema, found, parameters=parameters, state=state)


def _check_number(
    intake: Intake, aggregator: AggregatorKind, place: AggregatorPlace, round_num: int
) -> None:
    problem = aggregator.too_few(len(intake.log.accepted), place.settings)
    if problem:
        raise QuorumError(
            f"Round {round_num}: of the updates that passed, {problem} {intake.federation.advice}"
        )


def step(
    intake: Intake,
    schema: WireSchema,
    found: Aggregate,
    *,
    parameters: Parameters,
    state: State,
) -> tuple[Parameters, State]:
    """Return the model after a round, and the algorithm's new state.

    Args:
        intake: of the run; its log is this round's.
        schema: the run's.
        found: the sites' updates as one.
        parameters: the model that the sites were sent.
        state: the algorithm's, from the round before.
    """
    idle = set(intake.log.skipped)
    most = intake.federation.most_examples
    counted = {s: 1 if schema.is_private else n for s, n in most.items()}
    images = [n for site_id, n in counted.items() if site_id not in idle]
    share = intake.log.weight / sum(images) if images else 0.0
    given = schema.shared.take(parameters)
    if schema.is_private:  # they are frozen or not there, and nothing of a site may be in them
        found = replace(found, counters=given.counters)
    shared, state = next_model(schema, given, found, share=share, state=state)
    return schema.shared.put(shared, parameters), state


def next_model(
    schema: WireSchema, given: Parameters, found: Aggregate, *, share: float, state: State
) -> tuple[Parameters, State]:
    """Return the shared values after a round, and the algorithm's new state.

    Args:
        schema: the run's.
        given: the shared values that the sites were sent.
        found: their updates as one.
        share: weight of the sites that answered, of all sites in the plan.
        state: the algorithm's, from the round before.
    """
    size, spec = schema.size, schema.shared.spec
    round_ = Round(found.update[:size], found.vectors, share, state)
    moved, state = schema.rules.step(schema.parameters, round_)
    vector = np.empty_like(given.vector)
    vector[:size] = given.vector[:size] + moved  # float64, then rounded once
    vector[size:] = given.vector[size:] + found.update[size:]
    for part in spec.variance_slices:  # a mean of differences can round below zero
        np.maximum(vector[part], 0.0, out=vector[part])
    return Parameters(vector, found.counters), state
