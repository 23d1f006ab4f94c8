"""The labels over whose mean AUROC the verdict is given, fixed by counts before any training.

A finding that one test patient has gives a macro mean no interval, and so every other finding no
verdict. Which labels have patients enough follows from the test table alone: it is settled before
there is a result, and what is left out is named with its counts.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.data.policies import policy_of, score_targets
from fedcxr.data.records import RecordTable
from fedcxr.errors import ConfigError, some
from fedcxr.metrics.studies import by_study
from fedcxr.results.frozen import Endpoint, LabelPatients
from partitions.changes import read_contents
from partitions.plan import PartitionPlan
from partitions.record_table import take
from partitions.table import read_table


def endpoint_of(config: ExperimentConfig, plan: PartitionPlan) -> Endpoint:
    """Return the primary endpoint of a comparison, counted on its test table.

    Args:
        config: of the comparison.
        plan: its partition; an image that could not be read is not counted.

    Raises:
        ConfigError: a primary label that the run has not.
        DataError: the test table is damaged.
    """
    labels = config.data.labels or plan.labels
    check_primary_labels(config, labels)
    table = read_table(plan.test_csv)
    read = read_contents(plan.folder)
    rows = [row for row, image in enumerate(table.image_id) if not read or image in read]
    return endpoint_on(config, take(table, np.array(rows, dtype=np.int64)), labels)


def endpoint_on(config: ExperimentConfig, table: RecordTable, labels: Sequence[str]) -> Endpoint:
    """Return the endpoint on a table of test images.

    Args:
        config: of the comparison.
        table: the images that are scored.
        labels: those of the table that can be in it; of the primary labels that are none of these
            the endpoint says nothing.
    """
    columns = [table.labels.index(label) for label in labels]
    policy = policy_of(config.data, rounds=config.server.rounds)
    target: NDArray[np.floating] = score_targets(table.states[:, columns], labels, policy)
    patient = np.array(table.patient_id, dtype=np.str_)
    if config.data.score_by == "study":
        target, _, _, patient = by_study(target, target, table.study_id, patient)
    primary = [label for label in labels if label in (config.compare.primary_labels or labels)]
    found = [each for each in count_patients(target, patient, labels) if each.label in primary]
    least = config.compare.min_positives
    return Endpoint(
        primary_labels=config.compare.primary_labels,
        min_positives=least,
        patients=tuple(found),
        labels=tuple(one.label for one in found if min(one.positives, one.negatives) >= least),
    )


def endpoint_of_folds(config: ExperimentConfig, plans: Sequence[PartitionPlan]) -> Endpoint:
    """Return the endpoint of a comparison over one test set, or over the folds of several.

    A label needs its patients in each fold: its AUROC is computed within folds.

    Args:
        config: of the comparison.
        plans: a partition each, of other test patients.

    Raises:
        ConfigError: a primary label that the run has not.
        DataError: a test table is damaged.
    """
    first, *others = [endpoint_of(config, plan) for plan in plans]
    if not others:
        return first
    fewest = tuple(
        LabelPatients(
            label=counted[0].label,
            positives=min(each.positives for each in counted),
            negatives=min(each.negatives for each in counted),
        )
        for counted in zip(first.patients, *(each.patients for each in others), strict=True)
    )
    eligible = set(first.labels).intersection(*(each.labels for each in others))
    labels = tuple(label for label in first.labels if label in eligible)
    return first.model_copy(update={"patients": fewest, "labels": labels, "folds": len(plans)})


def check_labels(config: ExperimentConfig, labels: Sequence[str]) -> None:
    """Refuse a label that is asked for and that the data have not.

    Raises:
        ConfigError: of a stated prevalence, or of the endpoint.
    """
    strange = sorted(set(config.compare.prevalence) - set(labels))
    if strange:
        raise ConfigError(
            f"compare.prevalence: the data have no label {some(strange)}. They have "
            f"{', '.join(labels)}."
        )
    check_primary_labels(config, config.data.labels or labels)


def check_primary_labels(config: ExperimentConfig, labels: Sequence[str]) -> None:
    """Raise ConfigError if a primary label is not among those of the run."""
    strange = [label for label in config.compare.primary_labels if label not in labels]
    if strange:
        raise ConfigError(
            f"compare.primary_labels: the run has no label {some(strange)}. It has "
            f"{some(list(labels), 20)}. Name some of these, or none for all of them: "
            "--primary-labels ''."
        )


def count_patients(
    target: NDArray[np.floating], patient: NDArray[np.str_], labels: Sequence[str]
) -> list[LabelPatients]:
    """Return how many patients have each finding, and how many lack it.

    Args:
        target: (N, L) in {0, 1, nan}, a row an image or a study.
        patient: (N,) whose each row is.
        labels: the L names.

    >>> target = np.array([[1.0], [0.0], [0.0], [np.nan]])
    >>> count_patients(target, np.array(["a", "a", "b", "c"]), ["Edema"])
    [LabelPatients(label='Edema', positives=1, negatives=2)]
    """
    found = []
    for column, label in enumerate(labels):
        with_it, without = (
            len(set(patient[target[:, column] == state].tolist())) for state in (1, 0)
        )
        found.append(LabelPatients(label=label, positives=with_it, negatives=without))
    return found
