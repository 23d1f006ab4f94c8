"""Where the test patients of a partition came from, told once they are chosen."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.partition import PartitionConfig
from fedcxr.data.origin import (
    DrawnPart,
    FoldPart,
    OfficialPart,
    SamplePart,
    SetSizes,
    TestSet,
)
from fedcxr.data.records import OfficialSet
from partitions.class_sample import ClassSample
from partitions.scheme import Patients
from partitions.splits import LEFT_OUT, TEST


def describe_test_set(
    patients: Patients,
    role: NDArray[np.int64],
    official: Sequence[OfficialSet],
    config: PartitionConfig,
    sample: ClassSample | None = None,
) -> TestSet:
    """Return which official sets, draws, fold or sample the test patients are.

    Args:
        patients: all that the partition is made of.
        role: (P,) as `split_globally` gives it.
        official: the sets of the data set; those of the split `val` are in no set.
        config: the folds and fractions.
        sample: by class, where there is one; no official set is in it.
    """
    if sample is not None:
        part = _of_sample(patients.dataset.labels[0], sample, config)
        return TestSet((part,), tuple(official))
    val = tuple(one for one in official if one.split == "val")
    if config.folds is not None:
        outside = int(np.count_nonzero(role != LEFT_OUT))
        fold = FoldPart(config.test_fold, config.folds, _count(role), outside)
        return TestSet((fold,), (*val, *(one for one in official if one.split == "test")))
    tested = {record.source for record in patients.dataset.records if record.split == "test"}
    parts: list[OfficialPart | DrawnPart] = []
    for number, source in enumerate(patients.sources):
        mine = role[patients.source_of == number]
        if source in tested:
            parts.append(OfficialPart(_official_of(source, official), _count(mine)))
        else:
            parts.append(DrawnPart(source, config.test_fraction, _count(mine), len(mine)))
    return TestSet(tuple(parts), val)


def _of_sample(label: str, sample: ClassSample, config: PartitionConfig) -> SamplePart:
    assert config.class_sizes is not None
    wanted = SetSizes(**config.class_sizes.model_dump())
    tested = sum(role == TEST for role in sample.role_of.values())
    return SamplePart(label, wanted, sample.drawn, tested, sample.of_patients)


def _official_of(source: str, official: Sequence[OfficialSet]) -> OfficialSet:
    """Return the test set of a source; records that no reader made may have one without a name."""
    found = (one for one in official if (one.source, one.split) == (source, "test"))
    return next(found, OfficialSet("test", "table", (), source))


def _count(role: NDArray[np.int64]) -> int:
    return int(np.count_nonzero(role == TEST))
