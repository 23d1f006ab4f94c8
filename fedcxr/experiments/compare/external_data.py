"""Data sets from elsewhere that a comparison's models are scored on: read, checked and kept.

They are read before the first training, by the readers, views, label policies and cache of the
run. Patients and image files that the federation has are left out, with their counts. Namesakes are
taken for one patient: two data sets of one kind that both begin at patient 1 are not told apart.

The images are those of the official test set where there is one, else all.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.data.cache.images import cache_of
from fedcxr.data.cache.store import Cache
from fedcxr.data.copies import without_copies
from fedcxr.data.labels import MASKED
from fedcxr.data.read import read_dataset
from fedcxr.data.readers.join import in_the_words_of
from fedcxr.data.records import DataSet, RecordTable
from fedcxr.data.tokens import SYNTHETIC_KEY, Tokens, load_key
from fedcxr.errors import ArtefactError, DataError
from fedcxr.experiments.apply import of_split, shared_labels
from fedcxr.experiments.compare.external_sets import (
    EXTERNAL,
    SET_JSON,
    ReadSet,
    keep_externals,
    names_of_external,
    read_kept,
)
from fedcxr.experiments.known_patients import KnownPatients, patients_of
from fedcxr.home import home_folder
from fedcxr.results.frozen import ExternalSet, LeftOut
from partitions.changes import read_contents
from partitions.plan import PartitionPlan, tokenise
from partitions.plan_folder import all_tables
from partitions.record_table import take


@dataclass(frozen=True, slots=True)
class Federation:
    """What an external set must have nothing of."""

    patients: KnownPatients
    contents: Collection[str]
    """Keyed digests of the image files."""
    labels: tuple[str, ...]
    """Of the run."""

    @classmethod
    def of(
        cls, config: ExperimentConfig, plan: PartitionPlan, contents: Mapping[str, str]
    ) -> "Federation":
        """Return it from a partition, any of the draws, and its files' digests by image token."""
        mine = (i for table in all_tables(plan).values() for i in table.image_id)
        held = frozenset(contents[image_id] for image_id in mine if image_id in contents)
        return cls(patients_of(plan), held, tuple(config.data.labels or plan.labels))


def read_externals(
    config: ExperimentConfig, plan: PartitionPlan, contents: Mapping[str, str]
) -> list[ReadSet]:
    """Return every external set of a comparison, its images decoded.

    Args:
        config: of the comparison.
        plan: its partition, any of the draws.
        contents: by image token, the keyed digest of each file of the run's data.

    Raises:
        DataError: a set cannot be read, shares no label with the run, has no image that the
            federation has not, or is there twice.
        ArtefactError: the federation's patients cannot be recognised.
    """
    found: dict[str, ReadSet] = {}
    if not config.compare.external:
        return []
    federation = Federation.of(config, plan, contents)
    for name, root in names_of_external(config.compare.external).items():
        one = read_external(config, federation, name, root)
        twin = found.setdefault(one.facts.digest, one)
        if twin is not one:
            raise DataError(
                f"{root}: holds the same images as {twin.facts.name}. Name one of the two as "
                "--external."
            )
    return list(found.values())


def read_external(
    config: ExperimentConfig, federation: Federation, name: str, root: Path
) -> ReadSet:
    """Return one external set; see `read_externals`."""
    if federation.patients.reason is not None:
        raise ArtefactError(
            f"{root}: whether the federation has patients of it cannot be told: "
            f"{federation.patients.reason}."
        )
    own = config.data
    dataset = read_dataset(root, views=own.views, task=own.task, follow_links=own.follow_links)
    dataset, split = of_split(in_the_words_of(federation.labels, dataset), "test")
    labels = shared_labels(federation.labels, dataset)
    fresh = federation.patients.without_them(dataset)
    if not fresh.records:
        raise DataError(
            f"{root}: all {len(dataset.records)} images are of patients whom the federation has, "
            "by their numbers, so there is nobody from elsewhere to score. Take this folder out of "
            "--external, or give the data of other patients with numbers of their own."
        )
    is_synthetic = (dataset.root / "synthetic.json").is_file()
    tokens = Tokens(_key_for(config, is_synthetic=is_synthetic))
    cache = cache_of(
        fresh,
        tokens,
        size_px=config.model.image_size,
        max_bad_fraction=config.data.max_bad_fraction,
    )
    chosen, left_out = _distinct(fresh, cache, tokens, federation)
    left_out = left_out.model_copy(
        update={"known_patients": len(dataset.records) - len(fresh.records)}
    )
    if not chosen.records:
        raise DataError(
            f"{root}: no image is left to score: {left_out.known_images} of "
            f"{len(fresh.records)} files are those of images that the federation has. Take this "
            "folder out of --external."
        )
    table = _table(chosen, tokens, federation.labels)
    facts = ExternalSet(
        name=name,
        layout=dataset.layout,
        is_synthetic=is_synthetic,
        split=split,
        labels=tuple(labels),
        lacking=tuple(label for label in federation.labels if label not in labels),
        images=len(table),
        patients=len(set(table.patient_id)),
        left_out=left_out,
        digest=_digest(table, {i: tokens.content(d) for i, d in cache.contents().items()}),
    )
    return ReadSet(facts, cache.digest, table)


def settle_externals(folder: Path, config: ExperimentConfig, plan: PartitionPlan) -> None:
    """See that the images of every external set are at hand, as they were when they were kept.

    A set that the comparison did not have when it began is read and kept now.

    Raises:
        DataError: as from `read_externals`.
        ArtefactError: what is kept is damaged, or the data are not as they were.
    """
    for name, root in names_of_external(config.compare.external).items():
        place = folder / EXTERNAL / name
        kept = read_kept(place) if (place / SET_JSON).is_file() else None
        if kept and (home_folder() / "cache" / kept.cache_digest).is_dir():
            continue
        federation = Federation.of(config, plan, read_contents(plan.folder))
        found = read_external(config, federation, name, root)
        if kept and found.facts.digest != kept.facts.digest:
            raise ArtefactError(
                f"{root}: not the images and labels that this comparison was begun with as "
                f"{name}. Give back the data as they were, or start a new comparison."
            )
        keep_externals(folder, [found])


def _distinct(
    fresh: DataSet, cache: Cache, tokens: Tokens, federation: Federation
) -> tuple[DataSet, LeftOut]:
    """Return the readable images, each file once and none of the federation's, and the rest."""
    key = federation.patients.key
    theirs = Tokens(key) if key else tokens
    by_token = cache.contents()
    digest = {
        record.path: by_token[image_id]
        for record in fresh.records
        if (image_id := tokens.image(record.path)) in by_token
    }
    good = fresh.where(lambda record: record.path in digest)
    new = good.where(lambda r: theirs.content(digest[r.path]) not in federation.contents)
    chosen = without_copies(new, digest)
    return chosen, LeftOut(
        known_patients=0,
        known_images=len(good.records) - len(new.records),
        copies=len(new.records) - len(chosen.records),
        unreadable=len(fresh.records) - len(good.records),
    )


def _table(dataset: DataSet, tokens: Tokens, labels: Sequence[str]) -> RecordTable:
    """Return the records by the order of their tokens, under the run's labels."""
    column = {label: place for place, label in enumerate(dataset.labels)}
    records = tuple(
        replace(
            record,
            labels=tuple(record.labels[column[x]] if x in column else MASKED for x in labels),
        )
        for record in dataset.records
    )
    named = replace(dataset, labels=tuple(labels), records=records)
    table = tokenise(named, tokens, ["test"] * len(records))
    return take(table, np.argsort(np.array(table.image_id), kind="stable"))


def _digest(table: RecordTable, contents: Mapping[str, str]) -> str:
    sha = hashlib.sha256("\n".join(table.labels).encode())
    rows = zip(table.image_id, table.patient_id, table.study_id, table.states, strict=True)
    for image_id, patient_id, study_id, states in rows:
        text = f"\n{image_id}\0{patient_id}\0{study_id}\0{states.tolist()}\0{contents[image_id]}"
        sha.update(text.encode())
    return sha.hexdigest()


def _key_for(config: ExperimentConfig, *, is_synthetic: bool) -> bytes:
    """Return the key of the tokens that are written: patients never get the public one."""
    return SYNTHETIC_KEY if is_synthetic and not config.data.roots else load_key()
