"""Where a partition took its test patients from: official sets, draws, folds, or a sample.

Facts and no sentences: the partition records them in plan.json, a run in its manifest, and whoever
shows them words them (`fedcxr/report/origin_words.py`).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, replace
from typing import Any, ClassVar, Literal, Self, TypeAlias, get_args

from fedcxr.data.records import OfficialKind, OfficialSet


@dataclass(frozen=True, slots=True)
class OfficialPart:
    """Test patients who are an official test set."""

    official: OfficialSet
    patients: int
    origin: Literal["official"] = "official"

    @property
    def source(self) -> str:
        """Return the data set that they are of."""
        return self.official.source


@dataclass(frozen=True, slots=True)
class DrawnPart:
    """Test patients drawn from a data set that has no official test set."""

    source: str
    fraction: float
    """Of all patients that were drawn from, those of other sources too."""
    patients: int
    of_patients: int
    origin: Literal["drawn"] = "drawn"


@dataclass(frozen=True, slots=True)
class FoldPart:
    """Test patients who are one of the equal parts of a cross-validation."""

    fold: int
    folds: int
    patients: int
    of_patients: int
    """Outside the official test sets, of all sources together."""
    origin: Literal["fold"] = "fold"
    source: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class FoldsPart:
    """Test patients of a whole cross-validation: each is tested once, in one of the equal parts."""

    folds: int
    patients: int
    origin: Literal["folds"] = "folds"
    source: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class SetSizes:
    """Images with and without a label in the three sets of a sample."""

    train: tuple[int, int]
    val: tuple[int, int]
    test: tuple[int, int]


@dataclass(frozen=True, slots=True)
class SamplePart:
    """Test patients of a sample with stated numbers of images of each class."""

    label: str
    wanted: SetSizes
    drawn: SetSizes
    """The same, or scaled down to what there is."""
    patients: int
    of_patients: int
    """Outside the official sets, of all sources together."""
    origin: Literal["sample"] = "sample"
    source: ClassVar[str] = ""


TestPart: TypeAlias = OfficialPart | DrawnPart | FoldPart | FoldsPart | SamplePart

_PARTS: dict[str, type[TestPart]] = {
    "official": OfficialPart,
    "drawn": DrawnPart,
    "fold": FoldPart,
    "folds": FoldsPart,
    "sample": SamplePart,
}


@dataclass(frozen=True, slots=True)
class TestSet:
    """Where a partition's test patients came from."""

    __test__: ClassVar[bool] = False  # the name begins as those of pytest's classes do

    parts: tuple[TestPart, ...]
    """One for each data set, or one fold or sample of all."""
    left_out: tuple[OfficialSet, ...] = ()
    """Official sets that are in no set of the partition."""

    @property
    def patients(self) -> int:
        """Return how many test patients there are."""
        return sum(part.patients for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        """Return the test set as plan.json and manifest.json hold it."""
        return dict(json.loads(json.dumps(asdict(self))))  # lists in place of tuples

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Self:
        """Return the test set that `to_json` wrote.

        Raises:
            ValueError: it is not one, or says what cannot be.
        """
        try:
            left_out = tuple(_set_of(entry) for entry in tree["left_out"])
            found = cls(tuple(_part_of(entry) for entry in tree["parts"]), left_out)
        except (KeyError, TypeError) as err:
            raise ValueError(f"the test set ({err})") from err
        sources = {part.source for part in found.parts}
        # What is written is what was read: no key too many, no text in place of a list.
        is_whole = bool(sources) and found.to_json() == tree and all(map(_can_be, found.parts))
        is_of_all = any(isinstance(part, FoldPart | FoldsPart | SamplePart) for part in found.parts)
        if not is_whole or len(sources) < len(found.parts) or (is_of_all and len(sources) > 1):
            raise ValueError("the test set")
        return found


def _part_of(entry: Mapping[str, Any]) -> TestPart:
    part = _PARTS[entry["origin"]](**entry)
    if isinstance(part, OfficialPart):
        return replace(part, official=_set_of(entry["official"]))
    if isinstance(part, SamplePart):
        wanted, drawn = (_sizes_of(entry[name]) for name in ("wanted", "drawn"))
        return replace(part, wanted=wanted, drawn=drawn)
    return part


def _sizes_of(entry: Mapping[str, Any]) -> SetSizes:
    pairs = {name: tuple(counts) for name, counts in entry.items()}
    if any(len(pair) != 2 for pair in pairs.values()):
        raise ValueError("the sizes of a sample")
    return SetSizes(**pairs)


def _set_of(entry: Mapping[str, Any]) -> OfficialSet:
    found = OfficialSet(**entry)
    texts = [*found.files, found.source]
    if found.split not in ("val", "test") or found.kind not in get_args(OfficialKind):
        raise ValueError("an official set")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("the files of an official set")
    return replace(found, files=tuple(found.files))


def _can_be(part: TestPart) -> bool:
    match part:
        case OfficialPart(official, patients):
            return official.split == "test" and _are_counts(patients) and patients > 0
        case DrawnPart(source, fraction, patients, of_patients):
            is_share = isinstance(source, str) and type(fraction) is float and 0 < fraction < 1
            return is_share and _are_counts(patients, of_patients) and patients <= of_patients
        case FoldPart(fold, folds, patients, of_patients):
            is_one = _are_counts(fold, folds, patients, of_patients) and fold < folds
            return is_one and 0 < patients <= of_patients
        case FoldsPart(folds, patients):
            return _are_counts(folds, patients) and 1 < folds <= patients
        case SamplePart(label, wanted, drawn, patients, of_patients):
            sizes = [
                count for sizes in (wanted, drawn) for pair in astuple(sizes) for count in pair
            ]
            is_sample = isinstance(label, str) and _are_counts(*sizes, patients, of_patients)
            return is_sample and min(sizes) > 0 and 0 < patients <= of_patients


def _are_counts(*numbers: object) -> bool:
    return all(type(number) is int and number >= 0 for number in numbers)  # True is no count
