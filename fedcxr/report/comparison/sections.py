"""What each section of the page shows, from the tables: cut by arm, and with words beside them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fedcxr.report.comparison import tables_details, tables_scores
from fedcxr.report.comparison.arm_style import Style, style_of
from fedcxr.report.comparison.read_comparison import Arm, Comparison, Difference, Tree, rows
from fedcxr.report.comparison.table import Cell, Table
from fedcxr.report.comparison.tables_details import number
from fedcxr.report.comparison.wording import POINT_RULES, POINTS
from fedcxr.report.wording import as_number, count, fixed, percent

_CHECKLIST_DONE = ("filled in", "partly")


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """An arm in the legend above small figures."""

    title: str
    style: Style


@dataclass(frozen=True, slots=True)
class Matrix:
    """A confusion matrix: each cell its count and its share of the row."""

    label: str
    cells: tuple[tuple[str, float], ...]
    """Of `COUNTS`, in their order."""


@dataclass(frozen=True, slots=True)
class Point:
    """One operating point of an arm."""

    title: str
    rule: str
    table: Table
    matrices: tuple[Matrix, ...]


@dataclass(frozen=True, slots=True)
class OfArm:
    """An arm with what a section shows of it."""

    arm: Arm
    points: tuple[Point, ...] = ()
    tables: tuple[tuple[str, Table], ...] = ()
    """With the heading of each."""


@dataclass(frozen=True, slots=True)
class SiteCell:
    """One model at one site."""

    text: str
    labels: str
    tint: float
    is_worst: bool


def legend(comparison: Comparison) -> list[LegendEntry]:
    """Return the arms with their lines."""
    return [LegendEntry(arm.title, style_of(arm.place)) for arm in comparison.arms]


def label_differences(comparison: Comparison) -> list[tuple[Difference, Table]]:
    """Return a table of the labels for each pair of arms."""
    whole = tables_scores.label_differences(comparison)
    return [
        (each, whole.only("pair", tables_scores.pair_title(each)))
        for each in comparison.differences
        if each.tree.get("by_label")
    ]


def operating_points(comparison: Comparison) -> list[OfArm]:
    """Return each arm's operating points, those that the page knows first."""
    whole = tables_details.operating_points(comparison)
    found = []
    for arm in _main_first(comparison):
        told = rows(arm.tree.get("operating_points"))
        table = whole.only("arm", arm.name)
        names = sorted({str(row.get("point")) for row in told}, key=_point_order)
        points = [
            Point(
                POINTS.get(name, name),
                POINT_RULES.get(name, ""),
                table.only("point", name),
                tuple(_matrices([row for row in told if row.get("point") == name])),
            )
            for name in names
        ]
        if points:
            found.append(OfArm(arm, points=tuple(points)))
    return found


def calibration(comparison: Comparison) -> list[OfArm]:
    """Return each arm's table of calibration."""
    whole = tables_details.calibration(comparison)
    return _cut(comparison, whole, lambda table: [("", table)])


def temperatures(comparison: Comparison) -> list[str]:
    """Return each arm's temperature, or why it has none."""
    found = []
    for arm in comparison.arms:
        told, value = arm.tree.get("calibration") or {}, tables_details.temperature(arm)
        why = "" if value is not None else f" ({told.get('reason') or 'none was fitted'})"
        found.append(f"{arm.title} {fixed(value, 2)}{why}")
    return found


def subgroups(comparison: Comparison) -> list[OfArm]:
    """Return each arm's tables of subgroups, one an attribute."""
    return _cut(comparison, tables_details.subgroups(comparison), _by_attribute)


def gaps(comparison: Comparison) -> list[OfArm]:
    """Return each arm's tables of gaps, one an attribute."""
    return _cut(comparison, tables_details.gaps(comparison), _by_attribute)


def rules(comparison: Comparison) -> list[str]:
    """Return by which rule groups were left out, each rule once."""
    told = (str((arm.tree.get("subgroups") or {}).get("rule") or "") for arm in comparison.arms)
    return [rule for rule in dict.fromkeys(told) if rule]


def site_cells(comparison: Comparison) -> list[tuple[str, str, list[SiteCell]]]:
    """Return the rows of the site matrix: the site, its size, and a cell a model."""
    matrix = comparison.part("site_matrix")
    models = [str(model) for model in matrix.get("models") or ()]
    table = tables_details.site_matrix(comparison)
    values = [[as_number(cell) for cell in row[3 : 3 + len(models)]] for row in table.rows]
    known = [value for row in values for value in row if value is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    named = (matrix.get("worst") or {}).items()
    worst = {model: (told or {}).get("site_id") for model, told in named}
    found = []
    for row, line in zip(table.rows, values, strict=True):
        site, counted_labels = str(row[0]), row[3 + len(models) :]
        cells = [
            SiteCell(
                text=fixed(value),
                labels=f"{count(num)} labels" if as_number(num) is not None else "",
                tint=0.0 if value is None or high <= low else (value - low) / (high - low),
                is_worst=value is not None and worst.get(model) == site,
            )
            for model, value, num in zip(models, line, counted_labels, strict=True)
        ]
        size = f"{count(row[1])} images, {count(row[2])} patients"
        found.append((site, size, cells))
    return found


def worst_sites(comparison: Comparison) -> list[str]:
    """Return for each model the site where it does worst, in words."""
    worst: Mapping[str, Tree] = comparison.part("site_matrix").get("worst") or {}
    return [
        f"{model}: worst at {told.get('site_id')}, {fixed(told.get('value'))}"
        for model, told in worst.items()
        if told and told.get("site_id")
    ]


def frequencies(comparison: Comparison) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return for each label, split after split, the share of positives and of how many it is."""
    places = range(1, 1 + 3 * len(tables_details.SPLITS), 3)
    return [
        (str(row[0]), [_frequency(row, place) for place in places])
        for row in tables_details.label_frequencies(comparison).rows
    ]


def checklists(table: Table) -> list[tuple[str, str, Table]]:
    """Return each checklist with how much of it is filled in."""
    found = []
    for guideline in table.values("guideline"):
        own = table.only("guideline", guideline)
        states = [row[2] for row in own.rows]
        done, partly = (states.count(state) for state in _CHECKLIST_DONE)
        left = len(states) - done - partly
        told = f"{done} of {len(states)} items filled in, {partly} in part, {left} open"
        found.append((str(guideline), told, own))
    return found


def _main_first(comparison: Comparison) -> list[Arm]:
    main = comparison.main_arm
    return [main, *(arm for arm in comparison.arms if arm != main)]


def _point_order(name: str) -> tuple[int, str]:
    known = list(POINTS)
    return (known.index(name) if name in known else len(known), name)


def _matrices(told: Sequence[Tree]) -> list[Matrix]:
    """Return the confusion matrices of the labels that have all four counts."""
    found = []
    for row in told:
        counts = [number(row, key) for key in tables_details.COUNTS]
        tp, fn, fp, tn = (value or 0.0 for value in counts)
        if None not in counts:
            parts = ((tp, tp + fn), (fn, tp + fn), (fp, fp + tn), (tn, fp + tn))
            shares = [part / whole if whole else 0.0 for part, whole in parts]
            cells = tuple(zip(map(count, counts), shares, strict=True))
            found.append(Matrix(str(row.get("label")), cells))
    return found


def _cut(
    comparison: Comparison, whole: Table, parts: Callable[[Table], list[tuple[str, Table]]]
) -> list[OfArm]:
    """Return the rows of each arm that has any, the main arm first, in parts with headings."""
    found = []
    for arm in _main_first(comparison):
        table = whole.only("arm", arm.name)
        if table.rows:
            found.append(OfArm(arm, tables=tuple(parts(table))))
    return found


def _by_attribute(table: Table) -> list[tuple[str, Table]]:
    return [
        (str(name).capitalize(), table.only("attribute", name))
        for name in table.values("attribute")
    ]


def _frequency(row: tuple[Cell, ...], place: int) -> tuple[str, str]:
    positive, known, share = row[place : place + 3]
    return percent(share, 1), "" if known is None else f"{count(positive)} of {count(known)}"
