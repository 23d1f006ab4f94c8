"""What each arm trains on and may spend."""

import pytest

from fedcxr.config.load import load_config, with_values
from fedcxr.config.partition import PartitionConfig
from fedcxr.data.tokens import SYNTHETIC_KEY
from fedcxr.errors import ConfigError
from fedcxr.experiments.compare.arms import (
    FEDERATED,
    LOCAL,
    arms_of,
    check_arms,
    presentations,
    steps_by_site,
    trainings_of,
)
from partitions.plan import make_partition, read_plan


@pytest.fixture
def plan(tmp_path, make_dataset):
    return make_partition(
        make_dataset(60),
        config=PartitionConfig(clients=3, scheme="quantity"),
        seed=0,
        key=SYNTHETIC_KEY,
        views="all",
        out=tmp_path / "partition",
    )


def configured(**overrides):
    keys = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_config(
        overrides={"train.batch_size": 4, "train.local_epochs": 2, "server.rounds": 12, **keys}
    )


@pytest.fixture
def arms(plan, tmp_path):
    found = arms_of(configured(server__codec="int8"), plan, tmp_path, {})
    return {arm.name: arm for arm in found}


def test_all_arms_but_the_one_with_fewer_steps_see_as_many_images(arms, plan):
    plans = {place: read_plan(place) for arm in arms.values() for place in arm.plans.values()}
    seen = {
        name: sum(t.images for t in trainings_of(arm, [0], plan.folder, plans))
        for name, arm in arms.items()
    }
    # 12 rounds of 2 epochs over all training images of the three sites
    whole = 12 * 2 * sum(site.train_images for site in plan.sites)
    assert seen["federated"] == seen["centralized"] == seen["local"] == whole
    assert seen["centralized-steps"] < whole


def test_equal_steps_are_those_of_the_largest_site(arms, plan):
    largest = max(site.train_images for site in plan.sites)
    # a last batch of one image is dropped: 2 epochs of floor(n / 4), one more where 2 or 3 are left
    expected = 2 * (largest // 4 + (largest % 4 > 1))
    assert max(steps_by_site(configured(), plan)) == expected
    config = arms["centralized-steps"].config
    assert config.train.max_steps == expected
    assert str(expected) in arms["centralized-steps"].budget
    pooled = read_plan(next(iter(arms["centralized-steps"].plans.values())))
    assert presentations(config, pooled) == 12 * expected * 4


def test_where_sites_stop_early_or_sit_out_steps_are_counted_instead(plan, tmp_path):
    # three sites of one step each, of which two train in a round: two steps, not whole epochs
    config = configured(train__max_steps=1, server__fraction=0.6)
    found = {arm.name: arm for arm in arms_of(config, plan, tmp_path, {})}
    assert steps_by_site(config, plan) == [1, 1, 1]
    assert found["centralized"].config.train.max_steps == 2
    assert found["centralized-steps"].config.train.max_steps == 1
    assert found["local"].config.train.max_steps == 1
    plans = {place: read_plan(place) for arm in found.values() for place in arm.plans.values()}
    images = {
        name: sum(t.images for t in trainings_of(found[name], [0], tmp_path, plans))
        for name in ("federated", "centralized")
    }
    assert images["federated"] == images["centralized"] == 12 * 2 * 4
    assert found["federated"].budget == (
        "12 rounds of 2 epochs, at most 1 step, at 60 % of the sites, drawn anew"
    )
    assert "(2 a round)" in found["centralized"].budget


def test_a_budget_promises_no_round_that_an_early_end_may_spare(plan, tmp_path):
    config = configured(server__stop_after=3)
    found = {arm.name: arm.budget for arm in arms_of(config, plan, tmp_path, {})}
    assert found["federated"] == "at most 12 rounds of 2 epochs at each site"
    assert found["local"] == "at most 12 times 2 epochs of each site's own images"


def test_a_training_at_one_place_is_one_long_training_without_a_codec(arms):
    for name in ("centralized", "local", "centralized-steps"):
        config = arms[name].config
        assert (config.train.moments, config.server.codec) == ("keep", "none")
        assert config.server.fraction == 1.0
    federated = arms["federated"].config
    assert (federated.train.moments, federated.server.codec) == ("restart", "int8")


def test_what_decides_the_result_is_the_same_in_every_arm(arms):
    first = arms["federated"].config
    for arm in arms.values():
        assert arm.config.model == first.model
        assert arm.config.data == first.data
        same = ("batch_size", "learning_rate", "local_epochs", "augment", "lr_schedule")
        assert all(getattr(arm.config.train, k) == getattr(first.train, k) for k in same)
        assert arm.config.server.rounds == first.server.rounds


def test_each_seed_and_site_has_a_folder_and_a_seed_of_its_own(arms, plan, tmp_path):
    plans = {place: read_plan(place) for arm in arms.values() for place in arm.plans.values()}
    local = trainings_of(arms["local"], [3, 4], tmp_path / "arms", plans)
    assert [t.name for t in local][:2] == ["local-seed-3-site-00", "local-seed-3-site-01"]
    assert len({t.folder for t in local}) == 6
    assert {t.config.seed for t in local} == {3, 4}
    (one,) = trainings_of(arms["federated"], [5], tmp_path / "arms", plans)
    assert one.name == "federated-seed-5"
    assert one.config.partition.folder == str(plan.folder)


def test_further_arms_train_on_the_federations_sites(plan, tmp_path):
    own = configured(train__learning_rate=0.5)
    found = arms_of(configured(compare__arms=["federated"]), plan, tmp_path, {"fast": own})
    assert [arm.name for arm in found] == ["federated", "fast"]
    assert found[1].config.train.learning_rate == 0.5
    assert found[1].plans == {"": plan.folder}


def test_further_arms_may_train_on_all_sites_images_at_one_place(plan, tmp_path):
    own = configured(server__codec="int8")
    only = configured(compare__arms=["federated"])
    _, sites, pooled = arms_of(only, plan, tmp_path, {"a": own, "b": own}, pooled=["b"])
    assert (sites.name, pooled.name, pooled.title) == ("a", "b", "b")
    assert sites.plans == {"": plan.folder}
    (site,) = read_plan(pooled.plans[""]).sites
    assert site.train_images == sum(each.train_images for each in plan.sites)
    assert pooled.federation == plan.folder  # it is scored at the federation's sites too
    assert (pooled.config.server.codec, pooled.config.train.moments) == ("none", "keep")
    assert not pooled.travels


def test_keys_are_changed_by_their_dotted_names():
    changed = with_values(configured(), {"train.learning_rate": 0.25, "seed": 9})
    assert (changed.train.learning_rate, changed.seed) == (0.25, 9)
    assert changed.train.batch_size == 4


def test_arms_that_count_steps_need_them_known_beforehand():
    vae = {"vae.enabled": True}
    check_arms(load_config(overrides=vae))
    with pytest.raises(ConfigError, match=r"centralized, .* Leave vae\.same_steps on"):
        check_arms(load_config(overrides={**vae, "vae.same_steps": False}))
    alone = {"compare.arms": [FEDERATED, LOCAL]}
    check_arms(load_config(overrides={**vae, **alone, "vae.same_steps": False}))
