"""What a section of the page is given, and what it gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from fedcxr.report.arm_style import Style, styled_arms
from fedcxr.report.page_table import PageTable
from fedcxr.report.pictures import Picture, Pictures
from fedcxr.report.wording import level_words
from fedcxr.results.arms import ArmResult
from fedcxr.results.comparison import Comparison
from fedcxr.results.tables.score_tables import pair_title


@dataclass(frozen=True, slots=True)
class View:
    """A result, its tables by name, and where it lies."""

    result: Comparison
    tables: Mapping[str, PageTable]
    folder: Path | None = None
    """That the pictures lie in; None where there is none."""

    @property
    def level(self) -> str:
        """Of the intervals, in words."""
        return level_words(self.result.statistics.level)

    @property
    def units(self) -> str:
        """What is counted on the test set: images, or studies."""
        return self.result.units[1]

    @property
    def legend(self) -> list[tuple[ArmResult, Style]]:
        """The arms with their lines; empty where there is one to show."""
        return styled_arms(self.result) if len(self.result.arms) > 1 else []

    @property
    def means(self) -> str:
        """What numbers of an arm are, to begin a paragraph; empty where each has one model."""
        has_several = any(arm.models > 1 for arm in self.result.arms)
        return "Means over an arm's models. " if has_several else ""

    def of_arm(self, arm: ArmResult, what: str) -> str:
        """Return a heading of an arm's own, without its title where it is the only one."""
        if len(self.result.arms) > 1:
            return f"{arm.title}: {what}"
        return f"{what[0].upper()}{what[1:]}"

    @property
    def main_first(self) -> list[ArmResult]:
        """The arms, that which the page is about before the others."""
        main = self.result.main_arm
        return [main, *(arm for arm in self.result.arms if arm is not main)]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a section's template needs, and the figures that become files too."""

    values: Mapping[str, Any]
    pictures: Pictures = ()


Show: TypeAlias = Callable[[View], Shown | None]
"""Makes a section; None where it has nothing to say."""


def drawn(*pictures: Picture | None) -> tuple[Picture, ...]:
    """Return the figures that could be drawn."""
    return tuple(each for each in pictures if each is not None)


@dataclass(frozen=True, slots=True)
class OfArm:
    """Tables of one arm, each with its heading."""

    arm: ArmResult
    tables: tuple[tuple[str, PageTable], ...]


def cut_by_arm(view: View, name: str, attribute: str | None = None) -> list[OfArm]:
    """Return the rows of a table by arm, the main one first, and cut once more by an attribute."""
    found = []
    for arm in view.main_first:
        own = view.tables[name].only("arm", arm.name)
        if not own.rows:
            continue
        parts: list[tuple[str, PageTable]] = [("", own)]
        if attribute is not None:
            values = own.values(attribute)
            parts = [(str(value).capitalize(), own.only(attribute, value)) for value in values]
        found.append(OfArm(arm, tuple(parts)))
    return found


def pairs_of(view: View, name: str) -> list[tuple[str, PageTable]]:
    """Return the rows of a table of differences pair by pair, each with its heading."""
    found = []
    for each in view.result.differences:
        own = view.tables[name].only("arm", each.arm).only("against", each.against)
        if own.rows:
            title = pair_title(view.result, each)
            about = each.details_about
            found.append((f"{title}, about these {about}", own.only("about", about)))
    return found
