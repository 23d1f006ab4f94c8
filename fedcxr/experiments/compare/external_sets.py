"""What a comparison keeps of a data set from elsewhere, in `external/<name>/`.

`images.csv` is a table as a partition's, of the images that are scored, under the run's labels;
those that the data set has not are masked. `set.json` says the rest. Neither changes any more.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.data.records import RecordTable
from fedcxr.errors import ArtefactError
from fedcxr.filenames import readable, shortened
from fedcxr.results.frozen import ExternalSet
from fedcxr.runs.folder import RunFolder
from fedcxr.section import Section
from fedcxr.storage import writing
from partitions.table import write_table

EXTERNAL = "external"
"""Folder of the kept sets in a comparison, and of their predictions in a run folder."""
SET_JSON = "set.json"
IMAGES_CSV = "images.csv"

_NAME_BYTES = 60
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")


class KeptSet(Section):
    """What `set.json` holds."""

    facts: ExternalSet
    cache_digest: str
    """Of the images decoded; another one where the files have moved."""


@dataclass(frozen=True, slots=True)
class ReadSet:
    """An external set and the table of its images, by token."""

    facts: ExternalSet
    cache_digest: str
    table: RecordTable


def names_of_external(roots: Sequence[str]) -> dict[str, Path]:
    """Return the folders by the name that each is called in a comparison.

    >>> list(names_of_external(["/data/nih", "/b/Röntgen 1", "/other/nih"]))
    ['nih', 'R-ntgen-1', 'nih-2']
    """
    found: dict[str, Path] = {}
    for root in map(Path, roots):
        plain = _NOT_PLAIN.sub("-", readable(root.resolve().name)).strip(".-") or "data"
        name, number = shortened(plain, _NAME_BYTES), 2
        while name in found:
            name, number = f"{shortened(plain, _NAME_BYTES)}-{number}", number + 1
        found[name] = root
    return found


def keep_externals(folder: Path, found: Sequence[ReadSet]) -> None:
    """Write into a comparison's folder what of each set is scored."""
    for one in found:
        place = folder / EXTERNAL / one.facts.name
        with writing(place):
            place.mkdir(parents=True, exist_ok=True)
            write_table(one.table, place / IMAGES_CSV)
        kept = KeptSet(facts=one.facts, cache_digest=one.cache_digest)
        RunFolder(place).write_json(SET_JSON, kept.model_dump(mode="json"))


def kept_externals(folder: Path, config: ExperimentConfig) -> dict[Path, KeptSet]:
    """Return the external sets of a comparison by the folder that each is kept in.

    Raises:
        ArtefactError: one is not there, or damaged.
    """
    places = [folder / EXTERNAL / name for name in names_of_external(config.compare.external)]
    return {place: read_kept(place) for place in places}


def read_kept(place: Path) -> KeptSet:
    """Return what was kept of one external set.

    Raises:
        ArtefactError: it is not there, or damaged.
    """
    try:
        return KeptSet.model_validate(RunFolder(place).read_json(SET_JSON))
    except ValueError as err:
        raise ArtefactError(
            f"{place / SET_JSON}: damaged ({' '.join(str(err).split())}). Put the file back as it "
            "was, or start a new comparison."
        ) from err
