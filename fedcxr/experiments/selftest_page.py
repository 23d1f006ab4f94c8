"""`docs/statistics.md`: the tables of the self-test, below a head that is written by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedcxr.atomic import write_text_atomically
from fedcxr.metrics.regime import VERDICT_INTERVAL, Cell, read_cell, read_tallies, regime_of
from fedcxr.metrics.simulated_study import INTERVALS

MARK = "<!-- From here on written by `fedcxr selftest stats`; not edited by hand. -->"


def write_page(path: Path, result: Mapping[str, Any]) -> None:
    """Write the tables below the mark; what stands above it is kept."""
    old = path.read_text("utf-8") if path.exists() else "# Statistics\n"
    head = old.partition(MARK)[0].rstrip()
    write_text_atomically(path, f"{head}\n\n{MARK}\n\n{tables(result)}")


def tables(result: Mapping[str, Any]) -> str:
    """Return the tables of a result of `run_selftest` in Markdown."""
    return (
        "\n\n".join(
            [
                "## What the self-test found",
                _ran(result),
                f"### The interval of the verdict, `{VERDICT_INTERVAL}`",
                _verdict_table(result),
                "### All intervals: coverage / type-I error, %",
                "Bold: rejected.",
                _table(["positives", *_COLUMNS, *INTERVALS], _rates(result)),
                "### All intervals: mean width",
                _table(["positives", *_COLUMNS, *INTERVALS], _widths(result)),
                "### Where each would give a verdict",
                _reaches(result),
            ]
        )
        + "\n"
    )


_COLUMNS = ("images a patient", "correlation", "labels")


def _ran(result: Mapping[str, Any]) -> str:
    versions = ", ".join(
        f"{name} {result[name]}" for name in ("fedcxr", "python", "numpy", "scipy")
    )
    return (
        f"{result['studies']:,} studies in each of {len(result['cells'])} cells, seed "
        f"{result['seed']}, {result['resamples']:,} resamples a study; "
        f"{result['seconds'] / 60:.1f} minutes with {result['workers']} processes; {versions}."
    )


def _verdict_table(result: Mapping[str, Any]) -> str:
    rows = []
    for stored in result["cells"]:
        tally = read_tallies(stored).get(VERDICT_INTERVAL)
        if tally is None:
            continue
        shares = [_with_ci(*tally.coverage()), _with_ci(*tally.type_1())]
        judged = "**rejected**" if tally.rejected(result["level"]) else "held"
        rows.append([*_design(read_cell(stored)), *shares, judged])
    return _table(["positives", *_COLUMNS, "coverage, %", "type-I error, %", "cell"], rows)


def _rates(result: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for stored in result["cells"]:
        row, tallies = _design(read_cell(stored)), read_tallies(stored)
        for name in INTERVALS:
            tally = tallies.get(name)
            if tally is None:
                row.append("")
                continue
            text = f"{100 * tally.coverage()[0]:.1f} / {100 * tally.type_1()[0]:.1f}"
            row.append(f"**{text}**" if tally.rejected(result["level"]) else text)
        rows.append(row)
    return rows


def _widths(result: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            *_design(read_cell(stored)),
            *(
                f"{stored['intervals'][name]['mean_width']:.4f}"
                if name in stored["intervals"]
                else ""
                for name in INTERVALS
            ),
        ]
        for stored in result["cells"]
    ]


def _reaches(result: Mapping[str, Any]) -> str:
    """Return, for each interval, from how many positives on it gives a verdict."""
    sizes = sorted({stored["cluster"] for stored in result["cells"]})
    most = max(stored["positives"] for stored in result["cells"])
    rows = []
    for name in INTERVALS:
        regime = regime_of(result, name)
        row = [f"`{name}`"]
        for size in sizes:
            reach = (n for n in range(most + 1) if regime.covered(n, size)[0])
            first = next(reach, None)
            row.append("none" if first is None else f"from {first}")
        rows.append(row)
    heads = [f"up to {size:g} image{'s' if size > 1 else ''} a patient" for size in sizes]
    return _table(["interval", *heads], rows)


def _design(cell: Cell) -> list[str]:
    uneven = ", uneven" if cell.uneven else ""
    correlation = f"{cell.correlation:g}" if cell.cluster > 1 else "–"
    return [str(cell.positives), f"{cell.cluster:g}{uneven}", correlation, str(cell.labels)]


def _with_ci(share: float, ci: tuple[float, float]) -> str:
    """Return a share with its interval, in percent.

    >>> _with_ci(0.95, (0.945, 0.954))
    '95.00 (94.50 to 95.40)'
    """
    return f"{100 * share:.2f} ({100 * ci[0]:.2f} to {100 * ci[1]:.2f})"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table.

    >>> print(_table(["a", "b"], [["1", "2"]]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
