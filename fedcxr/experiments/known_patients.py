"""Whom a run's model knows: the patients it was trained on, or chose its round by.

A score on these patients would say too much. They are known by their tokens, so it takes the run's
key to recognise them, and the tables of all sites, which a run of real sites does not have.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcxr.data.readers.join import names_of_patient
from fedcxr.data.records import DataSet
from fedcxr.data.tokens import SYNTHETIC_KEY, Tokens, load_key
from fedcxr.errors import ArtefactError, ConfigError
from partitions.plan import PartitionPlan, read_plan
from partitions.table import read_table


@dataclass(frozen=True, slots=True)
class KnownPatients:
    """The patients that a run learned from or chose its round on, as far as they can be known."""

    key: bytes | None
    """Of their tokens; none = it is not here."""
    tokens: frozenset[str]
    reason: str | None
    """Why not all of them can be recognised; none = all can."""

    def demand_all(self, run: Path) -> None:
        """Raise ArtefactError unless every one of them can be recognised."""
        if self.reason is not None:
            raise ArtefactError(
                f"{run}: {self.reason}, so patients that the model was trained on would be scored "
                "without a word. If the data are of other patients, say so with --other-patients."
            )

    def without_them(self, dataset: DataSet) -> DataSet:
        """Return the records of a data set whose patient is none of those that can be known."""
        if self.key is None:
            return dataset
        unknown = _unknown_patients(dataset, Tokens(self.key), self.tokens)
        return dataset.where(lambda record: record.patient_id in unknown)

    def to_json(self) -> dict[str, Any]:
        """Return with how many patients a data set was compared, and why not with all."""
        compared = len(self.tokens) if self.key is not None else 0
        return {"compared_with": compared, "reason": self.reason}


def known_patients(path: Path) -> KnownPatients:
    """Return the patients of a run's training and validation sets; its test patients are not known.

    Raises:
        ArtefactError: the run's partition is missing or damaged.
    """
    plan = read_plan(path / "partition")
    return _patients_in(plan, [plan.val_csv])


def patients_of(plan: PartitionPlan) -> KnownPatients:
    """Return all patients of a partition: those of its test set too."""
    return _patients_in(plan, [plan.val_csv, plan.test_csv])


def _patients_in(plan: PartitionPlan, own: Sequence[Path]) -> KnownPatients:
    """Return the patients of the sites' tables and of some of the server's own."""
    key, reason = _key_of(plan.key_fingerprint)
    files = [*own, *(plan.site_csv(site.site_id) for site in plan.sites)]
    there = [file for file in files if file.exists()]
    tokens = frozenset(patient for file in there for patient in read_table(file).patient_id)
    if reason is None and len(there) < len(files):
        reason = "the sites' tables are not in the run folder, they stayed with the sites"
    return KnownPatients(key, tokens, reason)


def _key_of(fingerprint: str) -> tuple[bytes | None, str | None]:
    """Return the key with a fingerprint, or none and why not; no key is made for this."""
    if Tokens(SYNTHETIC_KEY).fingerprint == fingerprint:
        return SYNTHETIC_KEY, None
    mend = "set FEDCXR_PATIENT_KEY to the file of the key that the run was made with"
    try:
        key = load_key(make=False)
    except ConfigError as err:
        return None, f"the patient key of its tokens ({fingerprint}) is not here ({err}): {mend}"
    found = Tokens(key).fingerprint
    if found != fingerprint:
        return None, f"its tokens are under the patient key {fingerprint}, yours is {found}: {mend}"
    return key, None


def _unknown_patients(dataset: DataSet, tokens: Tokens, known: Collection[str]) -> set[str]:
    """Return the patients of a data set of whom none of the `known` tokens is."""
    one_record = {record.patient_id: record for record in dataset.records}
    return {
        patient_id
        for patient_id, record in one_record.items()
        if not any(tokens.patient(name) in known for name in names_of_patient(record))
    }
