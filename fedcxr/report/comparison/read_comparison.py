"""The comparison that the page shows, read from comparison.json and checked at the door."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcxr.data.origin import TestSet
from fedcxr.errors import ArtefactError, some
from fedcxr.report.comparison.shape import SHAPE, misfits
from fedcxr.report.comparison.wording import unit_words
from fedcxr.report.read_run import read_test_set
from fedcxr.report.wording import as_number, counted
from fedcxr.results.frozen import Endpoint, Protocol
from fedcxr.runs.folder import RunFolder

FILE = "comparison.json"
FORMAT = 4
"""The only one that there has been; another means a file of another fedcxr."""

Tree = Mapping[str, Any]

_MAIN_QUESTION = ("federated", "centralized")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval, or why there is none."""

    value: float | None = None
    ci: tuple[float, float] | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of training, scored on the held-out patients that all arms share."""

    name: str
    title: str
    place: int
    """Its number among the arms, from 0: what its colour, dash and marker follow."""
    tree: Tree

    def score(self, measure: str) -> Estimate:
        """Return `macro_auroc`, `macro_ap` or `five_auroc`, means over the seeds."""
        return estimate(self.tree.get(measure))

    @property
    def differs(self) -> str:
        """What was set otherwise than the settings say, empty if nothing was."""
        told = self.tree.get("differs") or {}
        return ", ".join(f"{key} {value}" for key, value in told.items())

    def of_label(self, label: str, measure: str = "auroc") -> Estimate:
        """Return `auroc` or `ap` of a label, means over the seeds."""
        return estimate(self.label(label).get(measure))

    def label(self, label: str) -> Tree:
        """Return everything that is told of a label, empty if nothing is."""
        return (self.tree.get("by_label") or {}).get(label) or {}


@dataclass(frozen=True, slots=True)
class Difference:
    """One arm minus another."""

    arm: Arm
    against: Arm
    tree: Tree

    def score(self, measure: str) -> Estimate:
        """Return the difference in `macro_auroc`, `macro_ap` or `five_auroc`."""
        return estimate(self.tree.get(measure))

    def of_label(self, label: str) -> Estimate:
        """Return the difference in a label's AUROC."""
        return estimate((self.tree.get("by_label") or {}).get(label))

    @property
    def verdict(self) -> str:
        """non-inferior, inferior, inconclusive or withheld; empty if none was asked for."""
        return str((self.tree.get("verdict") or {}).get("word") or "")

    @property
    def is_of_methods(self) -> bool:
        """It is about the two ways of training, and not about the trained models alone."""
        return self.tree.get("about") == "methods"

    @property
    def verdict_reason(self) -> str:
        """Why the verdict is what it is."""
        return str((self.tree.get("verdict") or {}).get("reason") or "")

    @property
    def power(self) -> str:
        """What the test set is too small for, empty if it is large enough."""
        return str(self.tree.get("power") or "")


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of comparison.json."""

    path: Path
    tree: Tree
    arms: tuple[Arm, ...]
    differences: tuple[Difference, ...]
    origin: TestSet | None = None
    """Where the test patients came from; None where the file does not tell."""

    def part(self, name: str) -> Tree:
        """Return `data`, `training`, `protocol` or another object, empty if not there."""
        return self.tree.get(name) or {}

    @property
    def labels(self) -> tuple[str, ...]:
        """The label vocabulary, in its order."""
        return tuple(self.part("data").get("labels") or ())

    @property
    def units(self) -> tuple[str, str]:
        """What is scored and counted on the test set, one and many: image or study."""
        return unit_words(self.part("data").get("score_by"))

    @property
    def test_set(self) -> tuple[float | None, tuple[str, str]]:
        """How many were scored and what they are: images, where the file does not tell."""
        scored = as_number(self.main_arm.tree.get("scored"))
        if scored is None:
            return as_number(self.part("data").get("test_images")), unit_words("image")
        return scored, self.units

    @property
    def test_set_words(self) -> str:
        """How many images or studies were scored, and of how many patients."""
        size, units = self.test_set
        patients = counted(self.part("data").get("test_patients"), "patient", "patients")
        return f"{counted(size, *units)} of {patients}"

    @property
    def images_listed(self) -> float | None:
        """Images in the test table, None where just these were scored."""
        listed = as_number(self.part("data").get("test_images"))
        return None if (listed, unit_words("image")) == self.test_set else listed

    @property
    def macro_labels(self) -> float | None:
        """How many labels the macro means are over, None where it is all of them or not told."""
        told = as_number(self.main_arm.tree.get("macro_labels"))
        return None if told == len(self.labels) else told

    @property
    def primary(self) -> Difference | None:
        """The difference that the page is about: federated minus centralized, or the first."""
        for difference in self.differences:
            if (difference.arm.name, difference.against.name) == _MAIN_QUESTION:
                return difference
        return self.differences[0] if self.differences else None

    @property
    def sensitivity(self) -> list[Difference]:
        """The primary arm against others than the primary's reference: other budgets."""
        primary = self.primary
        if primary is None:
            return []
        own = (each for each in self.differences if each.arm == primary.arm)
        return [each for each in own if each.against != primary.against]

    @property
    def main_arm(self) -> Arm:
        """The arm that is shown where there is room for one."""
        return self.primary.arm if self.primary else self.arms[0]

    @property
    def num_seeds(self) -> int:
        """How often each arm was trained."""
        seeds = self.part("training").get("seeds") or ()
        return max([len(seeds), *(len(arm.tree.get("macro_by_seed") or ()) for arm in self.arms)])

    @property
    def margin(self) -> float | None:
        """The non-inferiority margin, in macro AUROC."""
        return as_number(self.part("statistics").get("margin"))

    @property
    def level(self) -> float:
        """The coverage that the intervals aim at."""
        return as_number(self.part("statistics").get("level")) or 0.95

    @property
    def is_synthetic(self) -> bool:
        """True if the images are computed, not taken of people."""
        return self.part("data").get("synthetic") is True


def read_comparison(folder: Path) -> Comparison:
    """Return the comparison in `folder`.

    Raises:
        ArtefactError: no comparison.json, or one that is damaged or of another fedcxr.
    """
    path = folder / FILE
    tree = RunFolder(folder).read_json(FILE)
    if tree.get("format") != FORMAT:
        raise ArtefactError(
            f"{path}: format {tree.get('format')!r}, this fedcxr reads format {FORMAT}. "
            f"Compute its figures again from the predictions: `fedcxr report {folder}`."
        )
    wrong = list(misfits(tree, SHAPE))
    if wrong:
        raise ArtefactError(
            f"{path}: {some(wrong)}. The file was changed after the run; restore it, or compare "
            f"again: `fedcxr compare`."
        )
    tree = _with_derived(tree)
    arms = _arms(tree, path)
    differences = _differences(tree, arms, path)
    return Comparison(path, tree, tuple(arms.values()), differences, read_test_set(tree, path))


def rows(found: object) -> list[Tree]:
    """Return the objects of a list, those that are not null.

    >>> rows([{"label": "Edema"}, None]), rows(None)
    ([{'label': 'Edema'}], [])
    """
    return [row for row in found if row] if isinstance(found, list) else []


def estimate(found: object) -> Estimate:
    """Return a number, or an object with value, ci and reason, as an estimate.

    >>> estimate({"value": 0.8, "ci": [0.7, 0.9]})
    Estimate(value=0.8, ci=(0.7, 0.9), reason=None)
    >>> estimate(0.8), estimate(None)
    (Estimate(value=0.8, ci=None, reason=None), Estimate(value=None, ci=None, reason=None))
    """
    if not isinstance(found, Mapping):
        return Estimate(as_number(found))
    low, high = (as_number(bound) for bound in found.get("ci") or (None, None))
    ci = None if low is None or high is None else (low, high)
    return Estimate(as_number(found.get("value")), ci, found.get("reason") or None)


def _with_derived(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the tree with what follows from it: the protocol's digest, the labels of the means."""
    found = dict(tree)
    if found.get("protocol"):
        protocol = found["protocol"]
        digest = Protocol.model_validate(protocol).digest if "arms" in protocol else ""
        found["protocol"] = {"digest": digest, **protocol}
    if "patients" in (found.get("endpoint") or {}):
        endpoint = Endpoint.model_validate(found["endpoint"])
        left_out = [each.model_dump() for each in endpoint.left_out]
        derived = {"means_over": list(endpoint.means_over), "left_out": left_out}
        found["endpoint"] = {**found["endpoint"], **derived}
    return found


def _arms(tree: Tree, path: Path) -> dict[str, Arm]:
    arms: dict[str, Arm] = {}
    for place, found in enumerate(tree.get("arms") or ()):
        name = str((found or {}).get("name") or "")
        if not name or name in arms:
            what = f"the name {name!r} again" if name else "no name"
            raise ArtefactError(
                f"{path}: arms[{place}] has {what}. Compare again: `fedcxr compare`."
            )
        arms[name] = Arm(name, str(found.get("title") or name), place, found)
    if not arms:
        raise ArtefactError(f"{path}: no arm was judged yet. Finish the run: `fedcxr resume`.")
    return arms


def _differences(tree: Tree, arms: Mapping[str, Arm], path: Path) -> tuple[Difference, ...]:
    found = [difference for difference in tree.get("differences") or () if difference]
    named = [str(difference.get(key)) for difference in found for key in ("arm", "against")]
    strange = sorted({name for name in named if name not in arms})
    if strange:
        raise ArtefactError(
            f"{path}: differences name {some(strange)}, which no arm is. The file was changed "
            f"after the run; compare again: `fedcxr compare`."
        )
    return tuple(Difference(arms[d["arm"]], arms[d["against"]], d) for d in found)
