import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from fedcxr.config import load_config
from fedcxr.config.data import DataConfig
from fedcxr.data.labels import CHEXPERT_LABELS
from fedcxr.data.policies import (
    UNCERTAIN_CLASS,
    blank_policy,
    check_self_training,
    columns_with,
    count_targets,
    num_outputs,
    policy_of,
    score_targets,
    to_predict,
    train_targets,
    uncertain_policy,
)
from fedcxr.errors import ConfigError

NAN = np.nan
STATES = np.array([[1], [0], [-1], [-2], [-3]], dtype=np.int8)
"""One image of each state: positive, negative, uncertain, blank, masked."""
POLICIES = ("ignore", "zeros", "ones", "smoothed", "multi_class", "self_trained")


def policy(**data):
    return policy_of(DataConfig(**data), rounds=10)


def ids(number):
    return [f"image-{n}" for n in range(number)]


def targets(states, labels, seed=0, image_id=None, **data):
    names = image_id or ids(len(states))
    return train_targets(states, labels, policy(**data), image_id=names, seed=seed)


def smoothed(image_id, label="Edema", seed=0, **data):
    states = np.full((len(image_id), 1), -1, dtype=np.int8)
    return targets(states, [label], seed, image_id, uncertain="smoothed", **data)[:, 0]


@pytest.mark.parametrize(
    ("uncertain", "blank", "expected"),
    [
        ("ignore", "zeros", [1, 0, NAN, 0, NAN]),
        ("zeros", "ignore", [1, 0, 0, NAN, NAN]),
        ("ones", "ones", [1, 0, 1, 1, NAN]),
        ("multi_class", "zeros", [1, 0, 2, 0, NAN]),
        ("self_trained", "zeros", [1, 0, NAN, 0, NAN]),
    ],
)
def test_each_policy_makes_its_own_targets(uncertain, blank, expected):
    # row 3 of the bad-input table
    found = targets(STATES, ["Edema"], uncertain=uncertain, blank=blank)
    np.testing.assert_array_equal(found[:, 0], np.float32(expected))
    assert found.dtype == np.float32


def test_labels_may_differ_in_their_policies():
    states = np.repeat(STATES, 3, axis=1)
    found = targets(
        states,
        ["Edema", "Fracture", "Pneumonia"],
        uncertain_by_label={"Edema": "ones", "Pneumonia": "multi_class"},
        blank_by_label={"Fracture": "ignore"},
    )
    np.testing.assert_array_equal(found[2], np.float32([1, NAN, UNCERTAIN_CLASS]))
    np.testing.assert_array_equal(found[3], np.float32([0, NAN, 0]))


@pytest.mark.parametrize("uncertain", POLICIES)
def test_an_uncertain_label_is_never_scored(uncertain):
    found = score_targets(STATES, ["Edema"], policy(uncertain=uncertain))
    np.testing.assert_array_equal(found[:, 0], np.float32([1, 0, NAN, 0, NAN]))


@pytest.mark.parametrize(("blank", "value"), [("ignore", NAN), ("zeros", 0), ("ones", 1)])
def test_a_blank_label_is_scored_by_its_policy(blank, value):
    found = score_targets(STATES, ["Edema"], policy(blank=blank))
    np.testing.assert_array_equal(found[3], np.float32([value]))


def test_smoothed_values_lie_in_the_stated_range_evenly():
    values = smoothed(ids(20_000))
    low, high = np.float32(0.55), np.float32(0.85)
    assert values.min() >= low
    assert values.max() < high
    assert kstest((values - low) / (high - low), "uniform").pvalue > 0.01


def test_smoothed_values_never_round_up_to_the_end_of_the_range():
    # between these two float32 neighbours half of all values would round to the upper one
    low = float(np.float32(0.5))
    high = float(np.nextafter(np.float32(0.5), np.float32(1)))
    assert set(smoothed(ids(200), smooth_low=low, smooth_high=high)) == {np.float32(low)}


def test_a_range_of_one_value_gives_that_value():
    assert set(smoothed(ids(5), smooth_low=0.75, smooth_high=0.75)) == {np.float32(0.75)}


def test_smoothed_values_follow_image_label_and_seed_alone():
    names = ids(50)
    values = smoothed(names)
    np.testing.assert_array_equal(smoothed(names[::-1]), values[::-1])
    np.testing.assert_array_equal(smoothed(names[7:9]), values[7:9])
    assert not np.isin(smoothed(names, label="Fracture"), values).any()
    assert not np.isin(smoothed(names, seed=1), values).any()


@given(
    st.lists(st.lists(st.sampled_from([1, 0, -1, -2, -3]), min_size=3, max_size=3), max_size=8),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_rows_changes_no_target(rows, random):
    states = np.array(rows, dtype=np.int8).reshape(len(rows), 3)
    labels = ["No Finding", "Edema", "Support Devices"]
    data = {"uncertain": "smoothed", "blank": "ignore"}
    order = list(range(len(rows)))
    random.shuffle(order)
    names = ids(len(rows))
    found = targets(states, labels, **data)
    shuffled = targets(states[order], labels, image_id=[names[i] for i in order], **data)
    np.testing.assert_array_equal(shuffled, found[order])
    kinds = count_targets(found, labels)
    assert all(sum(counts.values()) == len(rows) for counts in kinds.values())


def test_a_blank_no_finding_is_denied_by_another_positive_finding():
    labels = ["No Finding", "Edema", "Support Devices"]
    states = np.array(
        [
            [1, -2, -2],  # the report finds nothing
            [-2, 1, -2],  # there is edema, so there is a finding
            [-2, -1, -2],  # edema is possible: not known
            [-2, 0, 1],  # a device is no finding: not known
            [-2, -2, -2],
            [-3, 1, -2],  # the source has no such label
        ],
        dtype=np.int8,
    )
    ignored = policy(blank="ignore")
    expected = np.float32([1, 0, NAN, NAN, NAN, NAN])
    np.testing.assert_array_equal(score_targets(states, labels, ignored)[:, 0], expected)
    np.testing.assert_array_equal(targets(states, labels, blank="ignore")[:, 0], expected)
    # under zeros every blank one is a negative, as of any other label
    zeros = score_targets(states, labels, policy())[:, 0]
    np.testing.assert_array_equal(zeros, np.float32([1, 0, 0, 0, 0, NAN]))
    # the policy of No Finding counts, not that of the others
    own = policy(blank_by_label={"No Finding": "ignore"})
    np.testing.assert_array_equal(score_targets(states, labels, own)[:, 0], expected)
    # alone, without another label to deny it, it has no negative
    alone = score_targets(states[:, :1], labels[:1], ignored)[:, 0]
    np.testing.assert_array_equal(alone, np.float32([1, NAN, NAN, NAN, NAN, NAN]))


def test_only_multi_class_labels_have_an_output_more():
    mixed = policy(uncertain_by_label={"Edema": "multi_class", "Fracture": "smoothed"})
    labels = ["Fracture", "Edema", "Pneumonia"]
    assert num_outputs(mixed, labels) == 4
    assert columns_with(mixed, labels, "multi_class") == (1,)
    assert columns_with(mixed, labels, "ignore") == (2,)
    assert num_outputs(policy(), labels) == 3
    assert (uncertain_policy(mixed, "Edema"), blank_policy(mixed, "Edema")) == (
        "multi_class",
        "zeros",
    )


def test_a_first_model_fills_the_uncertain_of_self_trained_labels_only():
    states = np.array([[-1, -1], [1, -2], [-1, -3]], dtype=np.int8)
    mixed = policy(uncertain_by_label={"Fracture": "self_trained"})
    asked = to_predict(states[:, ::-1], ["Edema", "Fracture"], mixed)
    np.testing.assert_array_equal(asked, [[False, True], [False, False], [False, True]])
    assert not to_predict(states, ["Edema", "Fracture"], policy()).any()


def test_targets_are_counted_by_kind():
    target = np.float32([[1, 0], [0.6, 2], [NAN, 2], [0, NAN], [0, NAN]])
    assert count_targets(target, ["a", "b"]) == {
        "a": {"positive": 1, "negative": 2, "soft": 1, "uncertain_class": 0, "unknown": 1},
        "b": {"positive": 0, "negative": 1, "soft": 0, "uncertain_class": 2, "unknown": 2},
    }


def test_the_first_model_is_ready_at_half_of_the_rounds_unless_said():
    assert policy_of(DataConfig(), rounds=7).self_train_after == 3
    assert policy_of(DataConfig(), rounds=1).self_train_after == 1
    assert policy_of(DataConfig(self_train_after=6), rounds=7).self_train_after == 6


def test_self_training_with_no_round_left_is_refused():
    one = DataConfig(uncertain_by_label={"Edema": "self_trained"}, self_train_after=4)
    words = r"data\.self_train_after: 4 of 4 rounds; the uncertain ones of Edema would never"
    with pytest.raises(ConfigError, match=words):
        check_self_training(one, rounds=4)
    check_self_training(one, rounds=5)
    every = DataConfig(uncertain="self_trained")
    with pytest.raises(ConfigError, match=r"1 of 1 rounds; .* every label without a policy of its"):
        check_self_training(every, rounds=1)
    check_self_training(every, rounds=2)
    check_self_training(DataConfig(self_train_after=9), rounds=1)  # nothing is self-trained


def test_the_preset_chexpert_best_is_chexpert_with_the_papers_policies():
    best, plain = load_config("chexpert-best"), load_config("chexpert")
    chosen = policy_of(best.data, rounds=best.server.rounds)
    # Irvin et al. 2019: the five findings of the competition, each with its best approach
    assert chosen.uncertain_by_label == {
        "Atelectasis": "ones",
        "Cardiomegaly": "multi_class",
        "Consolidation": "self_trained",
        "Edema": "ones",
        "Pleural Effusion": "multi_class",
    }
    assert set(chosen.uncertain_by_label) <= set(CHEXPERT_LABELS)
    assert num_outputs(chosen, CHEXPERT_LABELS) == 16
    check_self_training(best.data, rounds=best.server.rounds)
    policies = {"uncertain", "uncertain_by_label"}
    assert best.model_dump(exclude={"name": True, "data": policies}) == plain.model_dump(
        exclude={"name": True, "data": policies}
    )
