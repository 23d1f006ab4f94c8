"""A partition folder as it lies on disk, and the plan that it holds.

    plan.json          summary, digests, and the proof of disjointness
    global/val.csv     the server's validation patients, on which rounds are chosen
    global/test.csv    the server's test patients, on which nothing is chosen
    sites/site-00.csv  one file a site, with its own train and val

Anything else in the folder, such as the pictures that `fedcxr partition` draws, is not looked at.
A folder that was exported for a server (`partitions/export.py`) has no sites/: the hospitals keep
their own files, and plan.json says what each of them holds.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedcxr.data.origin import FoldPart, FoldsPart, TestSet
from fedcxr.data.records import RecordTable
from fedcxr.errors import ArtefactError, some
from partitions.patients import Members, Proof, table_sets
from partitions.summary import (
    SiteSummary,
    is_same,
    site_from_json,
    with_distances,
)
from partitions.table import read_table

if TYPE_CHECKING:
    import pandas as pd

PLAN_JSON = "plan.json"
VAL_CSV = "global/val.csv"
TEST_CSV = "global/test.csv"
GLOBAL = "global"
"""The server's sets in the proof; no site may have this name."""
FORMAT = 3
"""3: where the test set came from, and patients' tokens from the normal form of their names."""
SITE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_MAX_PLAN_BYTES = 256_000_000


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """A partition whose files were checked when it was opened."""

    folder: Path
    layout: str
    source: str
    labels: tuple[str, ...]
    views: str
    scheme: str
    parameters: dict[str, Any]
    """Of the scheme and the splits, by their names in `PartitionConfig`."""
    seed: int
    digest: str
    key_fingerprint: str
    sites: tuple[SiteSummary, ...]
    test_set: TestSet
    """Where the test patients came from."""
    pairs_checked: int
    """Pairs of sets that the proof of disjointness covers."""
    moved_patients: int
    """Patients who were moved to another site to meet the minimum."""
    left_out_images: int
    """Images of the data set that are in no set: an official val or test set that is not used."""
    proof: Proof | None = None
    """What was compared when the folder was opened, just now; the tables that were not there, those
    of real sites, are not in it."""
    is_export: bool = False
    """Whether the sites' tables are elsewhere."""
    lineage: str = ""
    """The digest of the plan that says who is where: of this one, or of the one that it has the
    rows of another day of."""
    tables: Mapping[str, RecordTable] = field(default_factory=dict, repr=False, compare=False)
    """By file name, as they were read when the folder was opened; `without_tables` lets go of them,
    since they grow with the data set."""

    @property
    def alpha(self) -> float | None:
        """Return the concentration of the Dirichlet scheme; None for any other."""
        return self.parameters.get("alpha")

    @property
    def val_csv(self) -> Path:
        """Return the file of the server's validation patients."""
        return self.folder / VAL_CSV

    @property
    def test_csv(self) -> Path:
        """Return the file of the server's test patients."""
        return self.folder / TEST_CSV

    def site_csv(self, site_id: str) -> Path:
        """Return the file of one site.

        Raises:
            ArtefactError: the plan has no such site.
        """
        known = [site.site_id for site in self.sites]
        if site_id not in known:
            raise ArtefactError(f"{self.folder}: no site {site_id!r}; there are {some(known)}.")
        return self.folder / site_file(site_id)

    def table(self, name: str) -> RecordTable:
        """Return a table by its file's name, read from the disk only if it is not here any more."""
        known = self.tables.get(name)
        return read_table(self.folder / name) if known is None else known

    def site_table(self, site_id: str) -> RecordTable:
        """Return the table of one site.

        Raises:
            ArtefactError: the plan has no such site.
        """
        return self.table(self.site_csv(site_id).relative_to(self.folder).as_posix())

    def to_frame(self) -> "pd.DataFrame":
        """Return a row a site: its numbers, and its positive images of each label."""
        import pandas as pd  # half a second that no run needs

        rows = []
        for site in self.sites:
            row = {key: value for key, value in asdict(site).items() if key != "label_counts"}
            positive = {name: counts["positive"] for name, counts in site.label_counts.items()}
            rows.append({**row, **positive})
        return pd.DataFrame(rows).set_index("site_id")

    def without_tables(self) -> "PartitionPlan":
        """Return the plan as one that does not hold the tables in memory."""
        return replace(self, tables={})


def site_file(site_id: str) -> str:
    """Return the path of a site's file in a partition folder."""
    return f"sites/{site_id}.csv"


def count_sites(folder: Path) -> int:
    """Return how many sites the plan in `folder` has, by plan.json alone.

    Raises:
        ArtefactError: plan.json is missing or damaged.
    """
    return len(plan_of(folder, read_head(folder)).sites)


def plan_of(folder: Path, head: Mapping[str, Any]) -> PartitionPlan:
    """Return the plan that plan.json describes; its files are not looked at.

    Raises:
        ArtefactError: something is missing or wrong.
    """
    try:
        return _plan_of(folder, head)
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise damaged(folder, f"{PLAN_JSON} lacks or garbles {err}") from err


def all_sets(tables: Mapping[str, RecordTable]) -> dict[str, Members]:
    """Return every set of a plan's tables by name, such as `global/val` and `site-00/train`."""
    sets: dict[str, Members] = {}
    for name, table in tables.items():
        sets |= table_sets(GLOBAL if name in (VAL_CSV, TEST_CSV) else Path(name).stem, table)
    return sets


def all_tables(plan: PartitionPlan) -> dict[str, RecordTable]:
    """Return every table of a plan that is there, by file name."""
    names = [VAL_CSV, TEST_CSV, *(site_file(site.site_id) for site in plan.sites)]
    return {n: plan.table(n) for n in names if n in plan.tables or (plan.folder / n).is_file()}


def proof_to_json(proof: Proof) -> dict[str, Any]:
    """Return the proof as plan.json holds it."""
    return {"disjoint": True, "pairs_checked": proof.pairs_checked, "sets": list(proof.sets)}


def digest_of(head: Mapping[str, Any]) -> str:
    """Return the digest of a plan: of all that plan.json says but the digest itself."""
    body = {key: value for key, value in head.items() if key != "digest"}
    text = json.dumps(body, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_head(folder: Path) -> dict[str, Any]:
    """Return what plan.json says, if it is whole.

    Raises:
        ArtefactError: plan.json is missing, damaged, or of another format.
    """
    path = folder / PLAN_JSON
    try:
        if path.stat().st_size > _MAX_PLAN_BYTES:
            raise damaged(folder, f"{PLAN_JSON} is too large")
        head = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise ArtefactError(
            f"{folder}: there is no {PLAN_JSON}. Give the partition folder that holds it."
        ) from err
    except (OSError, ValueError, RecursionError) as err:
        raise damaged(folder, f"{PLAN_JSON} cannot be read: {err}") from err
    if isinstance(head, dict) and head.get("format") in range(1, FORMAT):
        raise ArtefactError(
            f"{folder}: made by an earlier version of fedcxr (format {head['format']}; this one "
            f"reads {FORMAT}). Partition anew."
        )
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise damaged(folder, f"{PLAN_JSON} is not of format {FORMAT}")
    if head.get("digest") != digest_of(head):
        raise damaged(folder, f"{PLAN_JSON} does not match its digest")
    return head


def _plan_of(folder: Path, head: Mapping[str, Any]) -> PartitionPlan:
    sites = tuple(site_from_json(entry) for entry in head["sites"])
    if head["proof"]["disjoint"] is not True:
        raise ValueError("the proof of disjointness")
    if len({site.site_id for site in sites}) < len(sites) or not sites:
        raise ValueError("the names of the sites")
    if not all(SITE_ID.fullmatch(s.site_id) and s.site_id.lower() != GLOBAL for s in sites):
        raise ValueError("the name of a site")
    if not all(map(is_same, sites, with_distances(sites))):
        raise ValueError("the distance of a site")
    return PartitionPlan(
        folder=folder,
        layout=str(head["layout"]),
        source=str(head["source"]),
        labels=tuple(str(label) for label in head["labels"]),
        views=str(head["views"]),
        scheme=str(head["scheme"]),
        parameters=dict(head["parameters"]),
        seed=int(head["seed"]),
        digest=str(head["digest"]),
        key_fingerprint=str(head["key_fingerprint"]),
        sites=sites,
        test_set=_test_set_of(head),
        pairs_checked=int(head["proof"]["pairs_checked"]),
        moved_patients=int(head["moved_patients"]),
        left_out_images=int(head["left_out_images"]),
        is_export="exported_from" in head,
        lineage=str(head.get("renewed_from", head["digest"])),
    )


def _test_set_of(head: Mapping[str, Any]) -> TestSet:
    """Return where the test set came from, if it fits what else the plan says of it."""
    test_set = TestSet.from_json(head["test_set"])
    (first, *_), parameters = test_set.parts, head["parameters"]
    if isinstance(first, FoldsPart):  # of a comparison over all folds; a partition is of one
        raise ValueError("the fold of the test set")
    folds = (first.fold, first.folds) if isinstance(first, FoldPart) else (0, None)
    if folds != (parameters.get("fold", 0), parameters.get("folds")):
        raise ValueError("the fold of the test set")
    if test_set.patients != head["global"]["test"]["patients"]:
        raise ValueError("the number of test patients")
    return test_set


def damaged(folder: Path, reason: str) -> ArtefactError:
    """Return the error of a folder that is not as it was written."""
    return ArtefactError(
        f"{folder}: the partition folder is damaged: {reason}. Restore it or make it again."
    )
