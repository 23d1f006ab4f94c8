"""The centralized arm's optimiser goes on over the rounds, the restarted arm's does not."""

from dataclasses import replace

import numpy as np
import pytest

from clients.memory import memory_of
from clients.moments import read_moments
from clients.resident_model import worker_for
from clients.site import open_site, simulated
from clients.train import train_order
from fedcxr.chain import UPDATE
from fedcxr.config.load import load_config
from fedcxr.config.partition import PartitionConfig
from fedcxr.data.tokens import SYNTHETIC_KEY
from fedcxr.errors import ConfigError
from fedcxr.experiments.compare.arms import (
    CENTRALIZED,
    FEDERATED,
    RESTARTS,
    arms_of,
    check_arms,
    presentations,
)
from fedcxr.experiments.compare.pairs import pairs_of
from fedcxr.parameters import Parameters, extract
from fedcxr.schema import COUNTERS, VECTOR
from fedcxr.training.optimizers import optimizer_state
from partitions.plan import make_partition, read_plan

ROUNDS = 3
ALL = [FEDERATED, CENTRALIZED, RESTARTS]


def configured(**overrides):
    keys = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_config(
        overrides={"train.batch_size": 4, "train.local_epochs": 1, "compare.arms": ALL, **keys}
    )


@pytest.fixture
def plan(tmp_path, make_dataset):
    return make_partition(
        make_dataset(60),
        config=PartitionConfig(clients=3),
        seed=0,
        key=SYNTHETIC_KEY,
        views="all",
        out=tmp_path / "partition",
    )


@pytest.fixture
def arms(plan, tmp_path):
    return {arm.name: arm for arm in arms_of(configured(), plan, tmp_path, {})}


def test_what_the_optimiser_knows_tells_the_arms_apart(
    arms, sites, tmp_path, make_task, make_order
):
    # six images in batches of four: two steps a round
    tasks = {name: make_task(train=arms[name].config.train.model_dump()) for name in ALL}
    first = worker_for(tasks[CENTRALIZED], 1)
    start = extract(first.model, first.spec)
    start = replace(start, vector=start.vector.copy())
    steps, ends, kept = {}, {}, {}
    for name, task in tasks.items():
        location = simulated(sites, 0, cache=sites / "cache", state=tmp_path / name)
        worker, site, given = worker_for(task, 1), open_site(location, task), start
        for round_num in range(1, ROUNDS + 1):
            vectors = {VECTOR: given.vector, COUNTERS: given.counters}
            order = make_order(task, worker.spec, round_num)
            made = train_order(location, site, task, order, vectors=vectors, worker=worker).vectors
            given = Parameters(given.vector + made[UPDATE], made[COUNTERS])
        steps[name] = optimizer_state(worker.model).tensors["steps"].unique().tolist()
        ends[name] = given.vector
        memory = memory_of(location.state, task.run, ROUNDS + 1)
        kept[name] = read_moments(memory, "adam") is not None
    assert steps == {FEDERATED: [2.0], CENTRALIZED: [2.0 * ROUNDS], RESTARTS: [2.0]}
    assert kept == {FEDERATED: False, CENTRALIZED: True, RESTARTS: False}
    # at the same images the restarted arm does what a site of the federation does, to the bit
    np.testing.assert_array_equal(ends[RESTARTS], ends[FEDERATED])
    assert not np.array_equal(ends[RESTARTS], ends[CENTRALIZED])


def test_but_for_the_restarts_it_is_the_centralized_arm(arms):
    restarted, centralized = arms[RESTARTS], arms[CENTRALIZED]
    assert (restarted.config.train.moments, centralized.config.train.moments) == ("restart", "keep")
    train = restarted.config.train.model_copy(update={"moments": "keep"})
    assert restarted.config.model_copy(update={"train": train}) == centralized.config
    assert restarted.plans == centralized.plans
    pooled = read_plan(restarted.plans[""])
    seen = [presentations(arm.config, pooled) for arm in (restarted, centralized)]
    assert seen[0] == seen[1]
    assert restarted.budget == f"{centralized.budget}; the optimiser starts anew each round"


def test_it_is_trained_only_where_it_is_asked_for():
    assert RESTARTS not in load_config().compare.arms
    assert len(load_config().compare.arms) == 4


def test_federated_is_held_against_it_as_well():
    assert pairs_of(ALL) == [
        (FEDERATED, CENTRALIZED),
        (FEDERATED, RESTARTS),
        (RESTARTS, CENTRALIZED),
    ]
    assert pairs_of([FEDERATED, RESTARTS]) == [(FEDERATED, RESTARTS)]


def test_where_the_sites_optimisers_go_on_there_is_nothing_to_restart():
    with pytest.raises(ConfigError, match=r"under train\.moments=keep it never does there\. Leave"):
        check_arms(configured(train__moments="keep"))
    check_arms(configured())
    check_arms(configured(train__moments="keep", compare__arms=[FEDERATED, CENTRALIZED]))
