"""A sample with stated numbers of images with and without one finding, in train, val and test.

Whole patients are dealt to the three sets, those with the finding first, each to the set that still
lacks the largest share of it; then as many images of each class as the sizes say are drawn from the
patients of each set. Where the data have fewer, all sizes are scaled down by one factor. Patients
of an official val or test set are left out, so that they stay unseen; so are images that are of
neither class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.partition import ClassSizes
from fedcxr.config.task import PolicyConfig
from fedcxr.data.origin import SetSizes
from fedcxr.data.policies import score_targets, train_targets
from fedcxr.data.records import DataSet
from fedcxr.errors import ConfigError, DataError, some
from fedcxr.seeding import derive_rng
from partitions.patients import Grouped, group_by_patient
from partitions.plan_folder import PartitionPlan
from partitions.splits import TEST, TRAIN, VAL

LEAST_IMAGES = 5
"""Of each class in each set: with fewer, one image is a fifth of all that a score is of."""

_ROLES = (TRAIN, VAL, TEST)
_WITH, _WITHOUT = 0, 1
_SETS = ("train", "val", "test")
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class ImageClasses:
    """Of which class the N images are, as the label policies say."""

    label: str
    trained: NDArray[np.bool_]
    """(N, 2) with the finding, without it: as it is trained on."""
    scored: NDArray[np.bool_]
    """(N, 2) as it is scored: an uncertain label is of neither class."""


@dataclass(frozen=True, slots=True)
class ClassSample:
    """Which images are in it, and in which set their patients are."""

    is_drawn: NDArray[np.bool_]
    """(N,)"""
    role_of: Mapping[str, int]
    """Of `partitions/splits.py`, by patient of whom an image was drawn."""
    drawn: SetSizes
    of_patients: int
    """Outside the official sets."""


def sample_of(
    dataset: DataSet, sizes: ClassSizes, policy: PolicyConfig, *, seed: int
) -> ClassSample:
    """Return the sample of a data set; the same data, sizes and seed give the same one.

    Args:
        dataset: of one label.
        sizes: images with and without it, in each set.
        policy: what uncertain and blank labels are.
        seed: root of the stream that draws.

    Raises:
        ConfigError: the data set has more than one label.
        DataError: there are too few images of a class for the smallest set.
    """
    classes = classes_of(dataset, policy)
    grouped = group_by_patient([record.patient_id for record in dataset.records])
    official = [record.split for record in dataset.records]
    return draw_sample(grouped, official, classes, sizes, seed=seed)


def classes_of(dataset: DataSet, policy: PolicyConfig) -> ImageClasses:
    """Return the class of each image.

    A target that is neither 0 nor 1 (smoothed, a third class, still to be predicted) is of none.

    Raises:
        ConfigError: the data set has more than one label.
    """
    if len(dataset.labels) != 1:
        raise ConfigError(
            f"partition.class_sizes: counts images with and without one label, and the run has "
            f"{len(dataset.labels)}: {some(list(dataset.labels), 14)}. Give --task lung-lesion, or "
            "one of --labels."
        )
    states, names = dataset.states(), [record.path for record in dataset.records]
    # the seed decides smoothed values alone, none of which is 0 or 1
    trained = train_targets(states, dataset.labels, policy, image_id=names, seed=0)
    scored = score_targets(states, dataset.labels, policy)
    return ImageClasses(dataset.labels[0], _as_classes(trained), _as_classes(scored))


def draw_sample(
    grouped: Grouped,
    official: Sequence[str],
    classes: ImageClasses,
    sizes: ClassSizes,
    *,
    seed: int,
) -> ClassSample:
    """Return the sample of N images; see `sample_of`.

    Args:
        grouped: the images by patient.
        official: (N,) the official split of each.
        classes: of the images.
        sizes: of the sample.
        seed: root of the stream that draws.
    """
    held_out = np.isin(np.array(official), ("val", "test"))
    is_held_out = np.bincount(grouped.patient_of[held_out], minlength=len(grouped.patient_ids)) > 0
    is_open = ~is_held_out[grouped.patient_of]
    of_set = np.stack([classes.trained, classes.scored, classes.scored]) & is_open[:, None]
    wanted = np.array([sizes.train, sizes.val, sizes.test], dtype=np.int64)  # (3, 2)
    rng = derive_rng(seed, "partition", "classes")
    set_of = _deal(_by_patient(of_set, grouped), wanted, rng)
    in_set = of_set & (set_of[grouped.patient_of] == np.arange(3)[:, None])[..., None]
    there = in_set.sum(axis=1)  # (3, 2)
    scale = min(1.0, float((there / wanted).min()))
    counts = np.floor(scale * wanted + _ROUNDING).astype(np.int64)
    if counts.min() < LEAST_IMAGES:
        raise _too_few(classes.label, of_set, wanted, scale)
    is_drawn = np.zeros(len(is_open), dtype=bool)
    for place, kind in np.ndindex(3, 2):
        rows = np.flatnonzero(in_set[place, :, kind])
        is_drawn[rng.choice(rows, size=int(counts[place, kind]), replace=False)] = True
    chosen = np.unique(grouped.patient_of[is_drawn]).tolist()
    return ClassSample(
        is_drawn,
        {grouped.patient_ids[patient]: _ROLES[set_of[patient]] for patient in chosen},
        SetSizes(*((int(counts[row, 0]), int(counts[row, 1])) for row in range(3))),
        int(np.count_nonzero(~is_held_out)),
    )


def sites_of_one_class(plan: PartitionPlan, policy: PolicyConfig) -> list[tuple[str, bool]]:
    """Return the sites that train on one class alone, each with whether that is the finding.

    Args:
        plan: of one label; the tables of its sites are there.
        policy: what uncertain and blank labels are.
    """
    found = []
    for site in plan.sites:
        table = plan.site_table(site.site_id)
        rows = table.rows("train")
        names = [table.image_id[row] for row in rows.tolist()]
        target = train_targets(table.states[rows], plan.labels, policy, image_id=names, seed=0)
        has_it, lacks_it = (bool(own.any()) for own in _as_classes(target).T)
        if has_it != lacks_it:
            found.append((site.site_id, has_it))
    return found


def _as_classes(target: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return (N, 2) whether each of (N, 1) targets is of the finding, and of its absence."""
    return np.column_stack([target[:, 0] == 1, target[:, 0] == 0])


def _by_patient(of_set: NDArray[np.bool_], grouped: Grouped) -> NDArray[np.int64]:
    """Return (P, 3, 2) images that each patient would bring to each set."""
    brings = np.zeros((len(grouped.patient_ids), *of_set.shape[::2]), dtype=np.int64)
    for place, kind in np.ndindex(*of_set.shape[::2]):
        owners = grouped.patient_of[of_set[place, :, kind]]
        brings[:, place, kind] = np.bincount(owners, minlength=len(brings))
    return brings


def _deal(
    brings: NDArray[np.int64], wanted: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the set of each patient, (P,), in 0 … 2; 3 = none needs them.

    Those with the finding come first. Where all of them together are too few, the sets without it
    are filled no further than those with it can be.
    """
    set_of = np.full(len(brings), 3)
    order = rng.permutation(len(brings))
    has = np.zeros(wanted.shape, dtype=np.int64)
    _deal_class(brings, set_of, order, has, kind=_WITH, goal=wanted)
    share = min(1.0, float((has[:, _WITH] / wanted[:, _WITH]).min()))
    goal = np.ceil(share * wanted).astype(np.int64)
    _deal_class(brings, set_of, order, has, kind=_WITHOUT, goal=goal)
    return set_of


def _deal_class(
    brings: NDArray[np.int64],
    set_of: NDArray[np.int64],
    order: NDArray[np.int64],
    has: NDArray[np.int64],
    *,
    kind: int,
    goal: NDArray[np.int64],
) -> None:
    """Give patients who bring a class to the sets that lack it most; `set_of`, `has` change."""
    free = order[(set_of[order] == 3) & (brings[order, :, kind].sum(axis=1) > 0)]
    for patient in free.tolist():
        lacks = np.maximum(goal[:, kind] - has[:, kind], 0) / goal[:, kind].clip(min=1)
        lacks[brings[patient, :, kind] == 0] = 0
        if not lacks.any():
            continue
        chosen = int(lacks.argmax())
        set_of[patient] = chosen
        has[chosen] += brings[patient, chosen]


def _too_few(
    label: str, of_set: NDArray[np.bool_], wanted: NDArray[np.int64], scale: float
) -> DataError:
    """Return the error of data that have too few images of a class."""
    with_it, without = of_set[0].sum(axis=0).tolist()
    scaled = scale * wanted
    scarce = int(np.argmin(of_set[0].sum(axis=0) / wanted.sum(axis=0)))
    if scaled[:, scarce].min() >= LEAST_IMAGES:  # the other class is short by its sizes alone
        scarce = 1 - scarce
    place, kind = int(scaled[:, scarce].argmin()), scarce
    have_it = "without" if kind == _WITHOUT else "with"
    mend = "Give a larger data set"
    if scaled.min() > 0:
        mend = f"Give a data set about {LEAST_IMAGES / scaled.min():.2g} times as large"
    if with_it and without:
        mend += (
            ", or sizes of which these sets have a larger part, as in --set "
            "partition.class_sizes.train=[30,30]"
        )
    return DataError(
        f"partition.class_sizes: outside the official val and test sets there are {with_it:,} "
        f"images with {label} and {without:,} without it, as the label policies say. Scaled down "
        f"to them, {_SETS[place]} would have {int(scaled[place, kind] + _ROUNDING)} images "
        f"{have_it} {label} in place of {wanted[place, kind]:,}; at least {LEAST_IMAGES} are "
        f"needed. {mend}."
    )
