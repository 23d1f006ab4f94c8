"""Arms on the same test patients: trainings nested in partitions are replicated by partition."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from fedcxr.config.load import load_config
from fedcxr.experiments.compare.arms import Training
from fedcxr.experiments.compare.verdicts import difference_of
from fedcxr.metrics.auroc import auroc
from fedcxr.metrics.estimate import Part, symmetric, with_trainings
from fedcxr.results.frozen import Endpoint
from fedcxr.results.judging.scored_arms import ScoredArms
from fedcxr.runs.predictions import Predictions

PAIR = ("federated", "centralized")
CONFIG = load_config()


def make_test(patients=240):
    """One label, an image a patient, every other with the finding."""
    ids = np.array([f"{place:04d}" for place in range(patients)])
    target = (np.arange(patients) % 2)[:, None].astype(np.float32)
    return Predictions(("Edema",), target, target, ids, ids, ids)


def trained(arm, seed, partition=0, site=""):
    where = Path(f"{arm}-{partition}-{seed}{site}")
    return Training(arm, seed, site, where, CONFIG, 1, Path(), partition)


def nested(partitions, trainings):
    return [
        trained(arm, 100 * partition + number, partition)
        for arm in PAIR
        for partition in range(partitions)
        for number in range(trainings)
    ]


def scored(test, trainings):
    """Return the arms scored, and each training's AUROC by name."""
    probs, known = [], {}
    for number, training in enumerate(trainings):
        rng = np.random.default_rng(number)
        shift = 1.3 + 0.2 * training.partition * (training.arm == PAIR[0])
        raw = test.target * shift + rng.normal(size=test.target.shape)
        values = (1 / (1 + np.exp(-raw))).astype(np.float32)
        probs.append((training, values))
        known[training.name] = auroc(test.target[:, 0], values[:, 0])
    return ScoredArms.of(test, probs, 0.95), known


def test_the_partitions_means_are_what_varies():
    # 3 partitions of 2 trainings an arm: the spread is of 3 means, with 2 degrees of freedom.
    arms, known = scored(make_test(), nested(3, 2))
    means = [
        np.mean([known[f"federated-{p}-{100 * p + n}"] for n in range(2)])
        - np.mean([known[f"centralized-{p}-{100 * p + n}"] for n in range(2)])
        for p in range(3)
    ]
    found = arms.of_methods("auroc", PAIR, [0])
    patients, trained_part = found.parts
    assert found.value == pytest.approx(np.mean(means))
    assert trained_part.df == 2
    assert trained_part.variance == pytest.approx(np.var(means, ddof=1) / 3)
    half = np.sqrt(
        stats.t.ppf(0.975, 2) ** 2 * trained_part.variance
        + stats.t.ppf(0.975, patients.df) ** 2 * patients.variance
    )
    assert found.ci == pytest.approx((found.value - half, found.value + half))
    assert (arms.units("federated"), arms.seeds("federated")) == (
        [0, 1, 2],
        [0, 1, 100, 101, 200, 201],
    )


@pytest.mark.parametrize(("by_partition", "covered"), [(True, 0.95), (False, 0.716)])
def test_only_by_partition_does_the_interval_hold(by_partition, covered):
    # 3 partitions of 5 trainings; a partition and a training vary alike, patients hardly at all.
    rng = np.random.default_rng(3)
    studies = rng.normal(size=(2000, 3, 1)) + rng.normal(size=(2000, 3, 5))
    hits = 0
    for each in studies:
        varied = each.mean(axis=1) if by_partition else each.ravel()
        patients = symmetric(float(each.mean()), (Part(1e-12, 100.0),), 0.95)
        low, high = with_trainings(patients, varied, 0.95).ci
        hits += low < 0 < high
    assert hits / 2000 == pytest.approx(covered, abs=4 * np.sqrt(covered * (1 - covered) / 2000))


def test_one_training_on_each_of_two_partitions_is_enough_for_a_word_about_methods():
    trainings = [trained(arm, 100 * p, p) for arm in PAIR for p in range(2)]
    arms, _ = scored(make_test(), trainings)
    assert arms.of_methods("auroc", PAIR, [0]).parts[1].df == 1


def test_a_local_arms_sites_are_one_value_a_partition():
    trainings = [trained("federated", 100 * p, p) for p in range(2)]
    trainings += [trained("local", 100 * p, p, site) for p in range(2) for site in ("-a", "-b")]
    arms, known = scored(make_test(), trainings)
    means = [
        known[f"federated-{p}-{100 * p}"]
        - np.mean([known[f"local-{p}-{100 * p}{site}"] for site in ("-a", "-b")])
        for p in range(2)
    ]
    found = arms.of_methods("auroc", ("federated", "local"), [0])
    assert found.parts[1].variance == pytest.approx(np.var(means, ddof=1) / 2)


def test_with_one_partition_it_is_the_trainings_that_vary():
    trainings = [trained(arm, seed, partition=1) for arm in PAIR for seed in range(4)]
    arms, known = scored(make_test(), trainings)
    gaps = [known[f"federated-1-{s}"] - known[f"centralized-1-{s}"] for s in range(4)]
    found = arms.of_methods("auroc", PAIR, [0])
    assert found.parts[1].df == 3
    assert found.parts[1].variance == pytest.approx(np.var(gaps, ddof=1) / 4)


def difference(arms, test):
    endpoint = Endpoint(primary_labels=(), min_positives=10, patients=(), labels=test.labels)
    return difference_of(PAIR, arms, test, margin=0.01, endpoint=endpoint)


def test_a_pilots_variance_is_parted_into_within_partitions_and_beyond():
    test = make_test()
    arms, known = scored(test, nested(3, 2))
    gaps = np.array(
        [
            [known[f"federated-{p}-{100 * p + n}"] - known[f"centralized-{p}-{100 * p + n}"]]
            for p in range(3)
            for n in range(2)
        ]
    ).reshape(3, 2)
    found = difference(arms, test)
    # Two trainings a partition: the variance of two is half their squared distance.
    within = np.mean((gaps[:, 0] - gaps[:, 1]) ** 2 / 2)
    between = np.var(gaps.mean(axis=1), ddof=1)
    assert found.variance.trainings == pytest.approx(within)
    assert found.variance.partitions == pytest.approx(max(0.0, between - within / 2))
    assert found.variance.partitions > 0
    assert (found.variance.seeds, found.variance.partitions_df) == (2, 2)
    assert found.by_seed == pytest.approx(gaps.ravel())
    assert found.by_partition == pytest.approx(gaps.mean(axis=1))
    assert (found.about, found.replicated, found.replicates) == ("methods", "partitions", 3)


def test_a_spread_over_partitions_below_that_of_trainings_is_none():
    test = make_test()
    # Both partitions have the same two trainings: their means do not differ at all.
    probs = [
        (t, np.random.default_rng(t.seed % 100 + 7 * (t.arm == PAIR[0])).random((240, 1)))
        for t in nested(2, 2)
    ]
    found = difference(ScoredArms.of(test, probs, 0.95), test)
    assert found.by_partition[0] == found.by_partition[1]
    assert found.variance.trainings > 0
    assert found.variance.partitions == 0.0


def test_with_one_partition_nothing_is_known_of_others():
    test = make_test()
    arms, known = scored(test, nested(1, 3))
    found = difference(arms, test)
    gaps = [known[f"federated-0-{n}"] - known[f"centralized-0-{n}"] for n in range(3)]
    assert found.variance.trainings == pytest.approx(np.var(gaps, ddof=1))
    assert (found.variance.partitions, found.variance.partitions_df) == (None, None)
    assert (found.replicated, found.replicates, found.by_partition) == ("trainings", 3, ())
