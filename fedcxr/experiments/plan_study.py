"""`fedcxr plan-study`: from a pilot comparison to the size of a study, as files and a page."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.errors import ConfigError
from fedcxr.metrics.study_plan import Aim, StudyPlan, make_plan
from fedcxr.report.pilot import Pilot, read_pilot
from fedcxr.report.study_plan_page import render_study_plan
from fedcxr.report.study_plan_words import csv_of
from fedcxr.runs.folder import RunFolder
from fedcxr.version import __version__

FORMAT = 1
JSON, CSV, PAGE = "study_plan.json", "study_plan.csv", "study_plan.html"


@dataclass(frozen=True, slots=True)
class WrittenPlan:
    """A plan, what it was made from, and its page."""

    plan: StudyPlan
    pilot: Pilot
    page: Path


def plan_study(
    comparison: Path,
    *,
    margin: float | None = None,
    power: float = 0.8,
    true_difference: float = 0.0,
    pair: str | None = None,
    out: Path | None = None,
) -> WrittenPlan:
    """Write study_plan.json, .csv and .html; the same comparison gives the same bytes.

    Args:
        comparison: a finished comparison's folder, the pilot.
        margin: the largest loss of macro AUROC that does not matter; the pilot's if not given.
        power: chance of showing non-inferiority, from 0.5 to below 1.
        true_difference: of the arms; 0 = they do not differ.
        pair: the arm whose difference is planned for; the comparison's main one if not given.
        out: where to; the comparison's folder if not given.

    Raises:
        ConfigError: a number is out of range, there is no such arm, or `out` is a file.
        ArtefactError: the comparison cannot be a pilot (see `read_pilot`).
        StorageError: a file cannot be written.
    """
    pilot = read_pilot(comparison, pair)
    aim = _aim(pilot, margin, power, true_difference)
    folder = comparison if out is None else out
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out {folder}: is a file. Give a folder.")
    plan = make_plan(pilot.variances, aim)
    page, table = render_study_plan(plan, pilot), csv_of(plan)
    RunFolder(folder).write_json(
        JSON, {"format": FORMAT, "fedcxr": __version__, "pilot": asdict(pilot), **asdict(plan)}
    )
    write_text_atomically(folder / CSV, table)
    write_text_atomically(folder / PAGE, page)
    return WrittenPlan(plan, pilot, folder / PAGE)


def _aim(pilot: Pilot, margin: float | None, power: float, true_difference: float) -> Aim:
    """Return the aim once its numbers are in range."""
    used = pilot.margin if margin is None else margin
    if used is None:
        raise ConfigError(
            f"--margin: the pilot {pilot.name} has none (statistics.margin); give one."
        )
    if not 0 < used < 0.5:
        raise ConfigError(f"--margin {used:g}: expected a number above 0 and below 0.5.")
    if not 0.5 <= power < 1:
        raise ConfigError(f"--power {power:g}: expected a number from 0.5 to below 1, such as 0.8.")
    if not -used < true_difference < math.inf:
        raise ConfigError(
            f"--true-difference {true_difference:g}: expected a number above minus the margin, "
            f"{-used:g}: arms that differ by more are not non-inferior, and no study shows it."
        )
    return Aim(used, power, true_difference, pilot.level)
