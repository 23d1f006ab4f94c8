"""`docs/statistics.md`: the tables of the self-test, below a head that is written by hand."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedcxr.atomic import write_text_atomically
from fedcxr.metrics.count_outcomes import FAMILIES, INTERVALS
from fedcxr.metrics.fold_regime import INTERVAL, FoldStudy
from fedcxr.metrics.regime import ONE_SIDED, USUAL_SEEDS, Cell, read_cell, read_tallies, regime_of

MARK = "<!-- From here on written by `fedcxr selftest stats`; not edited by hand. -->"


def write_page(path: Path, result: Mapping[str, Any]) -> None:
    """Write the tables below the mark; what stands above it is kept."""
    old = path.read_text("utf-8") if path.exists() else "# Statistics\n"
    head = old.partition(MARK)[0].rstrip()
    write_text_atomically(path, f"{head}\n\n{MARK}\n\n{tables(result)}")


def tables(result: Mapping[str, Any]) -> str:
    """Return the tables of a result of `run_selftest` in Markdown."""
    families = [names for names in FAMILIES.values() if _with_any(result, names)]
    parts = [
        "## What the self-test found",
        _ran(result),
        "### Coverage / share of intervals above the truth, %",
        "For `methods`, `models` and `folds` the latter is the type-I error of a verdict. Bold: "
        "rejected.",
        *(_table(_heads(names), _rates(result, names)) for names in families),
        "### Mean width",
        *(_table(_heads(names), _widths(result, names)) for names in families),
        "### From how many patients on each is shown",
        "With the finding, or whom else the interval rests on (`fedcxr/metrics/gate.py`).",
        _reaches(result),
    ]
    if FAMILIES["folds"] in families:
        parts += [
            "### For which cross-validations `folds` is shown",
            "Patients with the rarest finding in the fold that has fewest; up to 10 images each.",
            _fold_reaches(result),
        ]
    return "\n\n".join(parts) + "\n"


_COLUMNS = ("images a patient", "correlation", "labels", "AUROC", "trainings", "their SD")


def _heads(names: Sequence[str]) -> list[str]:
    """Return the headings of a family's table; positives and trainings are those of a fold."""
    folds = ["folds"] if names == FAMILIES["folds"] else []
    return [*folds, "positives", *_COLUMNS, *names]


def _ran(result: Mapping[str, Any]) -> str:
    versions = ", ".join(
        f"{name} {result[name]}" for name in ("fedcxr", "python", "numpy", "scipy")
    )
    return (
        f"{result['studies']:,} studies in each of {len(result['cells'])} cells, seed "
        f"{result['seed']}; {result['seconds'] / 60:.1f} minutes with {result['workers']} "
        f"processes; {versions}."
    )


def _with_any(result: Mapping[str, Any], names: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the cells that have one of these intervals."""
    return [
        stored for stored in result["cells"] if not stored["intervals"].keys().isdisjoint(names)
    ]


def _rates(result: Mapping[str, Any], names: Sequence[str]) -> list[list[str]]:
    rows = []
    for stored in _with_any(result, names):
        row, tallies = _design(read_cell(stored)), read_tallies(stored)
        for name in names:
            tally = tallies.get(name)
            if tally is None:
                row.append("")
                continue
            text = f"{100 * tally.coverage()[0]:.1f} / {100 * tally.type_1()[0]:.1f}"
            is_rejected = tally.rejected(result["level"], one_sided=name in ONE_SIDED)
            row.append(f"**{text}**" if is_rejected else text)
        rows.append(row)
    return rows


def _widths(result: Mapping[str, Any], names: Sequence[str]) -> list[list[str]]:
    return [
        [
            *_design(read_cell(stored)),
            *(
                f"{stored['intervals'][name]['mean_width']:.4f}"
                if name in stored["intervals"]
                else ""
                for name in names
            ),
        ]
        for stored in _with_any(result, names)
    ]


def _reaches(result: Mapping[str, Any]) -> str:
    """Return, for each interval, from how many positives on it is shown."""
    every = [read_cell(stored) for stored in result["cells"]]
    cells = [cell for cell in every if cell.folds == 1]
    sizes, aurocs = (sorted({getattr(c, key) for c in cells}) for key in ("cluster", "auroc"))
    most = max(cell.positives for cell in cells)
    rows = []
    for name in (name for name in INTERVALS if name not in FAMILIES["folds"]):
        regime = regime_of(result, name)
        seeds = USUAL_SEEDS if name in ("methods", "rate_methods") else None
        for auroc in aurocs:
            row = [f"`{name}`", f"up to {auroc:g}"]
            for size in sizes:
                reach = (n for n in range(most + 1) if regime.covered(n, size, auroc, seeds)[0])
                first = next(reach, None)
                row.append("not shown" if first is None else f"from {first}")
            rows.append(row)
    heads = [f"up to {size:g} image{'s' if size > 1 else ''} a patient" for size in sizes]
    return _table(["interval", "AUROC", *heads], rows)


def _fold_reaches(result: Mapping[str, Any]) -> str:
    """Return, for each kind of cross-validation, with how many positives a fold it is judged."""
    regime = regime_of(result, INTERVAL)
    cells = [cell for cell, _ in regime.cells]
    folds, trainings, spreads, aurocs, sizes = (
        sorted({getattr(cell, key) for cell in cells})
        for key in ("folds", "seeds", "training_sd", "auroc", "positives")
    )
    rows = []
    for number, each in itertools.product(folds, trainings):
        for spread in spreads if each > 1 else [None]:
            row = [f"{number}", f"{each}", "not known" if spread is None else f"up to {spread:g}"]
            for auroc in aurocs:
                study = FoldStudy(number, each, spread, max(c.cluster for c in cells), auroc)
                held = [n for n in range(max(sizes) + 1) if study.covers(n, regime=regime)[0]]
                row.append(_ranges(held))
            rows.append(row)
    heads = ["folds", "trainings", "their SD", *(f"AUROC up to {auroc:g}" for auroc in aurocs)]
    return _table(heads, rows)


def _ranges(numbers: Sequence[int]) -> str:
    """Return rising whole numbers as ranges.

    >>> _ranges([1, 2, 3, 7]), _ranges([])
    ('1 to 3, 7 to 7', 'not shown')
    """
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ", ".join(f"{a} to {b}" for a, b in zip(starts, ends, strict=True)) or "not shown"


def _design(cell: Cell) -> list[str]:
    uneven = ", uneven" if cell.uneven else ""
    correlation = f"{cell.correlation:g}" if cell.cluster > 1 else "–"
    folds = [str(cell.folds)] if cell.folds > 1 else []
    return [
        *folds,
        str(cell.positives),
        f"{cell.cluster:g}{uneven}",
        correlation,
        str(cell.labels),
        f"{cell.auroc:g}",
        str(cell.seeds),
        f"{cell.training_sd:g}",
    ]


def _table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table.

    >>> print(_table(["a", "b"], [["1", "2"]]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
